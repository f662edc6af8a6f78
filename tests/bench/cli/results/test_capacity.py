"""`bench capacity` as it is called: what it prints, how it ends."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.records.record import Record
from bench.records.store import Store
from bench.runs.job import LoadJob
from bench.runs.process import Answer
from bench.serving import capacity
from resnet.names import Build

Make = Callable[..., Record]
EAGER = ("resnet50/eager/fp32/b1/i224/stream", "resnet50/eager/fp32/b8/i224/stream")
COMPILED = ("resnet50/compile/fp32/b1/i224/stream", "resnet50/compile/fp32/b8/i224/stream")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "REQUESTS", 2_000)
    monkeypatch.setattr(capacity, "PILOT_REQUESTS", 1_000)
    monkeypatch.setattr(capacity, "CURVE_REQUESTS", 500)


@pytest.fixture
def folder(tmp_path: Path, record: Make) -> Path:
    store = Store(tmp_path / "mine")
    with store.writing():
        for names, times in ((EAGER, (8, 20)), (COMPILED, (4, 10))):
            for name, ms in zip(names, times, strict=True):
                store.append(record(name, ms=ms))
        store.append(record("resnet50/eager/tf32/b1/i224/stream", status="skipped", reason="no tensor cores"))
    return store.folder


def run_capacity(*words: object) -> Result:
    return CliRunner().invoke(app, ["capacity", *map(str, words)], env={"COLUMNS": "80", "NO_COLOR": "1"})


def test_the_answer_the_curve_and_the_devices_fit_80_columns(folder: Path) -> None:
    result = run_capacity(folder, "--p99-ms", 25)
    assert result.exit_code == 4, result.output
    lines = result.output.splitlines()
    assert max(len(line) for line in lines if "  " in line and not line.startswith("  `")) <= 80
    assert lines[1].startswith("compile/fp32, in batches up to 8, takes at most ")
    assert "o p50   * p99   - the limit" in result.output
    assert lines.index(next(line for line in lines if line.startswith("compile "))) < lines.index(
        next(line for line in lines if line.startswith("eager "))
    )
    assert "10,000,000" in result.output
    assert "FEW SAMPLES: 15 at batch 1, 15 at batch 8, of the 662" in result.output


def test_where_every_request_is_padded_the_run_measures_smaller_batches(tmp_path: Path, record: Make) -> None:
    store = Store(tmp_path / "padded")
    with store.writing():
        store.append(record(EAGER[1], ms=20, latency_ns=[20_000_000] * 700))
    result = run_capacity(store.folder, "--p99-ms", 50)
    assert result.exit_code == 0, result.output
    assert "No batch under 8 was measured: fewer requests take the time of 8." in " ".join(result.output.split())
    assert all(f" -f resnet50/eager/fp32/b{size}/" in result.output for size in (1, 2, 4, 8))


def test_samples_enough_for_a_p99_are_an_answer_and_too_few_name_the_run(
    tmp_path: Path, folder: Path, record: Make
) -> None:
    store = Store(tmp_path / "many")
    with store.writing():
        store.append(record(EAGER[0], latency_ns=[8_000_000] * 700))
    result = run_capacity(store.folder, "--json")
    assert (result.exit_code, json.loads(result.stdout)[0]["sure"]) == (0, True)
    result = run_capacity(folder, "eager", "--p99-ms", 25, "--json")
    (group,) = json.loads(result.stdout)
    assert (result.exit_code, group["sure"]) == (4, False)
    assert "--p99" in group["run"]
    assert EAGER[0] in group["run"]


def test_json_holds_the_rates_and_the_devices_of_a_load(folder: Path) -> None:
    (group,) = json.loads(run_capacity(folder, "--p99-ms", 25, "--rate", 5000, "--json").stdout)
    best, other = group["services"]
    assert best["case"] == COMPILED[1]
    assert best["sure_rate"] <= best["rate"]["value"] <= best["saturation"] == pytest.approx(800, rel=0.01)
    assert best["sure_rate"] > other["sure_rate"]
    (devices,) = best["devices"]
    assert devices["split"] == -(-5000 // best["sure_rate"])
    assert devices["pooled"] == 7
    assert best["at_sure_rate"]["late"] <= 0.02
    assert len(group["curve_of_the_first"]) == 25
    assert best["at_sure_rate"] in group["curve_of_the_first"]


def test_a_glob_and_a_largest_batch_narrow_what_is_simulated(folder: Path) -> None:
    (group,) = json.loads(run_capacity(folder, "eager", "--max-batch", 4, "--json").stdout)
    assert [(one["case"], one["max_batch"]) for one in group["services"]] == [(EAGER[1], 1)]


def test_a_limit_that_no_rate_keeps_fails_and_says_what_a_request_takes(folder: Path) -> None:
    result = run_capacity(folder, "--p99-ms", 3)
    assert result.exit_code == 1
    assert "4.000 ms for one request alone" in " ".join(result.output.split())
    (group,) = json.loads(run_capacity(folder, "--p99-ms", 3, "--json").stdout)
    assert [service["rate"] for service in group["services"]] == [None, None]


@pytest.mark.parametrize(
    ("times", "others", "code", "words"),
    [
        ([20] * 700, 0.53, 4, "is not known, as other work took up to 53% of the machine: the fastest"),
        ([20] * 176, 0.53, 4, "as other work took up to 53% of the machine and 176 samples are too few for a p99"),
        ([5] * 165 + [20] * 5, 0.0, 4, "is not known, as 170 samples are too few for a p99: the fastest"),
        ([20] * 176, 0.0, 1, "No rate keeps the p99 within 15 ms"),
        ([5] * 700, 0.53, 4, "What a device serves is not known, as other work took up to 53% of the machine; in this"),
    ],
)
def test_beside_other_work_and_with_too_few_samples_it_cannot_tell(
    tmp_path: Path, record: Make, times: list[int], others: float, code: int, words: str
) -> None:
    store = Store(tmp_path / "busy")
    with store.writing():
        store.append(record(EAGER[0], latency_ns=[ms * 1_000_000 for ms in times], watch={"others": others}))
    result = run_capacity(store.folder)
    assert result.exit_code == code, result.output
    told = " ".join(result.output.split())
    assert words in told
    assert "too high" not in told
    assert ("Once this machine is quiet" in told) == bool(others)


def test_one_process_has_no_interval(tmp_path: Path, record: Make) -> None:
    for count in (1, 2):
        store = Store(tmp_path / str(count))
        with store.writing():
            for number in range(count):
                store.append(record(EAGER[0], latency_ns=[8_000_000] * 700, round=number))
        result = run_capacity(store.folder, "--p99-ms", 25)
        (row,) = [line.split() for line in result.output.splitlines() if line.startswith("eager  ")]
        assert (row[5] == "-") == ("one process, and another may be" in " ".join(result.output.split())) == (count == 1)


def test_each_machine_and_each_model_has_an_answer_of_its_own(folder: Path, record: Make) -> None:
    with Store(folder).writing() as store:
        store.append(record("resnet18/eager/fp32/b1/i64/stream", ms=1))
        other = record("resnet18/eager/fp32/b1/i64/stream", ms=1, round=1)
        other.environment = other.environment | {"python": "CPython 9.9"}
        store.append(other)
    groups = json.loads(run_capacity(folder, "--json").stdout)
    assert [group["group"].split(" on ")[0] for group in groups] == [
        "resnet18 at 64 pixels",
        "resnet50",
        "resnet18 at 64 pixels",
    ]
    assert groups[2]["group"].endswith("Python CPython 9.9")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("DIR", "--seconds", "3"), "go with --real"),
        (("DIR", "--num-classes", "3"), "go with --real"),
        (("--real", COMPILED[1], "--weights", "/nowhere"), "/nowhere is not there; name a checkpoint"),
        (("--real", "resnet18/eager/fp32/b1/i64/stream", "--max-batch", "4"), "--real takes"),
        (("--real", "resnet18/eager/fp32/b1/i64/stream", "--input", "/nowhere"), "neither photos, noise, nor a folder"),
    ],
)
def test_what_makes_no_sense_is_refused(folder: Path, words: tuple[str, ...], message: str) -> None:
    result = run_capacity(*(str(folder) if word == "DIR" else word for word in words))
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", "").split())


def test_a_folder_without_what_is_asked_for_says_so(folder: Path) -> None:
    result = run_capacity(folder, "nothing")
    assert result.exit_code == 2
    assert "matches nothing" in result.output
    assert run_capacity(folder, "b8", "--max-batch", 4).exit_code == 1


def test_a_case_that_this_machine_cannot_serve_is_told() -> None:
    result = run_capacity("--real", "resnet18/eager/fp8/b1/i64/stream")
    assert result.exit_code == 3
    assert "no fp8 form" in result.output
    assert (
        "has no measurement of"
        in run_capacity("results/cpu-quick", "--real", "resnet18/eager/fp32/b1/i64/stream").output
    )


def test_a_real_run_stands_beside_its_predictions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed of a run's answer; tests/bench/worker/test_serve.py makes real ones."""
    from bench.serving import check as load_check

    data = {"due": [20_000_000 * n for n in range(700)], "latency": [4_000_000] * 700, "fed_late": [100_000] * 700}
    data |= {"counts": [1] * 700, "spent": [4_000_000] * 700, "times": {"1": [4_000_000], "8": [8_000_000]}}
    answer = Answer("ok", "", data | {"rate": 50.0, "saturation": 1000.0}, 1.0)
    jobs: list[LoadJob] = []
    monkeypatch.setattr(load_check, "serve_load", lambda job, stage: jobs.append(job) or answer)
    result = run_capacity(folder, "--real", COMPILED[1], "--num-classes", 10, "--in-channels", 1)
    assert jobs[0].build == Build("", 10, 1)
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.output.splitlines() if "  " in line) <= 80
    assert "700 requests at 50.00/s (5% of saturation)" in " ".join(result.output.split())
    assert "The simulation's p50 is +0% off." in result.output
    (p99,) = [line.split() for line in result.output.splitlines() if line.startswith("p99 ms")]
    assert p99[2:] == ["4.000", "4.000", "+0.0%", "4.000", "+0.0%", "4.001", "+0.0%", "4.000", "to", "4.000"]
    failed = Answer("wrong", "the largest error is 9 times", {}, 1.0)
    monkeypatch.setattr(load_check, "serve_load", lambda job, stage: failed)
    result = run_capacity("--real", COMPILED[1])
    assert result.exit_code == 1
    assert "wrong: the largest error" in result.output
