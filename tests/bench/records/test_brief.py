"""Records as reports read them, packed, against whole ones: every field, every answer, and lines that end otherwise."""

import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bench.cli.reported import run_again
from bench.errors import StoreError
from bench.records.record import SAMPLES, Record
from bench.records.store import CHECKED, WATCHED, Brief, Store, read_folders
from bench.report.exported import group_as_json, report_as_json, report_as_rows
from bench.report.markdown import render_markdown
from bench.report.recommend import OBJECTIVES, Budget, choose
from bench.report.recommend_groups import Group
from bench.report.views import VIEWS
from tests.bench.records.written import quick, write

GOLDEN = Path(__file__).parent / "golden"
RESULTS = Path(__file__).parents[3] / "results"


def reduced(name: str, value: Any) -> Any:
    """What a Brief has of a field."""
    if name == "windows":
        return [{key: one for key, one in window.items() if key != "start_ns"} for window in value]
    if name == "gate":
        return {moment: {key: one for key, one in check.items() if key in CHECKED} for moment, check in value.items()}
    return {key: one for key, one in value.items() if key in WATCHED} if name.endswith("watch") else value


def test_a_brief_has_the_fields_of_its_line() -> None:
    for file in GOLDEN.glob("*.jsonl"):
        pairs = list(zip(Store(file).read(), Store(file).read(brief=True), strict=True))
        for whole, brief in pairs:
            assert isinstance(brief, Brief)
            for field in fields(Record):
                value, expected = getattr(brief, field.name), reduced(field.name, getattr(whole, field.name))
                assert repr(value) == repr(expected), field.name  # with the types of its numbers
            assert [brief.kept(name) for name in SAMPLES] == [whole.kept(name) for name in SAMPLES]
            assert [brief.p50_ns(name) for name in SAMPLES] == [whole.p50_ns(name) for name in SAMPLES]
            assert (tuple(brief.counts), brief.day) == (whole.counts, whole.day)
        assert pairs


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders with records of every version, rounds with other times, rounds run again, and lines that are none."""
    draw, lines = random.Random(0), [line for file in GOLDEN.glob("*.jsonl") for line in file.read_text().splitlines()]
    for line in (RESULTS / "cpu-precisions" / "records.jsonl").read_text().splitlines()[::6]:
        for number in range(2):
            record = Record.parse(line)
            record.round = number
            record.latency_ns = [round(ns * draw.uniform(0.9, 1.1)) for ns in record.latency_ns] * 40
            for window in record.windows:
                window["ns"] = round(window["ns"] * draw.uniform(0.9, 1.1))
                window.update({"disturbed": "steal"} if draw.random() < 0.1 else {})  # type: ignore[typeddict-item]
            lines += [record.line(), *(["{"] if draw.random() < 0.1 else [])]
    half = len(lines) // 2
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    write(folders[0], *lines[:half], *draw.sample(lines[:half], 9))
    write(folders[1], *lines[half:], *lines[half - 9 : half])
    return folders


def test_the_usual_table_reads_no_line_again(mixed: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    records, _ = read_folders(mixed, brief=True)
    monkeypatch.setattr(Brief, "whole", lambda brief: pytest.fail("a line was read again"))
    assert render_markdown(records)


def test_every_answer_is_that_of_whole_records(mixed: list[Path]) -> None:
    (whole, damage), (brief, same_damage) = (read_folders(mixed, apart=True, brief=one) for one in (False, True))
    assert damage == same_damage != []
    assert report_as_json(brief, run_again(brief)) == report_as_json(whole, run_again(whole))
    assert report_as_rows(brief) == report_as_rows(whole)
    assert [render_markdown(brief, view) for view in VIEWS] == [render_markdown(whole, view) for view in VIEWS]
    budgets = [Budget(objective=objective) for objective in OBJECTIVES]
    for budget in (*budgets, Budget(p99_ns=4e7), Budget(memory_bytes=1 << 29), Budget(accuracy_loss=0.02)):
        answers = [group_as_json(Group("", choose(records, budget), mixed), False) for records in (brief, whole)]
        assert answers[0] == answers[1]


def test_a_line_is_found_again_whatever_ends_the_lines(tmp_path: Path) -> None:
    lines = [quick(round=k, latency_ns=[k + 1], wall_s=float(k)).line().encode() for k in range(6)]
    file = tmp_path / "records.jsonl"
    file.write_bytes(
        b"\xef\xbb\xbf" + lines[0] + b"\r" + lines[1] + b"\r" + lines[2] + b"\n\n \r\n" + lines[3] + b"\r\n{\n"
    )
    with file.open("ab") as more:
        more.write(lines[4] + b"\n" + lines[5])  # the last without an end
    records = Store(tmp_path).read(brief=True)
    assert [record.latency_ns for record in records] == [[k + 1] for k in range(6)]
    file.write_bytes(lines[0])
    with pytest.raises(StoreError, match="was changed while it was read"):
        print(records[4].latency_ns)
    file.unlink()
    with pytest.raises(StoreError, match="holds no records"):
        print(records[4].latency_ns)


def test_disturbances_and_unequal_parts_take_no_form_each(tmp_path: Path) -> None:
    """However the windows of records were disturbed, what is kept for all of them does not grow."""
    draw = random.Random(1)
    windows = [
        [{"images": 1, "ns": 5} | ({"disturbed": "steal"} if draw.random() < 0.5 else {}) for _ in range(24)]
        for _ in range(50)
    ]
    write(tmp_path / "r", *(quick(round=k, windows=one) for k, one in enumerate(windows)))
    records: list[Any] = list(Store(tmp_path / "r").read(brief=True))
    assert [record.windows for record in records] == windows
    assert len({id(record._form) for record in records}) == 1
