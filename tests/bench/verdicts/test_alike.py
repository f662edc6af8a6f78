"""What all cases did alike, in a round or between two sittings: recognised, taken off, and told once."""

import json
import re
from collections.abc import Callable
from math import log1p

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.commands import command_line
from bench.records.record import Record
from bench.verdicts.alike import effects
from bench.verdicts.rule import Array, holm, verdicts
from tests.bench.verdicts.sides import CASE, Folder, changed, compare_folders, run

CASES = {
    f"resnet50/{variant}/fp32/b{batch}/i224/stream": 10.0 for variant in ("eager", "compile") for batch in range(1, 21)
}


def noise(seed: int, cases: int = 450, rounds: int = 10) -> tuple[Array, Array]:
    base, head = 0.01 * np.random.default_rng(seed).standard_normal((2, cases, rounds))
    return base, head


def words(base: Array, head: Array, paired: bool) -> Array:
    estimates = effects(base, head, paired).estimate
    return verdicts(estimates, holm(estimates.p), 0.02).astype(np.float64)


@pytest.mark.parametrize("shift", [-0.05, 0.015, 0.05])
def test_what_a_sitting_does_to_all_is_taken_off_and_a_case_of_its_own_is_found(shift: float) -> None:
    base, head = noise(1)
    head = head + shift
    head[7] += np.sign(shift) * 0.05
    result = effects(base, head, False)
    assert result.movement.stands_out
    assert result.movement.size == pytest.approx(shift, abs=0.001)
    assert np.flatnonzero(words(base, head, False) < 2).tolist() == [7]
    assert result.estimate.remaining[7] == pytest.approx(np.sign(shift) * 0.05, abs=0.02)


def test_in_turns_nothing_of_a_change_is_taken_off() -> None:
    base, head = noise(2)
    result = effects(base, head + 0.05, True)
    assert result.movement.stands_out
    assert not result.estimate.common.any()
    assert (words(base, head + 0.05, True) == 0).all()


def test_independent_noise_moves_nothing_and_under_twenty_cases_nothing_is_told() -> None:
    moved = [bool(effects(*noise(seed, cases=40), False).movement.stands_out) for seed in range(200)]
    assert sum(moved) <= 6  # 3 standard errors
    base, head = noise(3, cases=19)
    assert not effects(base, head + 0.05, False).movement.stands_out


@pytest.mark.parametrize("share", [0.4, 0.5, 0.6, 0.8, 0.9])
@pytest.mark.parametrize("paired", [False, True])
def test_where_many_cases_changed_the_others_are_not_faster(share: float, paired: bool) -> None:
    base, head = noise(4)
    slow = np.arange(450) < share * 450
    head = head + log1p(0.1) * slow[:, None]
    found = words(base, head, paired)
    assert not (found[~slow] < 2).any()
    if paired or share < 0.75:
        assert (found[slow] == 0).all()


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("side", [0, 1])
def test_a_disturbed_round_is_taken_off_its_side(side: int, paired: bool) -> None:
    sides = noise(5)
    sides[side][:, 4] += log1p(0.3)
    sides[1][7] += log1p(0.05)
    result = effects(*sides, paired)
    assert np.flatnonzero(result.disturbance[side]).tolist() == [4]
    assert result.disturbance[side][4] == pytest.approx(log1p(0.3), abs=0.005)
    assert not result.disturbance[1 - side].any()
    assert np.flatnonzero(words(*sides, paired) < 2).tolist() == [7]


def test_no_round_of_mere_noise_nor_half_of_them_is_disturbed() -> None:
    for seed in range(20):
        base, head = noise(seed, cases=30)
        assert not any(off.any() for off in effects(base, head, False).disturbance)
    base[:, :4] += 0.3
    assert not effects(base, head, False).disturbance[0].any()


def test_rounds_and_cases_that_are_missing_are_left_out() -> None:
    base, head = noise(6)
    base[::3, 2], base[:, 9], head[5], head[11, 1:] = np.nan, np.nan, np.nan, np.nan
    head = head + 0.04
    result = effects(base, head, False)
    assert result.movement.size == pytest.approx(0.04, abs=0.001)
    assert np.isnan(result.estimate.effect[5])
    assert not (words(base, head, False) < 2).any()


# ---- records


def at_commit(sha: str) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        changed("git", {"sha": sha * 40, "dirty": False})(record)
        record.plan = {"name": "test", "digest": "0"}

    return change


def test_a_slower_sitting_is_one_sentence_and_neither_a_pass_nor_a_failure(folder: Folder) -> None:
    base = folder("base", CASES, change=at_commit("a"))
    head = folder("head", dict.fromkeys(CASES, 10.3), change=at_commit("b"))
    comparison = compare_folders(base, head, metrics=["latency"])
    assert {(verdict.word, verdict.kind) for verdict in comparison.verdicts} == {("AMBIGUOUS", "common")}
    (moved,) = comparison.moved
    assert (moved.of, moved.past, moved.worse, moved.paired) == (40, True, True, False)
    assert moved.low < 1.03 < moved.high
    code, text = run(base, head, "--metric", "latency")
    assert code == 4
    assert re.search(r"All 40 cases moved alike, latency by \+3\.0 % \(\+\d\.\d to \+3\.\d\)", text)
    assert (
        f"the machine, or what they share; `{command_line('ab', 'BASE', 'HEAD')}` would tell. "
        "For that alone 40 verdicts are AMBIGUOUS." in text
    )
    assert "latency AMBIGUOUS" not in text  # none has a line
    assert "both commits in turns: " in text
    assert f"ab {'a' * 12} {'b' * 12}" in text
    assert run(base, head, "--metric", "latency", "--fail-on", "nothing")[0] == 0
    assert run(head, base, "--metric", "latency")[0] == 0  # a faster one is no slowdown


