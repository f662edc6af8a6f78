"""A file of records that is no plain one: read where it can be, else named in a sentence; a reader never waits."""

import gzip
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import StoreError
from bench.machine.environment import ROOT
from bench.records import misfit
from bench.records import record as records
from bench.records.frame import Damage, load
from bench.records.places import Run
from bench.records.store import Store
from kernels.cards import reading
from tests.bench.records.written import quick, write

LINES = [quick(round=number).line() for number in range(3)]


def rounds(folder: Path) -> list[int]:
    read = [record.round for record in Store(folder).read()]
    assert list(load(folder)["round"]) == list(load(folder, samples=True)["round"]) == read
    return read


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_are_read_as_editors_save_them(tmp_path: Path, start: str, end: str, last: bool) -> None:
    (tmp_path / "records.jsonl").write_bytes((start + end.join(LINES) + (end if last else "")).encode())
    assert rounds(tmp_path) == [0, 1, 2]
    assert Run(tmp_path).first is not None


def test_two_files_joined_are_read(tmp_path: Path) -> None:
    """By `cat`, of an editor's: the second one's mark is in the middle."""
    (tmp_path / "records.jsonl").write_bytes("".join(f"\ufeff{line}\n" for line in LINES).encode())
    assert rounds(tmp_path) == [0, 1, 2]


def test_what_is_no_file_of_lines_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "packed").write_bytes(gzip.compress(LINES[0].encode()))
    (tmp_path / "wide").write_bytes(LINES[0].encode("utf-16"))
    for target, message in (
        ("pipe", "no regular file"),
        ("/dev/zero", "no regular file"),
        (".", "no regular file"),
        ("loop", "symbolic links"),
        ("packed", "gunzip"),
        ("wide", "save it as UTF-8"),
    ):
        folder = tmp_path / "results"
        folder.mkdir(exist_ok=True)
        (folder / "records.jsonl").unlink(missing_ok=True)
        (folder / "records.jsonl").symlink_to(tmp_path / target)
        for read in (Store(folder).read, lambda folder=folder: load(folder)):
            with pytest.raises(StoreError, match=message):
                read()
        with pytest.raises(StoreError):
            _ = Run(folder).first
        for words in (["report", folder], ["compare", folder, folder], ["history", folder], ["export", folder]):
            assert CliRunner().invoke(app, list(map(str, words))).exit_code == 2, words


def test_a_line_of_gigabytes_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is lowered; the file is sparse, so that its line is read in steps and not as a whole."""
    for module in (reading, records):
        monkeypatch.setattr(module, "LINE", 1 << 20)
    folder = write(tmp_path / "r", LINES[0])
    with (folder / "records.jsonl").open("ab") as file:
        file.truncate(file.tell() + (300 << 20))
    write(folder, "", LINES[1])
    read = Store(folder)
    assert [record.round for record in read.read()] == [0, 1]
    assert read.damage == [f"{read.file}:2: left out: longer than 1 MiB"]
    with pytest.warns(Damage, match=":2: left out: longer than 1 MiB"):
        assert list(load(folder)["round"]) == [0, 1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"wall_s": 1e300}, "wall_s is 1e+300, where a number of at most 1e+09 belongs"),
        (
            {"latency_ns": [5, 10**16]},
            "latency_ns[1] is 10000000000000000, where a whole number of at most 1e+15 belongs",
        ),
        (
            {"latency_ns": [5] * 20 + [10**16]},
            "latency_ns[20] is 10000000000000000, where a whole number of at most 1e+15",
        ),
        ({"details": {"a": 10**30}}, "details.a is a number past 64 bits, where a number of at most 9e+18 belongs"),
        ({"details": {"a": "DEEP"}}, "not a whole record (it is nested deeper"),
        ({"largest": {"fits": 4}}, "largest is an object, where an object with fails and reason and tried belongs"),
        (
            {"throttled": {"latency": [[0, 1]] * 9}},
            "throttled.latency is [0, 1], where a range of the 2 samples belongs",
        ),
        ({"case": "resnet18/eager/fp32/b9999999999/i64/stream"}, "case is "),
        ({"schema": 10**400}, "schema 1000"),
        ({"reason": 10**4000}, "reason is a number past 64 bits, where text belongs"),
        ({"case": "x" * 10**6}, "case is "),
    ],
)
def test_numbers_and_depths_that_nothing_has_are_refused_in_a_line(change: dict[str, object], why: str) -> None:
    line = json.dumps(json.loads(quick(latency_ns=[5, 6]).line()) | change).replace('"DEEP"', "[" * 2000 + "]" * 2000)
    ((_, reason),) = records.parse_each([line.encode()])
    assert isinstance(reason, records.LeftOut)
    assert reason.reason.startswith(why)
    assert len(reason.reason) <= records.REASON


def test_many_lines_left_out_are_named_up_to_a_number(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", *["{"] * 40, LINES[0])
    read = Store(folder)
    read.read()
    assert len(read.damage) == misfit.NAMED + 1
    assert read.damage[-1] == f"{read.file}: 40 lines are left out, 1 are read"


@pytest.mark.parametrize(("resumed", "code"), [(True, 0), (False, 4)])
def test_an_answer_without_a_line_is_no_sure_one(tmp_path: Path, resumed: bool, code: int) -> None:
    """A sweep that was cut and resumed has the round in another line; else the answer may be another."""
    lines = (ROOT / "results/cpu-quick/records.jsonl").read_text().splitlines()
    measured = [line for line in lines if '"status":"ok"' in line][:2]
    cut = measured[0][:200]
    folder = write(tmp_path / "r", *(measured if resumed else measured[1:]), cut, "")
    runner = CliRunner()
    result = runner.invoke(app, ["recommend", str(folder)])
    assert (result.exit_code, "may be another" in result.stderr) == (code, not resumed), result.stderr
    assert ("another line has that round" in result.stderr) is resumed
    with pytest.warns(Damage) as warned:
        load(folder)
    assert [warning.message.lost for warning in warned if isinstance(warning.message, Damage)] == [not resumed]
    assert runner.invoke(app, ["report", str(folder)]).exit_code == 0
