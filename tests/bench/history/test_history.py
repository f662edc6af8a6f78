"""Levels over commits: made-up series, and a store of real records."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from rich.console import Console

from bench.commands import command_line
from bench.history.history import FAMILY_ALPHA, History, judge_history, sparkline
from bench.history.series import Point, Series, command_between
from bench.history.text import print_history

CASE = "resnet18/eager/fp32/b1/i64/stream"
START = datetime(2026, 1, 1, tzinfo=UTC)


def series(values: Sequence[float], software: Sequence[str] | None = None) -> Series:
    versions = software or ["2.13.0"] * len(values)
    points = [
        Point(f"{i:040x}", START + timedelta(days=i), value, 3, "quick", 0, "photos", "synthetic", {"torch": version})
        for i, (value, version) in enumerate(zip(values, versions, strict=True))
    ]
    return Series(CASE, "latency", "a machine", points)


def find_changes(one: Series, family: int = 1) -> None:
    """Judge a series with others of independent noise, `family` in all."""
    count = len(one.points)
    others = [series(10 * noise(1000 + place, count, 0.01)) for place in range(family - 1)]
    judge_history([one, *others])


def noise(seed: int, count: int, sigma: float = 0.01) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0, sigma, count))


def test_flat_noise_has_no_change_more_often_than_is_allowed() -> None:
    """40 commits, 150 series of each shape; each a family of one, so that the allowed rate is FAMILY_ALPHA's."""
    for shape in (
        lambda draw: draw.normal(0, 0.03, 40),
        lambda draw: 0.03 * draw.standard_t(3, 40),
        lambda draw: draw.choice([0, 0.05], 40) + draw.normal(0, 0.01, 40),
    ):
        found = [series(10 * np.exp(shape(np.random.default_rng(seed)))) for seed in range(150)]
        for one in found:
            find_changes(one)
        rate = sum(bool(one.changes) for one in found) / len(found)
        assert rate <= FAMILY_ALPHA + 3 * (FAMILY_ALPHA * (1 - FAMILY_ALPHA) / len(found)) ** 0.5, rate


def test_a_step_is_found_with_its_commits_its_size_and_the_command_that_confirms_it() -> None:
    every = [series(10 * noise(seed, 40)) for seed in range(450)]
    planted = [series(np.where(np.arange(40) < 25, 1, 1.05) * one.values) for one in every[:20]]
    history = judge_history(planted + every[20:])
    assert sum(bool(one.changes) for one in every[20:]) == 0
    assert not history.movements
    missed = covered = 0
    for one in planted:
        if len(one.changes) != 1:
            missed += 1
            continue
        (change,) = one.changes
        assert change.worse
        assert abs(int(change.after.sha, 16) - 25) <= 1
        assert int(change.earliest.sha, 16) < 25 <= int(change.latest.sha, 16)
        low, high = change.ratio.low, change.ratio.high
        assert low is not None
        assert high is not None
        assert 1.03 < low < high < 1.07
        covered += low < 1.05 < high
        assert change.p < 0.05
        before, after = change.before.sha[:12], change.after.sha[:12]
        assert change.confirm(CASE) == command_line("ab", before, after, CASE)  # which is in no plan
    assert missed <= 1
    assert covered >= 16  # of an interval of 95 %, whose place was chosen by the same data


def test_two_steps_and_the_way_back() -> None:
    values = 10 * noise(1, 60, 0.005)
    values[20:40] *= 1.06
    one = series(values)
    find_changes(one, family=10)
    assert [int(change.after.sha, 16) for change in one.changes] == [20, 40]
    assert [change.worse for change in one.changes] == [True, False]


def test_what_is_less_than_matters_is_no_change_however_sure() -> None:
    values = 10 * noise(2, 60, 0.0005)
    values[30:] *= 1.01
    one = series(values)
    find_changes(one)
    assert not one.changes


def test_a_single_spike_is_none() -> None:
    for seed in range(20):
        values = 10 * noise(seed, 30)
        values[15] *= 1.5
        one = series(values)
        find_changes(one)
        assert not one.changes
        assert [int(point.sha, 16) for point in one.spikes] == [15]


@pytest.mark.parametrize(("count", "said"), [(1, "the newest point is +20 %"), (2, "the newest 2 points are +20 %")])
def test_the_newest_points_are_too_few_and_are_told(count: int, said: str) -> None:
    values = np.concatenate([10 * noise(3, 20, 0.002), 12 * noise(4, count, 0.001)])
    one = series(values)
    find_changes(one)
    assert not one.changes
    assert one.unsure.startswith(said), one.unsure
    assert one.confirm == command_between(one.points[19], one.points[-1], CASE)


def test_numbers_without_noise_change_where_they_do() -> None:
    one = series([100.0] * 6 + [103.0] * 6)
    find_changes(one)
    assert [int(change.after.sha, 16) for change in one.changes] == [6]
    flat = series([100.0] * 12)
    find_changes(flat)
    assert not flat.changes
    assert not flat.unsure
    assert not flat.confirm


def test_what_else_was_another_is_told() -> None:
    values = np.concatenate([10 * noise(5, 10), 11 * noise(6, 10)])
    one = series(values, ["2.13.0"] * 10 + ["2.14.0"] * 10)
    find_changes(one, family=10)  # alone, 20 commits tell a step less surely from noise that wanders
    assert one.changes[0].software == {"torch": ("2.13.0", "2.14.0")}


def test_short_series_have_no_changes() -> None:
    for count in range(1, 6):
        one = series([10.0, 20.0, 10.0, 20.0, 40.0][:count])
        find_changes(one)
        assert not one.changes


def test_a_sparkline_goes_from_the_least_to_the_greatest() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5, 5]) == "▄▄▄"
    assert len(sparkline([1, 2] * 100, 40)) == 40


def test_one_commit_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    print_history(Console(width=200), History([series([1.0])]), every=False)
    printed = capsys.readouterr().out
    assert "1 series over 1 commit: 0 changed" in printed
    assert "The longest series has 1 commit; a change can show from 6 on" in printed