def test_a_case_that_is_slower_than_the_others_became_is_slower_by_what_remains(folder: Folder) -> None:
    base, head = folder("base", CASES), folder("head", dict.fromkeys(CASES, 10.3) | {CASE: 11.33})
    (worst,) = compare_folders(base, head, metrics=["latency"]).of("SLOWER")
    assert (worst.case, worst.alike) == (CASE, False)
    assert worst.ratio == pytest.approx(1.1, abs=0.01)
    assert worst.common == pytest.approx(1.03, abs=0.002)
    assert worst.reason == "significant, and beyond 2 %, without the +3.0 % of all cases"
    code, text = run(base, head, "--metric", "latency")
    assert code == 1
    assert "beyond the +3.0 % of all cases. 39 of 40 cases moved alike" in text
    markdown = CliRunner().invoke(app, ["compare", str(base), str(head), "--metric", "latency", "--markdown"]).stdout
    assert markdown.split("Base and head")[0].count("\n| `resnet50") == 1


def test_a_sitting_within_the_minimum_leaves_cases_the_same(folder: Folder) -> None:
    base, head = folder("base", CASES), folder("head", dict.fromkeys(CASES, 10.08))
    comparison = compare_folders(base, head, metrics=["latency"])
    assert comparison.counts["SAME"] == 40
    assert comparison.verdicts[0].reason == "within 2 %, with the +0.8 % of all cases"
    code, text = run(base, head, "--metric", "latency")
    assert code == 0
    assert "within the minimum, and taken off before each was judged." in text


def test_in_turns_a_change_of_all_stays_slower_and_its_lines_are_folded(folder: Folder) -> None:
    base = folder("base", CASES, turns=1)
    head = folder("head", dict.fromkeys(CASES, 10.5) | {CASE: 12.0}, turns=2)
    code, text = run(base, head, "--metric", "latency")
    assert code == 1
    assert "40 SLOWER, 0 FASTER" in text
    assert re.search(r"\d\d of 40 cases moved alike, latency by \+5\.\d % \(\+\d\.\d to \+5\.\d\)", text)
    assert "in turns: so not the machine, but what they share." in text
    assert text.count("latency SLOWER") < 6
    assert run(base, head, "--metric", "latency", "--all")[1].count("latency SLOWER") == 40
    words = ["compare", str(base), str(head), "--metric", "latency", "--json"]
    data = json.loads(CliRunner().invoke(app, words).stdout)
    assert len(data["verdicts"]) == data["counts"]["SLOWER"] == 40
    assert [one["paired"] for one in data["moved"]] == [True]


def test_a_disturbed_round_is_told_and_hides_nothing(folder: Folder) -> None:
    def disturbed(record: Record) -> None:
        if record.round == 3:
            record.latency_ns = [int(1.3 * ns) for ns in record.latency_ns]

    base = folder("base", CASES, change=disturbed)
    head = folder("head", CASES | {CASE: 10.5})
    comparison = compare_folders(base, head, metrics=["latency"])
    assert [verdict.case for verdict in comparison.of("SLOWER", "FASTER")] == [CASE]
    assert comparison.counts["SAME"] == 39
    assert [(one.side, one.round) for one in comparison.disturbed_rounds] == [("base", 3)]
    said = r"Disturbed as a whole, which is taken off: round 3 of base \(latency \+(29|30)\.\d %\)"
    assert re.search(said, run(base, head, "--metric", "latency")[1])


def test_memory_that_grew_in_all_cases_is_the_codes(folder: Folder) -> None:
    def grows(record: Record) -> None:
        record.memory["host_resident_peak"] = (550 << 20) + 4096 * record.round

    base, head = folder("base", CASES), folder("head", CASES, change=grows)
    comparison = compare_folders(base, head, metrics=["host"])
    assert comparison.counts["SLOWER"] == 40
    assert comparison.moved == []


def test_every_comparison_says_what_it_would_have_found(folder: Folder) -> None:
    base, head = folder("base", CASES, noise=0.01), folder("head", CASES, noise=0.01)
    comparison = compare_folders(base, head)
    assert [one.metric for one in comparison.smallest] == ["latency", "throughput"]
    for one in comparison.smallest:
        assert 0.02 < one.median < 0.04
        assert one.median <= one.noisiest < 0.06
        assert one.case in CASES
    said = "What this finds nine times in ten: latency changes of 2."
    assert said in run(base, head)[1]
    assert said in run(base, head, "--markdown")[1]
    assert "nine times in ten" not in run(base, head, "--metric", "weights")[1]
