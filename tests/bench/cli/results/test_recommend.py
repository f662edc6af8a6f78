"""`bench recommend` as it is called: what it prints, how it ends."""

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.commands import command_line
from bench.plans.plan import load_plan
from bench.plans.settings import changed_settings
from bench.records.frame import export_parquet
from bench.records.record import Record
from bench.records.store import Store
from tests.bench.report.shown import windows

Make = Callable[..., Record]
MS = 1_000_000
EAGER, COMPILE = (f"resnet50/{variant}/fp32/b1/i224/stream" for variant in ("eager", "compile"))


def recommend(*words: object) -> Result:
    return CliRunner().invoke(app, ["recommend", *map(str, words)], env={"COLUMNS": "80", "NO_COLOR": "1"})


@pytest.fixture
def fill(tmp_path: Path, record: Make) -> Callable[..., Path]:
    """Makes a results folder; a case is (name, ms, images per second, latency samples, more fields)."""

    def make(*cases: tuple[str, float, float, int, dict[str, Any]], folder: str = "mine", rounds: int = 1) -> Path:
        store = Store(tmp_path / folder)
        with store.writing():
            for number in range(rounds):
                for name, ms, rate, count, more in cases:
                    fields = {"latency_ns": [round(ms * MS)] * count, "wall_s": 30.0, "plan": {"name": "quick"}}
                    fields["throughput"] = {"images": 1000, "ns": round(1e12 / rate)}
                    store.append(record(name, round=number, **(fields | more)))
        return store.folder

    return make


def flat(result: Result) -> str:
    return " ".join(result.output.replace("│", "").split())


def test_other_weights_are_another_choice(fill: Callable[..., Path]) -> None:
    """Answers of one network are no rivals of another's; what was not built is of its folder's network."""
    own: dict[str, Any] = {"weights": "ab" * 8, "network": {"weights": "file", "num_classes": 3, "in_channels": 3}}
    ours = {"weights": "cd" * 8, "network": {"weights": "synthetic", "num_classes": 1000, "in_channels": 3}}
    failed = (COMPILE, 8, 150, 0, {"status": "crash", "reason": "a signal"})
    folders = fill((EAGER, 10, 100, 400, ours)), fill((EAGER, 9, 110, 400, own), failed, folder="own")
    groups = json.loads(recommend(*folders, "--p99-ms", 20, "--json").stdout)
    assert [group["group"].rpartition("CPU, ")[2].partition("cores, ")[2] for group in groups] == [
        "classes 1000, weights of seed 0",
        "classes 3, weights abababab",
    ]
    assert [sum(group["excluded"].values()) for group in groups] == [0, 1]


def test_the_choice_its_evidence_and_the_runner_up(fill: Callable[..., Path]) -> None:
    folder = fill((EAGER, 10, 100, 400, {}), (COMPILE, 8, 150, 400, {}), rounds=3)
    result = recommend(folder, "--p99-ms", 20, "--memory-gib", 1)
    assert result.exit_code == 0, result.output
    table = result.output.split("\n\n")[0].splitlines()  # sentences are one line each
    assert max(map(len, table)) <= 80
    assert "Choose compile/fp32, batch 1: 150.0 images/s." in result.output
    assert "3 processes; p99 of these processes 8.000 ms, with 99 % confidence at most 8.000 (1,200 samples), " in flat(
        result
    )
    assert "another process's at most 8.000 if processes differ as these do; 500 MiB" in flat(result)
    assert "Runner-up: eager/fp32, batch 1, 100.0 images/s; they differ in variant (compile, eager)." in flat(result)
    assert "1.500 times better, 1.500 to 1.500 over 3 rounds: clear" in flat(result)


