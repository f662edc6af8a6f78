"""Error rates and power of histories, seeded and small; `bench.verdicts.selftest.history` has the larger tables."""

import time
from math import log1p

import numpy as np
import pytest

from bench.history.history import judge_history
from bench.history.judge import FAMILY_ALPHA, Row, judge
from bench.verdicts.selftest.history import (
    SHAPES,
    Planted,
    autoregression,
    claims_found,
    false_changes,
    history_blocks,
    share_found,
    sticky,
    store_of,
)
from bench.verdicts.selftest.tables import Block

ALONE_IS_NOT_TOLD = {"sticky", "machine sticky", "machine AR", "drift"}  # of a single series of 40 commits


@pytest.mark.parametrize("shape", SHAPES)
def test_stores_without_a_change_have_one_no_more_often_than_is_allowed(shape: str) -> None:
    for series, commits, stores in ((1, 40, 60), (20, 40, 20), (20, 200, 4)):
        if series == 1 and shape in ALONE_IS_NOT_TOLD:
            continue
        row = false_changes(0, shape, series, commits, stores)
        most = stores * FAMILY_ALPHA + 2.5 * (stores * FAMILY_ALPHA * (1 - FAMILY_ALPHA)) ** 0.5
        assert row["false"] <= most, row


def test_a_tenth_of_the_series_that_wander_among_steady_ones_have_no_change() -> None:
    wrong = 0
    for number in range(4):
        draw = np.random.default_rng((91, number))
        x = draw.standard_normal((900, 40))
        x[:90] = autoregression(draw, 90, 40, 0.7)
        wrong += bool(any(one.changes for one in judge_history(store_of(0.05 * x)).series))
    assert wrong <= 1


def test_three_per_cent_is_found_five_commits_later_among_three_thousand_series() -> None:
    row = share_found(0, Planted("news", 3000, 200, 195, 200, 0.03, 200), 1)
    assert row["detected"] >= 0.88 * row["planted"]


def test_a_regression_that_was_mended_is_found_at_both_ends() -> None:
    for series, stores in ((1, 20), (20, 20)):
        row = share_found(1, Planted("bump", series, 40, 16, 24, 0.3), stores)
        assert row["detected"] >= 18


@pytest.mark.parametrize("nights", [3, 4])
def test_a_bump_of_a_few_nights_is_found_wherever_it_lies(nights: int) -> None:
    for first in range(3, 38 - nights):
        x = 0.01 * np.random.default_rng((nights, first)).standard_normal((20, 40))
        x[0, first : first + nights] += log1p(0.3)
        one, *others = judge_history(store_of(x)).series
        assert [int(change.after.sha, 16) for change in one.changes] == [first, first + nights]
        assert not any(other.changes for other in others)


def test_several_changes_are_found() -> None:
    draw = np.random.default_rng(0)
    x = 0.01 * draw.standard_normal((20, 200))
    steps = (40, 80, 100, 150)
    for step, size in zip(steps, (0.06, -0.06, 0.08, 0.05), strict=True):
        x[0, step:] += size
    first, *others = judge_history(store_of(x)).series
    assert [int(change.after.sha, 16) for change in first.changes] == pytest.approx(steps, abs=1)
    assert not any(one.changes for one in others)


def test_twice_as_slow_is_found_among_any_number_and_quickly() -> None:
    x = 0.01 * np.random.default_rng(0).standard_normal((3400, 200))
    x[0, 100:] += log1p(1.0)
    rows = [Row(row, log1p(0.02)) for row in x]
    start = time.process_time()
    judge(rows)
    assert time.process_time() - start < 60
    assert [step.split for step in rows[0].steps] == [100]
    assert sum(bool(row.steps) for row in rows) == 1


