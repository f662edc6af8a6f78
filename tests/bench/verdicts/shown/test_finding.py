"""The one line of a comparison, and where the terminal has it."""

import re

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.records.record import Record
from bench.verdicts.shown.finding import finding
from tests.bench.verdicts.sides import CASE, OTHER, Folder, compare_folders

CASES = {f"resnet50/{v}/fp32/b{n}/i224/stream": 10.0 for v in ("eager", "compile") for n in range(1, 4)}


def line(folder: Folder, head: dict[str, float], **options: object) -> str:
    one = compare_folders(folder("base", dict.fromkeys(head, 10.0), **options), folder("head", head, **options))
    return finding(one).text


def test_one_case_that_changed_is_named_with_its_interval(folder: Folder) -> None:
    text = line(folder, {CASE: 10.6, OTHER: 10.0})
    assert re.match(rf"Slower: {CASE}: latency \+[56]\.\d % \(\+\d\.\d to \+\d\.\d\), throughput -\d\.\d % \(", text)


def test_several_are_counted_by_variant_with_their_range(folder: Folder) -> None:
    changed = {case: 10.6 if "compile" in case else 9.0 if "b1" in case else 10.0 for case in CASES}
    text = line(folder, changed)
    assert re.match(r"Slower: 3 of 6 cases \(all 3 of compile\): latency \+\d\.\d to \+\d\.\d %, throughput -", text)
    assert "Faster: resnet50/eager/fp32/b1/i224/stream: latency -" in text


def test_no_change_says_beyond_what(folder: Folder) -> None:
    text = line(folder, {CASE: 10.0})
    assert text == "No change in 1 case beyond 2 % (latency, throughput), 0.1 % (weights), 3 % (host)."


def test_what_cannot_be_told_says_what_would_settle_it(folder: Folder) -> None:
    assert line(folder, {CASE: 10.9}, rounds=3) == (
        "Cannot tell: 3 rounds a side, and a verdict takes 6: `--rounds 6` may do."
    )


def test_open_verdicts_beside_same_ones_are_no_answer_but_their_number(folder: Folder) -> None:
    text = line(folder, {CASE: 10.0}, noise=0.02)
    assert re.match(
        r"No change shown: 2 are the same within .*, 2 of 4 verdicts cannot be told; \d+ rounds a side", text
    )


def test_cases_that_moved_alike_between_two_sittings_are_no_slowdown(folder: Folder) -> None:
    cases = {f"resnet50/eager/fp32/b{n}/i224/stream": 10.5 for n in range(1, 25)}
    text = line(folder, cases)
    assert re.match(r"Cannot tell: (all 24|2\d of 24) cases moved alike, latency \+[45]\.\d % ", text)
    assert "ab BASE HEAD` would tell." in text


def test_a_failure_is_in_the_line(folder: Folder) -> None:
    def failed(record: Record) -> None:
        if record.case.name == OTHER:
            record.status, record.reason = "crash", "signal 11"

    base, head = folder("base", {CASE: 10.0, OTHER: 5.0}), folder("head", {CASE: 10.0, OTHER: 5.0}, change=failed)
    one = finding(compare_folders(base, head))
    assert one.text == "1 case failed in head that did not in base."
    assert one.word == "SLOWER"


def test_more_memory_is_worse_and_not_slower(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0})
    assert finding(compare_folders(base, head)).word == "SAME"
    records = (head / "records.jsonl").read_text().replace(str(100 << 20), str(120 << 20))
    (head / "records.jsonl").write_text(records)
    assert finding(compare_folders(base, head)).text == f"Worse: {CASE}: weights +20.0 %."


@pytest.mark.parametrize("columns", [60, 80])
def test_the_terminal_ends_with_it_and_has_each_case_once_in_its_width(
    folder: Folder, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = {case: 10.6 if "compile" in case else 10.0 for case in CASES}
    words = ["compare", str(folder("base", CASES, noise=0.006)), str(folder("head", head, noise=0.006))]
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # prose is wrapped on a terminal alone
    result = CliRunner().invoke(app, [*words, "-q"], env={"COLUMNS": str(columns), "NO_COLOR": "1"})
    output = re.sub(r"\x1b\[[\d;]*m", "", result.output)
    lines = output.splitlines()
    last = output.rstrip().split("\n\n")[-1]
    assert last.startswith("Slower: 3 of 6 cases")
    table = lines[: next(place for place, text in enumerate(lines) if text.startswith("  by variant"))]
    for case in head:
        assert table.count(case) == ("compile" in case or any(text == case for text in table))
    assert max(map(len, lines)) <= columns
    assert ("base" in lines[0]) == (columns == 80)
