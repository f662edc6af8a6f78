"""Sentences, exit codes and JSON of a comparison that say the same, where rounds, cases or changes are unusual."""

import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.records.record import Record
from bench.verdicts.duel import Question
from tests.bench.verdicts.sides import CASE, OTHER, Folder, compare_folders, run

CASES = {
    f"resnet50/{variant}/fp32/b{batch}/i224/stream": 10.0 for variant in ("eager", "compile") for batch in range(1, 21)
}


def without_rounds(*rounds: int) -> Callable[[Record], None]:
    """Make records that throttled in these rounds, of a case that did not otherwise."""

    def change(record: Record) -> None:
        if record.round in rounds:
            record.latency_ns = []

    return change


def test_in_turns_the_rounds_of_a_verdict_are_those_that_both_sides_have(folder: Folder) -> None:
    base = folder("base", {CASE: 10.0}, rounds=9, turns=1, change=without_rounds(0, 1))
    head = folder("head", {CASE: 20.0}, rounds=9, turns=2, change=without_rounds(2, 3))
    (few,) = compare_folders(base, head, metrics=["latency"]).verdicts
    assert (few.word, few.by_separation, few.rounds) == ("SLOWER", True, (5, 5))
    assert few.reason.startswith("each of 5 rounds is beyond each of base's 5 by over 10 %")
    near = folder("near", {CASE: 10.2}, rounds=9, turns=2, change=without_rounds(2, 3))
    code, text = run(base, near, "--metric", "latency")
    assert code == 4
    assert "A verdict takes 6 rounds a side: here are 5." in text
    assert "AMBIGUOUS: resnet50/eager/fp32/b1/i224/stream: latency: 5 rounds a side" in text


def test_few_rounds_beside_cases_that_are_judged_are_counted(folder: Folder) -> None:
    def few(record: Record) -> None:
        if record.case.name == OTHER:
            without_rounds(0, 1, 2, 3)(record)

    base, head = folder("base", {CASE: 10.0, OTHER: 10.0}), folder("head", {CASE: 10.0, OTHER: 10.0}, change=few)
    assert "A verdict takes 6 rounds a side: 1 of 2 has 4." in run(base, head, "--metric", "latency")[1]


def test_cases_that_stayed_beside_most_that_changed_take_no_more_rounds(folder: Folder) -> None:
    stayed = list(CASES)[::5]
    base = folder("base", CASES, noise=0.025)
    head = folder("head", {case: ms * (1 if case in stayed else 1.1) for case, ms in CASES.items()}, noise=0.025)
    comparison = compare_folders(base, head, metrics=["latency"])
    of_stayed = {(one.word, one.kind, one.wanted) for one in comparison.verdicts if one.case in stayed}
    assert of_stayed == {("AMBIGUOUS", "common", None)}
    reasons = {one.reason for one in comparison.verdicts if one.case in stayed}
    assert all(re.fullmatch(r"moved less than all cases, by \+\d+\.\d %", reason) for reason in reasons)
    text = run(base, head, "--metric", "latency")[1]
    assert re.search(r"3[0-2] of 40 cases moved alike", text)
    alone = sum(one.kind == "common" for one in comparison.verdicts)
    assert f"For that alone {alone} verdicts are AMBIGUOUS." in text


def test_a_change_of_all_cases_below_a_tenth_of_a_percent_folds_no_line_without_a_sentence(folder: Folder) -> None:
    base = folder("base", CASES, noise=0.0005, turns=1)
    head = folder("head", dict.fromkeys(CASES, 10.008), noise=0.0005, turns=2)
    text = run(base, head, "--metric", "latency", "--minimum", "latency=0.01")[1]
    assert "cases moved alike, latency by +0.1 %" in text


def test_a_noisy_case_that_may_have_moved_by_more_than_all_has_a_line(folder: Folder) -> None:
    noisy = {case: ms * 1.05 for case, ms in CASES.items()}
    base, head = folder("base", CASES, noise=0.05), folder("head", noisy, noise=0.05)
    comparison = compare_folders(base, head, metrics=["latency"])
    noise = [one for one in comparison.of("AMBIGUOUS") if one.kind == "noise"]
    assert len(noise) > 20
    text = run(base, head, "--metric", "latency")[1]
    assert text.count("latency AMBIGUOUS") == 20
    assert f"and {len(noise) - 20} more AMBIGUOUS, with smaller changes" in text


def test_a_slowdown_of_all_in_turns_that_no_case_shows_alone_is_no_pass(folder: Folder) -> None:
    slow = {case: ms * 1.05 for case, ms in CASES.items()}
    base, head = folder("base", CASES, noise=0.08, turns=1), folder("head", slow, noise=0.08, turns=2)
    comparison = compare_folders(base, head, metrics=["latency"])
    assert not comparison.of("SLOWER")
    code, text = run(base, head, "--metric", "latency")
    assert "in turns: so not the machine, but what they share." in text
    assert code == 4
    assert run(head, base, "--metric", "latency")[0] == 0


@pytest.mark.parametrize("shift", [1.0, 1.004, 1.05])
def test_a_change_apart_is_printed_as_it_was_judged(folder: Folder, shift: float) -> None:
    base = folder("base", CASES, noise=0.04)
    head = folder("head", {case: ms * shift for case, ms in CASES.items()}, noise=0.04)
    words = ["compare", str(base), str(head), "--metric", "latency", "--json"]
    data: dict[str, Any] = json.loads(CliRunner().invoke(app, words).stdout)
    may_be_noise = [one for one in data["verdicts"] if one["reason"].startswith("may be noise")]
    assert may_be_noise
    for one in may_be_noise:
        assert abs(one["ratio"] - 1) > 0.019
    for one in data["verdicts"]:
        assert one["common"] * one["ratio"] == pytest.approx(one["head"] / one["base"])


def test_some_cases_apart_beside_many_in_turns_are_as_few(folder: Folder) -> None:
    few = dict(list(CASES.items())[:3])
    others = {case: ms for case, ms in CASES.items() if case not in few}
    lines = {}
    for name, turn in (("base", 1), ("head", 2)):
        both = folder(f"{name}-turns", others, turns=turn), folder(f"{name}-apart", few)
        lines[name] = "".join((place / "records.jsonl").read_text() for place in both)
        (both[0] / "records.jsonl").write_text(lines[name])
    text = run(*(both[0].parent / f"{name}-turns" for name in lines), "--metric", "latency")[1]
    assert "would look like the code, and so would rounds that hang together." in text


def test_separation_does_not_end_a_run_of_two_commits(folder: Folder) -> None:
    base = folder("base", {CASE: 10.0}, rounds=6, turns=1, change=without_rounds(0))
    head = folder("head", {CASE: 20.0}, rounds=6, turns=2)
    duel: Any = SimpleNamespace(folder=base.parent, rounds=30)
    question = Question(["latency"])
    (verdict,) = question.verdicts(duel).verdicts
    assert verdict.by_separation
    assert not question.settled(duel)
    (head / "records.jsonl").unlink()
    head.rmdir()
    (base / "records.jsonl").unlink()
    base.rmdir()
    folder("base", {CASE: 10.0}, rounds=6, turns=1)
    folder("head", {CASE: 20.0}, rounds=6, turns=2)
    assert question.settled(duel)