def test_records_that_cannot_tell_name_the_run_that_would(fill: Callable[..., Path]) -> None:
    folder = fill((EAGER, 10, 100, 50, {"seed": 3}), (COMPILE, 8, 150, 50, {"seed": 3}), rounds=2)
    result = recommend(folder, "--p99-ms", 20, "--json")
    assert result.exit_code == 4
    (group,) = json.loads(result.stdout)
    assert (group["answer"], group["best"], group["fitting"]) == ("cannot tell", None, [])
    assert [case["case"] for case in group["undecided"]] == [COMPILE, EAGER]
    (run,) = group["runs"]  # one process of each, as half a minute and 728 samples are little
    words = ["run", "quick", "-f", COMPILE, "-f", EAGER, "--seed", "3", "--p99", "--rounds", 1]
    assert run["command"] == command_line(*words)
    assert "some 2 minutes" in run["why"]
    text = recommend(folder, "--p99-ms", 20, "--objective", "latency")
    assert command_line("recommend", "--p99-ms", "20", "--objective", "latency") in text.stderr


def test_a_run_with_the_samples_of_a_p99_goes_on_where_they_did_not_decide(fill: Callable[..., Path]) -> None:
    settings = asdict(changed_settings(load_plan("quick").settings, {"p99": True}))
    latencies = ([8 * MS] * 120 + [100 * MS]) * 6 + [8 * MS] * 2  # under 1 % of the samples, and not surely so of all
    folder = fill((COMPILE, 8, 150, 0, {"latency_ns": latencies, "settings": settings}))
    (group,) = json.loads(recommend(folder, "--p99-ms", 20, "--json").stdout)
    (run,) = group["runs"]
    words = shlex.split(run["command"].removeprefix(command_line("run")))
    assert words[:4] == ["quick", "-f", COMPILE, "--p99"]
    assert words[-3:] == ["-o", str(folder), "--resume"]
    assert int(words[words.index("--rounds") + 1]) == 4


def test_no_run_is_named_for_here_that_this_machine_cannot_make(
    fill: Callable[..., Path], here: dict[str, Any]
) -> None:
    foreign = {"environment": here | {"cpu": here["cpu"] | {"name": "Another CPU"}}}
    (group,) = json.loads(recommend(fill((EAGER, 10, 100, 50, foreign)), "--p99-ms", 20, "--json").stdout)
    assert group["runs"][0]["why"].startswith("On the machine of these records (here is another processor (Another")
    skipped = "resnet50/fused/fp16/b1/i224/stream"  # which is measured here only by records that are invented
    folder = fill((skipped, 5, 300, 50, {}), (EAGER, 10, 100, 50, {}), folder="both")
    (group,) = json.loads(recommend(folder, "--p99-ms", 20, "--json").stdout)
    assert [case["case"] for case in group["undecided"]] == [skipped, EAGER]
    assert shlex.split(group["runs"][0]["command"])[-5:] == ["-f", EAGER, "--p99", "--rounds", "1"]


def test_a_case_that_throttled_is_unknown_and_run_again(fill: Callable[..., Path]) -> None:
    folder = fill((EAGER, 10, 100, 0, {"status": "throttled", "reason": "x"}))
    result = recommend(folder, "--memory-gib", 1, "--json")
    assert result.exit_code == 4
    (group,) = json.loads(result.stdout)
    assert group["unmeasured"] == [EAGER]
    assert group["runs"][0]["command"].endswith(f"-f {EAGER} -o {folder} --retry")