def test_a_large_step_needs_few_commits() -> None:
    for series in (20, 900):
        row = share_found(0, Planted("short", series, 8, 4, 8, 0.65, series // 20), 2)
        assert row["detected"] == row["planted"]


def test_the_same_store_is_judged_the_same() -> None:
    x = 0.03 * np.random.default_rng(5).standard_normal((30, 60))
    x[:3, 30:] += 0.2
    assert judge_history(store_of(x)) == judge_history(store_of(x))


def test_what_moves_all_series_is_one_finding() -> None:
    x = 0.01 * np.random.default_rng(0).standard_normal((60, 60))
    x[:, 40:] += log1p(0.03)
    history = judge_history(store_of(x))
    ((move,), changes) = (history.movements, [one for one in history.series if one.changes])
    assert not changes
    assert (move.series, move.machine, move.change.worse) == (60, "a machine", True)
    assert int(move.change.after.sha, 16) == pytest.approx(40, abs=1)
    assert move.change.ratio.low is not None
    assert move.change.ratio.low < 1.03 < (move.change.ratio.high or 0)


@pytest.mark.parametrize("share", [0.33, 0.5, 0.65])
@pytest.mark.parametrize("effect", [0.03, 0.1])
def test_a_change_of_some_series_is_not_taken_for_one_of_all_nor_laid_on_the_others(
    share: float, effect: float
) -> None:
    x = 0.01 * np.random.default_rng(1).standard_normal((200, 80))
    some = int(share * len(x))
    x[:some, 40:] += log1p(effect)
    history = judge_history(store_of(x))
    assert not history.movements
    assert sum(bool(one.changes) for one in history.series[some:]) == 0
    assert sum(bool(one.changes) for one in history.series[:some]) >= 0.9 * some


def test_a_wandering_machine_is_taken_off_and_a_case_that_changes_is_found() -> None:
    draw = np.random.default_rng(3)
    x = 0.01 * draw.standard_normal((60, 200)) + 0.04 * sticky(draw, 1, 200, 0.1)
    x[0, 150:] += log1p(0.03)
    history = judge_history(store_of(x))
    assert [bool(one.changes) for one in history.series] == [True] + [False] * 59


def test_a_series_that_flips_between_two_levels_says_so() -> None:
    draw = np.random.default_rng(1)
    x = 0.002 * draw.standard_normal((30, 200))
    x[0] += 0.02 * sticky(draw, 1, 200, 0.1)[0]
    (first, *others) = judge_history(store_of(x)).series
    assert first.flips > 10
    assert not first.changes
    assert not any(one.flips for one in others)


def test_what_could_be_found_is_found_nine_times_in_ten() -> None:
    x = 0.01 * np.random.default_rng(2).standard_normal((300, 100))
    sizes = [one.detectable for one in judge_history(store_of(x)).series]
    (size,) = (float(np.median([size for size in sizes if size is not None])),)
    row = share_found(3, Planted("least", 300, 100, 95, 100, size, 150), 1)
    assert 0.82 <= row["detected"] / row["planted"] <= 0.97
    assert judge_history(store_of(x[:, :5])).series[0].detectable is None


def test_results_are_tables() -> None:
    rows = [false_changes(0, shape, 1, 12, 2) for shape in SHAPES]
    found = [share_found(0, Planted("any", 1, 12, 6, 12, 0.65), 2)]
    shapes = {name: meaning for name, (meaning, _) in SHAPES.items()}
    claims = [claims_found(0, "normal", 1, 12, 2), claims_found(0, "normal", 1, 5, 2)]  # which can show none
    blocks = history_blocks({"shapes": shapes, "false": rows, "detected": found, "claims": claims})
    assert all(isinstance(block, Block) and len(set(map(len, block.rows))) == 1 for block in blocks)
    assert len(blocks[0].rows) == len(SHAPES)


@pytest.mark.parametrize("others", [0, 30])
@pytest.mark.parametrize("signs", [(1, 1, 1), (1, -1, 1), (1, 1, 1, 1, 1), (1, 1, -1)])
def test_several_large_steps_of_a_series_are_no_noise_that_lasts(signs: tuple[int, ...], others: int) -> None:
    draw = np.random.default_rng(4)
    x = 0.01 * draw.standard_normal((1 + others, 12 * (len(signs) + 1)))
    for place, sign in enumerate(signs, 1):
        x[0, 12 * place :] += sign * np.log(1.2)
    rows = [Row(row, 0.02) for row in x]
    judge(rows)
    assert [step.split for step in rows[0].steps] == [12 * place for place in range(1, len(signs) + 1)]
    assert not any(row.steps for row in rows[1:])
