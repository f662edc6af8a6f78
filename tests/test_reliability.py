"""docs/RELIABILITY.md names tests that there are; the soak that it has the counts of sees what must not be."""

import ast
import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.bench.records.written import quick, write
from tests.soak.faults import FAULTS, Befallen
from tests.soak.judge import COUNTS, judge, lack
from tests.soak.processes import MARK, marked
from tests.soak.trial import PRECISIONS, ROUNDS, Trial

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")


@cache
def functions(path: str) -> set[str]:
    file = ROOT / path
    tree = ast.parse(file.read_text(encoding="utf-8") if file.exists() else "")
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 20
    assert [f"{path}::{name}" for path, name in named if name not in functions(path)] == []


def test_every_row_of_a_fault_names_a_test() -> None:
    table = PAGE.split("## By the tests")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "| the test |" not in line]
    assert rows
    assert [row for row in rows if "::" not in row] == []


def test_the_page_says_what_each_count_of_the_soak_is_of() -> None:
    words = {word for cell in re.findall(r"^\| ([a-z, ]+) \|", PAGE, re.M) for word in cell.split(", ")}
    assert set(COUNTS) <= words


def test_the_soak_has_left_only_zeros() -> None:
    """Whoever writes its counts into the page says by this test that all of them are 0."""
    counts = re.search(r"\*\*(\d+ lost, .*?)\*\*", PAGE.split("<!-- soak -->")[1].split("<!-- /soak -->")[0], re.S)
    if counts:
        assert [word for word in counts[1].split(", ") if not word.startswith("0 ")] == []


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A trial whose folder is complete, with a record a case and round; none of its processes ran."""
    trial = Trial(tmp_path / "trial", tmp_path / "cache")
    trial.cache.mkdir()
    trial.prepare(turns=False)
    for precision in PRECISIONS:
        for number in range(ROUNDS):
            record = quick(f"resnet18/eager/{precision}/b1/i32/stream", number, latency_ns=[10**7] * 9, throughput=RATE)
            write(trial.records.parent, record)
    trial.look()
    return trial


RATE = {"images": 10, "ns": 10**8}
QUIET = {precision: {"latency": 100.0, "throughput": 100.0} for precision in PRECISIONS}
FAULT_OF = {fault.name: fault for fault in FAULTS}


def counted(trial: Trial) -> dict[str, int]:
    return {name: len(sentences) for name, sentences in judge(trial, QUIET).items() if sentences}


def test_the_soak_finds_nothing_wrong_with_a_whole_folder(trial: Trial) -> None:
    assert lack(trial) == ""
    assert counted(trial) == {}


def test_the_soak_sees_what_is_lost_doubled_and_torn(trial: Trial) -> None:
    whole = trial.records.read_bytes()
    trial.records.write_bytes(whole + whole.splitlines()[0] + b"\n" + whole[:40] + b"\n")
    trial.look()
    assert counted(trial) == {"doubled": 1, "torn": 1}
    trial.records.write_bytes(b"".join(whole.splitlines(keepends=True)[1:]))
    trial.look()
    assert lack(trial) == "missing"
    assert counted(trial) == {"lost": 2}


def test_the_soak_sees_files_that_are_left_and_more_failures_than_a_fault_may_cost(trial: Trial) -> None:
    (trial.folder / "tmp" / "left").mkdir()
    (trial.cache / ".making-1").touch()
    failed = quick("resnet18/eager/fp32/b1/i32/stream", 0, status="crash", reason="killed")
    good = trial.records.read_bytes().splitlines()[0]
    write(trial.records.parent, failed, good)
    trial.look()
    assert counted(trial) == {"doubled": 1, "files": 2, "spread": 1}
    trial.faults.append(Befallen(FAULT_OF["the timed child: SIGKILL"], 1, 0.0, 0.0))
    assert counted(trial) == {"doubled": 1, "files": 2}


def test_the_soak_sees_a_stop_that_no_record_marks(trial: Trial) -> None:
    stop = FAULT_OF["the timed child: stopped for 0.2 to 3 s"]
    trial.faults.append(Befallen(stop, 1, 0.1, 0.0, 1.0, [(0, 10**9)]))
    name, slow = "resnet18/eager/fp32/b1/i32/stream", {"turn": 0, "start_ns": 0, "images": 1, "ns": 10**9}
    slow["start_ns"] = 2 * 10**8
    fields = {"latency_ns": [2 * 10**7] * 9 + [10**9], "throughput": {"images": 1, "ns": 10**9}, "windows": [slow] * 2}
    write(trial.records.parent, quick(name, 0, **fields))
    trial.look()
    assert counted(trial)["wrong"] == 5  # two windows, the sample, two speeds
    marked = {
        "windows": [slow | {"disturbed": "stopped"}] * 2,
        "watch": {"others": 0.3},
        "throttled": {"latency": [[9, 9]]},
    }
    trial.records.unlink()
    trial.disk = b""
    write(trial.records.parent, quick(name, 0, **fields | marked))
    trial.look()
    assert "wrong" not in counted(trial)


def test_the_soak_sees_a_process_that_is_left() -> None:
    with subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: "left"}) as child:
        try:
            assert marked("left") == [child.pid]
        finally:
            child.kill()
    assert marked("left") == []