def test_a_file_of_records_is_read_and_one_of_columns_refused_with_the_way(fill: Callable[..., Path]) -> None:
    folder = fill((EAGER, 10, 100, 400, {}), (COMPILE, 8, 150, 400, {}), rounds=2)
    copy = folder.parent / "copy.jsonl"
    copy.write_bytes((folder / "records.jsonl").read_bytes())
    result = recommend(copy, "--p99-ms", 20, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["best"]["case"] == COMPILE
    for command in ("report", "capacity"):
        assert CliRunner().invoke(app, [command, str(copy), "--json"]).exit_code == 0
    export_parquet([folder], folder.parent / "copy.parquet")
    for command in ("report", "capacity", "recommend"):
        result = CliRunner().invoke(app, [command, str(folder.parent / "copy.parquet")])
        assert result.exit_code == 2
        assert "bench.load" in result.stderr


def test_the_run_that_is_named_is_one_that_bench_runs(fill: Callable[..., Path]) -> None:
    """Up to the machine: its case is in its plan."""
    folder = fill(("resnet50/compile-max/bf16/b1/i224/stream", 8, 150, 50, {}))
    (group,) = json.loads(recommend(folder, "--p99-ms", 20, "--json").stdout)
    (run,) = group["runs"]
    plan, flag, case = shlex.split(run["command"].removeprefix(command_line("run")))[:3]
    result = CliRunner().invoke(app, ["list", plan, flag, case, "--json"])
    assert [one["case"] for one in json.loads(result.stdout)] == [case]


def test_two_that_are_alike_are_told_apart_by_more_rounds(fill: Callable[..., Path]) -> None:
    folder = fill((EAGER, 10, 100, 15, {}), (COMPILE, 10, 101, 15, {}))
    (group,) = json.loads(recommend(folder, "--objective", "throughput", "--json").stdout)
    assert (group["best"]["case"], group["clear"]) == (COMPILE, None)
    assert group["ahead"]["interval"] == [None, None]  # of one process each
    (run,) = group["runs"]
    assert f"-f {COMPILE} -f {EAGER} --rounds 8" in run["command"]
    assert "7 minutes" in run["why"]


def test_nothing_within_the_budget_is_a_failure_that_counts_the_reasons(fill: Callable[..., Path]) -> None:
    folder = fill((EAGER, 10, 100, 700, {}), (COMPILE, 8, 150, 700, {"memory": {"host_resident_peak": 9 << 30}}))
    result = recommend(folder, "--p99-ms", 9, "--memory-gib", 1, "--json")
    assert result.exit_code == 1
    (group,) = json.loads(result.stdout)
    assert (group["best"], group["undecided"]) == (None, [])
    assert group["excluded"] == {"p99 over 9 ms": 1, "memory over 1 GiB": 1}


def test_without_a_limit_the_front_is_listed(fill: Callable[..., Path]) -> None:
    folder = fill((EAGER, 10, 100, 15, {}), (COMPILE, 8, 150, 15, {}))
    result = recommend(folder, "--json")
    assert result.exit_code == 0
    (group,) = json.loads(result.stdout)
    assert [one["case"] for one in group["pareto"]] == [COMPILE]


def test_a_disturbed_machine_chooses_nothing_and_says_why_and_what_would(fill: Callable[..., Path]) -> None:
    folder = fill(*((name, 10, rate, 700, {"watch": {"others": 0.68}}) for name, rate in ((EAGER, 9), (COMPILE, 16))))
    for words in ((), ("--p99-ms", 100_000), ("--objective", "latency")):
        result = recommend(folder, *words)
        assert result.exit_code == 4, result.output
        assert "as other work took up to 68% of the machine" in flat(result)
        assert "OTHER WORK took up to 68% of this machine's time during 2 runs" in flat(result)
        assert "Once this machine is quiet: " in flat(result)
        assert "Choose" not in result.output
    (group,) = json.loads(recommend(folder, "--objective", "throughput", "--json").stdout)
    assert (group["answer"], group["disturbance"]) == ("cannot tell", "other work took up to 68% of the machine")
    assert ",best," not in recommend(folder, "--csv").stdout


def test_the_mark_of_disturbed_windows_is_explained_in_words(fill: Callable[..., Path]) -> None:
    result = recommend(fill((EAGER, 10, 100, 15, windows([100] * 3, disturbed=range(3)))))
    assert "100.0!" in result.output
    assert "! (images/s): every window was disturbed, and no ratio rests on it. Words" in flat(result)


def test_a_front_of_one_window_each_is_no_fact(fill: Callable[..., Path]) -> None:
    result = recommend(fill((EAGER, 10, 100, 15, {}), (COMPILE, 8, 150, 15, {})))
    assert result.exit_code == 0
    assert "No speed here has an interval, so another run may show others." in flat(result)
    rounds = fill((EAGER, 10, 100, 15, {}), (COMPILE, 8, 150, 15, {}), folder="rounds", rounds=3)
    assert "may show others" not in flat(recommend(rounds))


def test_a_legend_has_a_table_above_it(fill: Callable[..., Path]) -> None:
    folder = fill((EAGER, 10, 100, 700, {}))
    assert "p99 ≤: the upper bound" in flat(recommend(folder, "--p99-ms", 20))
    assert "p99 ≤" not in flat(recommend(folder, "--p99-ms", 5))


def test_a_legend_explains_what_its_tables_show_alone(fill: Callable[..., Path]) -> None:
    plain, unsure = fill((EAGER, 10, 100, 700, {})), fill((EAGER, 10, 100, 15, {}), folder="unsure")
    assert "; top-1: least share" in flat(recommend(plain))
    for word in ("agree: ", "loss: ", "undecided: "):
        assert word not in flat(recommend(plain))
    assert "undecided: the records do not show" in flat(recommend(unsure, "--p99-ms", 20))


def test_unlike_machines_have_an_answer_each(fill: Callable[..., Path], here: dict[str, Any]) -> None:
    other = {"environment": here | {"cpu": here["cpu"] | {"name": "Another CPU"}}}
    folders = [fill((EAGER, 10, 100, 15, {})), fill((COMPILE, 8, 150, 15, other), folder="other")]
    result = recommend(*folders, "--objective", "throughput", "--json")
    assert "2 machines" in result.stderr
    groups = json.loads(result.stdout)
    assert [(group["best"]["case"], group["runner_up"]) for group in groups] == [(EAGER, None), (COMPILE, None)] or [
        (group["best"]["case"], group["runner_up"]) for group in groups
    ] == [(COMPILE, None), (EAGER, None)]
    assert any("Another CPU" in group["group"] for group in groups)


def test_rounds_of_two_folders_count_and_are_not_mixed(fill: Callable[..., Path]) -> None:
    one = fill((EAGER, 10, 100, 15, {}), (COMPILE, 8, 150, 15, {}))
    two = fill((EAGER, 20, 50, 15, {}), (COMPILE, 16, 75, 15, {}), folder="two")
    (group,) = json.loads(recommend(one, two, one, "--objective", "throughput", "--json").stdout)
    assert group["best"]["rounds"] == 2
    assert (group["ahead"]["basis"], group["ahead"]["samples"]) == ("rounds", 2)
    assert group["ahead"]["interval"] == pytest.approx([1.5, 1.5])


def test_models_are_chosen_by_a_glob_and_answered_apart(fill: Callable[..., Path]) -> None:
    folder = fill((EAGER, 10, 100, 15, {}), ("resnet18/eager/fp32/b1/i224/stream", 2, 500, 15, {}))
    groups = json.loads(recommend(folder, "--objective", "latency", "--json").stdout)
    assert [group["group"].split()[0] for group in groups] == ["resnet18", "resnet50"]
    (group,) = json.loads(recommend(folder, "--objective", "latency", "--model", "*50", "--json").stdout)
    assert group["best"]["case"] == EAGER
    assert recommend(folder, "--model", "vgg*").exit_code == 2


def test_energy_that_was_not_read_names_the_plan_that_reads_it(fill: Callable[..., Path]) -> None:
    case = "resnet50/library-fused/fp16/b32/i224/graph"
    folder = fill((case, 10, 100, 15, {"device": "cuda"}))
    result = recommend(folder, "--objective", "energy", "--json")
    assert result.exit_code == 4
    (group,) = json.loads(result.stdout)
    assert "energy_s" in group["undecided"][0]["undecided"][0]
    assert [run["command"] for run in group["runs"]] == [command_line("run", "energy", "-f", case)]


def test_a_word_that_is_no_objective_is_refused(fill: Callable[..., Path]) -> None:
    result = recommend(fill((EAGER, 10, 100, 15, {})), "--objective", "speed")
    assert result.exit_code == 2
    assert "allowed: throughput, latency, energy" in flat(result)
