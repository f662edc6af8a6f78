"""Folders to verdicts, through the command line where it matters."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.records.frame import export, load
from bench.records.record import Record
from bench.records.store import FILE
from bench.verdicts.compare import Comparison, compare
from bench.verdicts.metrics import METRICS

Make = Callable[..., Record]
Folder = Callable[..., Path]
CASE = "resnet50/eager/fp32/b1/i224/stream"
OTHER = "resnet50/compile/fp32/b1/i224/stream"
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path, record: Make) -> Folder:
    """Makes a results folder: cases with the median latency of each in ms, noise between its rounds, and what else."""

    def make(
        name: str,
        cases: dict[str, float],
        *,
        rounds: int = 8,
        noise: float = 0.003,
        turns: int = 0,
        change: Callable[[Record], None] | None = None,
        **fields: Any,
    ) -> Path:
        """`turns`: 0 for a sitting of its own, 1 or 2 for the first or second turn of an interleaved one."""
        draw = np.random.default_rng(sum(map(ord, name)))
        sitting = draw.integers(100, 200) * 24
        lines = []
        for number in range(rounds):
            for place, (case, ms) in enumerate(cases.items()):
                started = START + timedelta(
                    hours=float(number + turns / 4 if turns else sitting + number), seconds=place
                )
                one = record(
                    case,
                    ms=ms * float(np.exp(noise * draw.standard_normal())),
                    round=number,
                    started=started.isoformat(),
                    weights="w",
                    **deepcopy(fields),
                )
                one.memory = {"weights": 100 << 20, "host_resident_peak": 500 << 20}
                if change:
                    change(one)
                lines.append(one.line() + "\n")
        (tmp_path / name).mkdir()
        (tmp_path / name / FILE).write_text("".join(lines))
        return tmp_path / name

    return make


def run(*words: Any) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, words)], env={"COLUMNS": "80"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def found(base: Path, head: Path, **options: Any) -> Comparison:
    return compare(load(base), load(head), **options)


def words(comparison: Comparison, case: str = CASE) -> dict[str, str]:
    return {one.metric: one.word for one in comparison.verdicts if one.case == case}


def test_a_slowdown_is_slower_by_every_measure_of_speed_and_the_rest_is_the_same(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0, OTHER: 5.0}), folder("head", {CASE: 10.5, OTHER: 5.0})
    comparison = found(base, head)
    assert words(comparison) == {"latency": "SLOWER", "throughput": "SLOWER", "weights": "SAME", "host": "SAME"}
    assert set(words(comparison, OTHER).values()) == {"SAME"}
    (latency,) = (one for one in comparison.verdicts if one.case == CASE and one.metric == "latency")
    assert latency.ratio == pytest.approx(1.05, abs=0.01)
    assert latency.low
    assert latency.high
    assert latency.low < latency.ratio < latency.high
    assert (latency.base, latency.head) == (pytest.approx(10, rel=0.01), pytest.approx(10.5, rel=0.01))
    assert latency.rounds == (8, 8)
    code, text = run(base, head)
    assert code == 1
    assert text.startswith("2 SLOWER, 0 FASTER, 0 AMBIGUOUS, 6 SAME: 8 verdicts on 2 cases.")
    assert f"The worst: {CASE}" in text
    assert f"bench layers {CASE}" in text


def test_the_other_way_round_it_is_faster(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.5}), folder("head", {CASE: 10.0})
    assert words(found(base, head))["latency"] == "FASTER"
    assert run(base, head)[0] == 0


def test_identical_code_is_the_same_and_the_exit_code_is_0(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0, OTHER: 5.0}), folder("head", {CASE: 10.0, OTHER: 5.0})
    code, text = run(base, head)
    assert code == 0
    assert "0 SLOWER, 0 FASTER, 0 AMBIGUOUS, 8 SAME" in text
    assert "(--all lists them)" in text
    assert "equal" not in text
    assert "exact" in run(base, head, "--all")[1]


def test_noise_is_ambiguous_with_the_rounds_that_tell(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}, noise=0.1), folder("head", {CASE: 10.4}, noise=0.1)
    (latency,) = (one for one in found(base, head).verdicts if one.metric == "latency")
    assert (latency.word, latency.kind) == ("AMBIGUOUS", "noise")
    assert latency.wanted is None or latency.wanted > 8
    code, _ = run(base, head)
    assert code == 0
    assert run(base, head, "--fail-on", "ambiguous")[0] == 1


def test_few_rounds_are_ambiguous_and_what_is_exact_is_not(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}, rounds=3), folder("head", {CASE: 20.0}, rounds=3)
    verdicts = {one.metric: one for one in found(base, head).verdicts}
    assert verdicts["latency"].word == "AMBIGUOUS"
    assert verdicts["latency"].wanted == 6
    assert verdicts["weights"].word == "SAME"
    text = run(base, head)[1]
    assert "3 rounds a side, and a verdict takes 6" in text
    assert "bench run test -o" in text
    assert "--resume --rounds 6" in text


def test_one_round_tells_that_weights_grew(folder: Folder) -> None:
    def heavier(record: Record) -> None:
        record.memory["weights"] += 1

    base, head = folder("base", {CASE: 10.0}, rounds=1), folder("head", {CASE: 10.0}, rounds=1, change=heavier)
    assert words(found(base, head))["weights"] == "SLOWER"
    assert run(base, head)[0] == 1
    assert words(found(base, head, minimum={"weights": 0.01}))["weights"] == "SAME"


def test_rounds_in_turns_are_paired_and_a_drift_that_both_share_is_taken_out(folder: Folder) -> None:
    def drifts(record: Record) -> None:
        record.latency_ns = [int(ns * (1 + 0.1 * record.round)) for ns in record.latency_ns]

    in_turns = [folder(f"turn{side}", {CASE: ms}, turns=side, change=drifts) for side, ms in ((1, 10.0), (2, 10.3))]
    apart = [folder(f"apart{side}", {CASE: ms}, change=drifts) for side, ms in ((1, 10.0), (2, 10.3))]
    one, two = (found(*pair, metrics=["latency"]).verdicts[0] for pair in (in_turns, apart))
    assert (one.paired, one.word) == (True, "SLOWER")
    assert (two.paired, two.word) == (False, "AMBIGUOUS")
    assert "did not take turns" in run(*apart)[1]
    assert "did not take turns" not in run(*in_turns)[1]


def test_all_cases_moving_alike_in_another_sitting_is_told(folder: Folder) -> None:
    cases = {f"resnet50/eager/fp32/b{batch}/i224/stream": 10.0 for batch in (1, 2, 3, 4)}
    base, head = folder("base", cases), folder("head", dict.fromkeys(cases, 10.4))
    assert "the latency of 4 of 4 cases moved alike, by about +4." in run(base, head)[1]


def test_rounds_that_throttled_do_not_count_and_too_many_forbid_a_verdict(folder: Folder) -> None:
    def throttles(share: int) -> Callable[[Record], None]:
        def change(record: Record) -> None:
            if record.round < share:
                record.status, record.reason = "throttled", "hot"

        return change

    base = folder("base", {CASE: 10.0}, rounds=10)
    once = {
        one.metric: one for one in found(base, folder("once", {CASE: 20.0}, rounds=10, change=throttles(1))).verdicts
    }
    assert (once["latency"].word, once["latency"].rounds) == ("SLOWER", (10, 9))
    hot = folder("hot", {CASE: 20.0}, rounds=10, change=throttles(3))
    verdicts = {one.metric: one for one in found(base, hot).verdicts}
    assert (verdicts["latency"].word, verdicts["latency"].kind) == ("AMBIGUOUS", "throttled")
    assert verdicts["latency"].reason == "3 of 10 rounds throttled in head"
    assert verdicts["weights"].word == "SAME"
    every = found(base, folder("every", {CASE: 20.0}, rounds=10, change=throttles(10)))
    assert words(every) == {"latency": "AMBIGUOUS", "throughput": "AMBIGUOUS", "weights": "SAME", "host": "SAME"}


def test_a_round_most_of_whose_samples_fell_does_not_count(folder: Folder) -> None:
    def falls(record: Record) -> None:
        if record.round == 0:
            record.throttled = {"latency": [[0, 9]]}

    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}, change=falls)
    assert {one.metric: one.rounds for one in found(base, head).verdicts}["latency"] == (8, 7)


def test_cold_starts_are_compared_where_the_caches_were_found_alike(folder: Folder) -> None:
    def cold(states: list[str], s: float) -> Callable[[Record], None]:
        def change(record: Record) -> None:
            state = states[record.round]
            parts = dict.fromkeys(("import_s", "build_s", "prepare_s", "place_s", "first_call_s"), s)
            record.cold = parts | {
                "caches": state,
                "prepare_s": s * (30 if state == "cold" else 1) + record.round / 1e3,
            }

        return change

    base = folder("base", {CASE: 10.0}, change=cold(["cold", *["warm"] * 7], 1.0))
    head = folder("head", {CASE: 10.0}, change=cold(["warm"] * 8, 1.0))
    (verdict,) = found(base, head, metrics=["cold"]).verdicts
    assert (verdict.word, verdict.rounds) == ("SAME", (7, 8))
    fresh = folder("fresh", {CASE: 10.0}, change=cold(["fresh"] * 8, 1.0))
    (verdict,) = found(base, fresh, metrics=["cold"]).verdicts
    assert (verdict.word, verdict.kind) == ("AMBIGUOUS", "caches")
    assert verdict.reason == "compile caches were cold, warm in base, fresh in head"


def test_every_case_is_somewhere(folder: Folder) -> None:
    names = [f"resnet50/eager/fp32/b{batch}/i224/stream" for batch in range(1, 8)]

    def base_has(record: Record) -> None:
        if record.case.batch == 5:
            record.status, record.reason = "skipped", "no"

    def head_has(record: Record) -> None:
        if record.case.batch == 3 and record.round % 4 == 0:
            record.status, record.reason = "crash", "signal 11"
        if record.case.batch == 4:
            record.status, record.reason = "skipped", "a package is missing"
        if record.case.batch == 5:
            record.status, record.reason = "skipped", "no"
        if record.case.batch == 7:
            record.status, record.reason = "wrong", "nan"

    base = folder("base", dict.fromkeys([*names[:5], names[6]], 10.0), change=base_has)
    head = folder("head", dict.fromkeys([names[0], *names[2:]], 10.0), change=head_has)
    comparison = found(base, head)
    assert {one.case for one in comparison.verdicts} == {names[0], names[2]}
    assert comparison.missing == {names[1]: "", names[3]: "skipped: a package is missing"}
    assert comparison.new == [names[5]]
    assert comparison.nowhere == [names[4]]
    assert [(one.case, one.rounds, one.of, one.status) for one in comparison.failed] == [
        (names[2], 2, 8, "crash"),
        (names[6], 8, 8, "wrong"),
    ]
    code, text = run(base, head)
    assert code == 1
    for said in (
        f"failed in head, 2 of 8 rounds: {names[2]}: crash: signal 11",
        f"missing in head: {names[1]}",
        f"missing in head: {names[3]}: skipped: a package is missing",
        f"new in head: {names[5]}",
        f"not measured on either side: {names[4]}",
    ):
        assert said in text
    assert run(base, head, "--fail-on", "nothing")[0] == 0
    assert run(base, head, "-f", "b1/", "--fail-on", "missing")[0] == 0
    assert run(base, head, "-f", "b1/", "-f", "b2/", "--fail-on", "missing")[0] == 1


def test_a_metric_that_one_side_lacks_is_told(folder: Folder) -> None:
    def energy(record: Record) -> None:
        record.energy = {"joules": 500.0 + record.round, "images": 1000, "s": 5.0}

    base, head = folder("base", {CASE: 10.0}, change=energy), folder("head", {CASE: 10.0})
    assert found(base, head).one_sided == {"energy": {"base": 1}}
    assert "energy: base alone has it, in 1 cases" in run(base, head)[1]


def changed(path: str, value: Any) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        record.environment = place = deepcopy(record.environment)
        *parts, last = path.split(".")
        for part in parts:
            place = place[part]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("cpu.name", "Abacus", "cpu"),
        ("cpu.cores", 123, "cores"),
        ("packages.torch", "9.9", "torch"),
        ("packages.triton", "9.9", "triton"),
        ("python", "CPython 2.7", "python"),
        ("variables", {"OMP_NUM_THREADS": "1"}, "variables"),
    ],
)
def test_another_machine_or_software_is_refused_by_name_and_may_be_allowed(
    folder: Folder, path: str, value: Any, field: str
) -> None:
    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}, change=changed(path, value))
    code, text = run(base, head)
    assert code == 2
    assert f"{field}: " in text
    assert "OMP_NUM_THREADS=1 in head" in text or f"{value} in head" in text
    assert f"--allow {field}" in text
    code, text = run(base, head, "--allow", field)
    assert code == 0
    assert f"Compared although these differ (--allow): {field}: " in text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"seed": 1}, "seed"),
        ({"device": "cuda"}, "device"),
        ({"input": {"source": "noise"}}, "input"),
        ({"input": {"source": "photos", "digest": "2"}}, "pictures"),
        ({"settings": {"latency_s": 2.0, "limit_s": 9.0}}, "settings"),
    ],
)
def test_other_inputs_and_settings_are_refused(folder: Folder, fields: dict[str, Any], field: str) -> None:
    plain = {"input": {"source": "photos", "digest": "1"}, "settings": {"latency_s": 1.0, "steal": 0.1, "limit_s": 5.0}}
    base, head = folder("base", {CASE: 10.0}, **plain), folder("head", {CASE: 10.0}, **plain | fields)
    code, text = run(base, head)
    assert code == 2
    assert f"{field}: " in text
    if field == "settings":
        assert "settings: latency_s=1.0 in base, latency_s=2.0 in head" in text
    assert run(base, head, "--allow", field)[0] == 0


def test_to_allow_another_torch_allows_what_comes_with_it(folder: Folder) -> None:
    def upgraded(record: Record) -> None:
        changed("packages.torch", "9.9")(record)
        changed("packages.triton", "8.8")(record)
        changed("torch_cuda", "13.7")(record)

    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}, change=upgraded)
    code, text = run(base, head)
    assert code == 2
    assert text.endswith("--allow torch")
    assert run(base, head, "--allow", "torch")[0] == 0


def test_what_may_explain_a_difference_is_told_and_refuses_nothing(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}, change=changed("packages.numpy", "9.9"))
    code, text = run(base, head)
    assert code == 0
    assert "differs, and is no hindrance: packages.numpy" in text


def test_what_is_not_known_refuses_nothing(folder: Folder) -> None:
    base = folder("base", {CASE: 10.0}, change=changed("cpu.governor", "unreadable: OSError"))
    head = folder("head", {CASE: 10.0}, change=changed("cpu.governor", "performance"))
    assert run(base, head)[0] == 0


def test_rounds_of_two_kinds_in_one_folder_are_refused(folder: Folder) -> None:
    def upgraded(record: Record) -> None:
        changed("packages.torch", "9.9" if record.round > 3 else "9.8")(record)

    base, head = (folder(name, {CASE: 10.0}, change=upgraded) for name in ("base", "head"))
    code, text = run(base, head)
    assert code == 2
    assert "torch: 9.8, 9.9 in base, 9.8, 9.9 in head" in text


def test_weights_are_those_of_the_same_case(folder: Folder) -> None:
    def by_model(record: Record) -> None:
        record.weights = record.case.model

    deep = CASE.replace("50", "101")
    base, head = (folder(name, {CASE: 10.0, deep: 20.0}, change=by_model) for name in ("base", "head"))
    assert run(base, head)[0] == 0
    others = folder("others", {CASE: 10.0, deep: 20.0})
    assert run(base, others)[0] == 2


def test_an_exported_file_is_compared_by_what_it_has(folder: Folder, tmp_path: Path) -> None:
    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.5})
    export([base], tmp_path / "base.parquet")
    assert words(found(tmp_path / "base.parquet", head))["latency"] == "SLOWER"
    assert run(tmp_path / "base.parquet", head)[0] == 1
    other = folder("other", {CASE: 10.0}, change=changed("cpu.name", "Abacus"))
    assert run(tmp_path / "base.parquet", other)[0] == 2


def test_the_minimum_and_the_metrics_are_a_users_to_choose(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.5})
    code, text = run(base, head, "--metric", "latency", "--minimum", "latency=8%")
    assert code == 0
    assert text.startswith("0 SLOWER, 0 FASTER, 0 AMBIGUOUS, 1 SAME: 1 verdicts on 1 case.")


def test_json_has_everything_and_markdown_is_a_table(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0, OTHER: 9.0}), folder("head", {CASE: 10.5, OTHER: 9.0})
    result = CliRunner().invoke(app, ["compare", str(base), str(head), "--json"])
    told = json.loads(result.output)
    assert result.exit_code == 1
    assert told["counts"] == {"SLOWER": 2, "FASTER": 0, "AMBIGUOUS": 0, "SAME": 6}
    assert {one["metric"] for one in told["verdicts"]} == {"latency", "throughput", "weights", "host"}
    assert told["summary"][0].startswith("2 SLOWER")
    assert told["next"][0] == f"Where the time goes: bench layers {CASE}"
    result = CliRunner().invoke(app, ["compare", str(base), str(head), "--markdown"])
    assert f"| {CASE} | latency | SLOWER |" in result.output
    assert result.output.startswith("**2 SLOWER")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--metric", "speed"], "unknown metric 'speed'; allowed: latency"),
        (["--minimum", "latency"], "--minimum wants METRIC=PERCENT"),
        (["--minimum", "latency=-3"], "from 0 to 1000"),
        (["--minimum", "speed=3"], "unknown metric 'speed'"),
        (["--allow", "colour"], "unknown field 'colour'; allowed: device"),
        (["-f", "resnet18"], "matches resnet18; it has"),
    ],
)
def test_what_is_typed_wrong_is_told_with_what_is_right(folder: Folder, options: list[str], said: str) -> None:
    code, text = run(folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}), *options)
    assert code == 2
    assert said in text.replace(" │ │ ", " ").replace("│", "")


def test_folders_that_cannot_be_compared_are_told_apart(folder: Folder, tmp_path: Path) -> None:
    base, other = folder("base", {CASE: 10.0}), folder("other", {OTHER: 10.0})
    pairs = (((base, base), "are the same"), ((base, other), "have no case in common"))
    for pair, said in (*pairs, ((base, tmp_path / "nowhere"), "holds no records")):
        code, text = run(*pair)
        assert code == 2
        assert said in text


def test_every_metric_is_made_of_columns_of_the_frame(folder: Folder) -> None:
    frame = load(folder("base", {CASE: 10.0}))
    assert {column for metric in METRICS.values() for column in metric.columns} <= set(frame.columns)


def test_a_hundred_cases_of_identical_code_give_no_alarm_and_one_slow_one_does(folder: Folder) -> None:
    cases = {f"resnet50/eager/fp32/b{batch}/i224/stream": 10.0 for batch in range(1, 101)}
    base, head = folder("base", cases, noise=0.01), folder("head", cases | {CASE: 10.5}, noise=0.01)
    comparison = found(base, head)
    assert [(one.case, one.metric) for one in comparison.of("SLOWER")] == [(CASE, "latency"), (CASE, "throughput")]
    assert comparison.of("FASTER") == []


def test_device_times_with_the_hosts_launches_inside_are_compared_with_none(folder: Folder) -> None:
    """Records up to schema 2 have no `gpu_how`; what they call GPU time is three times the device's here."""

    def timed(how: str, ns: int) -> Callable[[Record], None]:
        def change(record: Record) -> None:
            record.gpu_ns, record.gpu_how = [ns + place for place in range(15)], how

        return change

    old, one, other = (
        load(folder(name, {CASE: 10.0}, change=timed(how, ns)))
        for name, how, ns in (("old", "", 3_000_000), ("one", "held", 1_000_000), ("other", "held", 1_000_000))
    )
    found = compare(old, one, ["latency", "gpu"])
    assert {verdict.metric for verdict in found.verdicts} == {"latency"}
    assert found.one_sided == {"gpu": {"head": 1}}
    assert {verdict.metric for verdict in compare(one, other, ["latency", "gpu"]).verdicts} == {"latency", "gpu"}
