"""Records in other tools' formats: there and back, and what the formats' own pages ask of a file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import InteropError
from bench.plans.case import Case
from bench.records.formats import (
    EXPORTS,
    bencher,
    import_pytest_benchmark,
    pytest_benchmark,
    smaller_is_better,
    with_latency,
)
from bench.records.record import Record
from bench.records.store import Store

Make = Callable[..., Record]
EAGER, COMPILE = "resnet18/eager/fp32/b2/i64/stream", "resnet18/compile/fp32/b2/i64/stream"


@given(st.lists(st.integers(1, 10**13), min_size=1, max_size=60))
def test_every_sample_comes_back_from_pytest_benchmark_to_the_nanosecond(samples: list[int]) -> None:
    record = Record(Case.parse(EAGER), 0, "ok", latency_ns=samples)
    ((back,), left) = import_pytest_benchmark(json.loads(json.dumps(pytest_benchmark([record]))))
    assert (back.latency_ns, left) == (samples, [])


def test_all_else_that_a_record_holds_comes_back_with_a_mark(record: Make) -> None:
    made = [record(EAGER, round=0), record(EAGER, round=1, ms=11.0), record(COMPILE, gpu_ns=[1, 2, 3], gpu_how="held")]
    back, _ = import_pytest_benchmark(json.loads(json.dumps(pytest_benchmark(made))))
    for one, other in zip(made, back, strict=True):
        assert other.details.pop("imported")["from"].startswith("pytest-benchmark ")
        assert other == one


def test_rounds_of_several_folders_have_numbers_that_people_read(tmp_path: Path, record: Make) -> None:
    for folder, ms in ("one", 10.0), ("other", 11.0):
        with (store := Store(tmp_path / folder)).writing():
            store.append(record(EAGER, ms=ms))
    told = CliRunner().invoke(app, ["export", *map(str, tmp_path.iterdir()), "--format", "pytest-benchmark"])
    data = json.loads(told.stdout)
    assert [one["name"] for one in data["benchmarks"]] == [f"test_case[{EAGER}]", f"test_case[{EAGER}] round 1"]
    assert [one.round for one in import_pytest_benchmark(data)[0]] == [0, 1]


def test_samples_that_fell_to_throttling_are_not_exported(record: Make) -> None:
    one = record(EAGER)
    one.throttled = {"latency": [[0, 1]]}
    ((back,), _) = import_pytest_benchmark(pytest_benchmark([one]))
    assert back.latency_ns == one.latency_ns[2:]
    assert back.throttled == {}


def foreign() -> dict[str, Any]:
    """As `pytest --benchmark-json` writes it, with seconds that are no whole nanoseconds."""
    seconds = [0.0101234567891, 0.0100000000004, 0.0123000000009, 0.0110000000001]
    stats = {"data": seconds, "mean": mean(seconds), "median": median(seconds), "iterations": 1}
    one = {"fullname": "bench/suite/test_cases.py::x", "extra_info": {"case": EAGER}, "stats": stats}
    return {"benchmarks": [one], "version": "5.3.1", "machine_info": {}}


def test_statistics_of_an_imported_file_are_exported_as_they_were() -> None:
    data = foreign()
    records, _ = import_pytest_benchmark(data)
    again = pytest_benchmark(records)["benchmarks"][0]["stats"]
    for name in ("mean", "median"):
        assert again[name] == pytest.approx(data["benchmarks"][0]["stats"][name], abs=1e-9)
    assert again["rounds"] == 4


def test_the_same_case_twice_is_two_rounds() -> None:
    data = foreign()
    data["benchmarks"] *= 2
    assert [record.round for record in import_pytest_benchmark(data)[0]] == [0, 1]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda b: b.pop("extra_info"), "names no case"),
        (lambda b: b["stats"].pop("data"), "--benchmark-save-data"),
        (lambda b: b.pop("stats"), "damaged"),
        (lambda b: b["extra_info"].update(case="resnet18/egaer/fp32/b2/i64/stream"), "did you mean eager"),
        (lambda b: b["extra_info"].update(record={"schema": 99}), "schema 99 is newer"),
        (lambda b: b["extra_info"].update(record={"status": "wrong"}), "not of a case that was measured"),
        (lambda b: b["stats"].update(data=["soon"]), "damaged"),
        (lambda b: b["stats"].update(data=[0.0]), "not of a case that was measured"),
    ],
)
def test_what_is_no_record_is_left_out_with_the_reason(spoil: Callable[[Any], Any], said: str) -> None:
    data = foreign()
    good, bad = data["benchmarks"][0], copy.deepcopy(data["benchmarks"][0])
    spoil(bad)
    records, left = import_pytest_benchmark(data | {"benchmarks": [bad, good]})
    assert len(records) == 1
    assert said in left[0]
    with pytest.raises(InteropError, match="nothing in it is a record"):
        import_pytest_benchmark(data | {"benchmarks": [bad]})


@pytest.mark.parametrize("data", [[], {}, {"benchmarks": 3}, None])
def test_a_file_of_something_else_is_refused(data: Any) -> None:
    with pytest.raises(InteropError, match="no JSON of pytest-benchmark"):
        import_pytest_benchmark(data)


def test_github_action_benchmark_gets_a_name_a_unit_and_a_value_each(record: Make) -> None:
    made = [
        record(EAGER, ms=10.0),
        record(EAGER, ms=12.0, round=1),
        record(COMPILE, ms=5.0, gpu_ns=[4_000_000], gpu_how="held"),
    ]
    entries = smaller_is_better(made)
    assert [(e["name"], e["unit"], e["value"]) for e in entries] == [
        (EAGER, "ms", 11.0),
        (COMPILE, "ms", 5.0),
        (f"{COMPILE} GPU time", "ms", 4.0),
    ]
    assert entries[0]["range"] == "± 1"
    assert entries[0]["extra"] == "2 processes, 30 samples"
    bigger = EXPORTS["github-action-benchmark-bigger"](made[:1])
    assert [(e["name"], e["unit"], e["value"]) for e in bigger] == [(EAGER, "images/s", pytest.approx(200.0))]


def test_bencher_gets_what_its_schema_asks_for(record: Make) -> None:
    told = bencher([record(EAGER, ms=10.0), record(EAGER, ms=12.0, round=1)])
    assert told[EAGER]["latency"] == {"value": 11e6, "lower_value": 10e6, "upper_value": 12e6}
    assert told[EAGER]["throughput"]["value"] > 0
    for benchmark in told.values():  # the schema that its page prints
        for metric in benchmark.values():
            assert metric.keys() <= {"value", "lower_value", "upper_value"}
            assert all(isinstance(number, int | float) for number in metric.values())


def test_a_failure_has_no_number_to_export(record: Make) -> None:
    assert [r.case.variant for r in with_latency([record(EAGER), record(COMPILE, status="wrong")])] == ["eager"]
    with pytest.raises(InteropError, match="nothing to export"):
        with_latency([record(COMPILE, status="wrong")])


class TestCommands:
    @pytest.fixture
    def folder(self, tmp_path: Path, record: Make) -> Path:
        store = Store(tmp_path / "base")
        with store.writing():
            for one in (record(EAGER), record(COMPILE, ms=5.0), record(COMPILE, round=1, status="timeout")):
                store.append(one)
        return store.folder

    def run(self, *words: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(map(str, words)))
        return done.exit_code, " ".join(done.output.split())

    def test_a_folder_goes_out_and_comes_back(self, folder: Path, tmp_path: Path) -> None:
        file, back = tmp_path / "b.json", tmp_path / "back"
        code, said = self.run("export", folder, "--format", "pytest-benchmark", "-o", file)
        assert (code, "Left out: 1 records" in said) == (0, True)
        assert self.run("import", file, "-o", back)[0] == 0
        given = [record.latency_ns for record in Store(folder).read() if record.status == "ok"]
        assert [record.latency_ns for record in Store(back).read()] == given
        code, said = self.run("import", file, "-o", back)
        assert (code, "choose another folder" in said) == (2, True)

    @pytest.mark.parametrize("format", list(EXPORTS))
    def test_every_format_is_json_on_stdout(self, folder: Path, format: str) -> None:
        done = CliRunner().invoke(app, ["export", str(folder), "--format", format, "-f", "eager"])
        assert "compile" not in done.stdout
        assert json.loads(done.stdout)

    def test_bad_usage_is_a_sentence_and_exit_code_2(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "x.json").write_text("{")
        for words, said in (
            (("import", tmp_path / "none.json", "-o", tmp_path / "d"), "cannot read"),
            (("import", tmp_path / "x.json", "-o", tmp_path / "d"), "x.json"),
            (("export", tmp_path / "none", "--format", "bencher"), "is it a results folder?"),
            (("export", folder, "--format", "bencher", "-f", "resnet99"), "(near it: resnet18)"),
            (("export", folder, "--format", "bencher", "-o", "/proc/x"), "cannot write"),
        ):
            done = CliRunner().invoke(app, list(map(str, words)))
            assert done.exit_code != 0, words
            assert said in " ".join(done.output.split()), words
        assert not (tmp_path / "d").exists()
