"""Ratios of cases' images/s: by rounds, by turns taken alternately, by windows of two processes."""

from __future__ import annotations

import pytest

from bench.plans.case import Case
from bench.records.record import Record
from bench.records.speed import disturbed_turns, rate_interval, rates_by_turn, rates_once, speed_ratio, turn_rates

CASE = Case.parse("resnet18/eager/fp32/b1/i64/stream")
SECOND = 1_000_000_000


def record(rates: list[float], number: int = 0, turns: bool = True, disturbed: tuple[int, ...] = ()) -> Record:
    """A record with a window of one second for each rate; each is a turn of its own, or all are of turn 0."""
    windows = [
        {"turn": place if turns else 0, "start_ns": place * SECOND, "images": round(1000 * rate), "ns": 1000 * SECOND}
        | ({"disturbed": "stopped"} if place in disturbed else {})
        for place, rate in enumerate(rates)
    ]
    throughput = {"images": windows[0]["images"], "ns": windows[0]["ns"]} if windows else {}
    return Record(CASE, number, "ok", windows=windows, throughput=throughput)  # type: ignore[arg-type]


def test_turns_taken_alternately_cancel_what_slows_both() -> None:
    """The machine is three times slower in half of the turns: the ratio is as exact as without."""
    ours = record([20, 60, 20, 60, 20.2, 60.6, 19.8, 59.4])
    theirs = record([10, 30, 10, 30, 10, 30, 10, 30])
    ratio = speed_ratio([ours], [theirs])
    assert (ratio.basis, ratio.samples) == ("turns", 8)
    assert ratio.value == pytest.approx(2.0)
    assert ratio.half_width <= 0.011


def test_windows_of_processes_apart_cannot_cancel_it() -> None:
    ours, theirs = record([20, 60] * 4, turns=False), record([10, 30] * 4, turns=False)
    ratio = speed_ratio([ours], [theirs])
    assert (ratio.basis, ratio.samples) == ("windows", 8)
    assert ratio.low < 1 < ratio.high


def test_rounds_are_the_samples_where_there_are_several() -> None:
    ours, theirs = ([record([rate * k] * 6, number=k) for k in (1, 2, 3)] for rate in (20, 10))
    ratio = speed_ratio(ours, theirs)
    assert (ratio.basis, ratio.samples) == ("rounds", 3)
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((2, 2, 2))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_too_few_have_no_interval(count: int) -> None:
    ratio = speed_ratio([record([20] * count)], [record([10] * count)])
    assert (ratio.low, ratio.high, ratio.half_width) == (None, None, None)
    assert ratio.value == pytest.approx(2)


def test_a_disturbed_turn_counts_for_neither() -> None:
    ours, theirs = record([20] * 7 + [1]), record([10] * 8, disturbed=(2,))
    without = disturbed_turns([ours, theirs])
    assert without == {(0, 2)}
    assert speed_ratio([ours], [theirs], without | {(0, 7)}).samples == 6
    assert (0, 2) not in turn_rates(theirs)


def test_what_was_never_measured_together_has_no_ratio() -> None:
    assert speed_ratio([record([20] * 6, number=0)], [record([10] * 6, number=1)]) is None
    assert speed_ratio([record([])], [record([10] * 6)]) is None


def test_records_of_before_have_a_value_and_no_interval() -> None:
    old = [Record(CASE, 0, "ok", throughput={"images": images, "ns": SECOND}) for images in (30, 10)]
    ratio = speed_ratio(old[:1], old[1:])
    assert (ratio.value, ratio.low, ratio.basis) == (pytest.approx(3), None, "none")


def test_two_that_share_no_turn_are_compared_by_their_windows() -> None:
    """A sweep that was stopped between them goes on with later turns."""
    ours, theirs = record([20] * 6), record([10] * 6)
    for window in theirs.windows:
        window["turn"] += 6
    ratio = speed_ratio([ours], [theirs])
    assert (ratio.value, ratio.basis, ratio.samples) == (pytest.approx(2), "windows", 6)


def test_without_an_undisturbed_window_there_is_no_ratio() -> None:
    quiet, busy = record([10] * 6), record([20] * 6, disturbed=tuple(range(6)))
    for ours, theirs in ((quiet, busy), (busy, quiet), (busy, busy)):
        assert speed_ratio([ours], [theirs]) is None
    # another round has what one lacks: its turns, or where they share none, its windows
    later = [record([rate] * 6, number=1, turns=turns) for rate, turns in ((20, True), (10, False))]
    assert speed_ratio([busy, later[0]], [quiet, later[1]]).value == pytest.approx(2)


def test_turns_that_others_disturbed_leave_a_ratio_without_an_interval() -> None:
    ours, theirs = record([20] * 6), record([10] * 6)
    ratio = speed_ratio([ours], [theirs], {(0, turn) for turn in range(6)})
    assert (ratio.value, ratio.low, ratio.basis) == (pytest.approx(2), None, "none")


def test_images_per_second_have_the_interval_of_windows_or_of_rounds() -> None:
    assert rate_interval([record([10, 11, 12, 9, 10, 10, 1], disturbed=(6,))]) == (9, 12)
    assert rate_interval([record([10] * 5)]) is None
    low, high = rate_interval([record([rate] * 6, number=k) for k, rate in enumerate((10, 11, 12))])
    assert low < 10 < 12 < high


def test_rates_worked_out_once_are_those_of_each_sequence() -> None:
    rates_of, ours = rates_once(), [record([20, 60])]
    assert rates_of(ours) is rates_of(ours)
    for number in range(20):  # which have no other name, and so one place in memory, were they not kept
        assert rates_of([record([number + 1.0])]) == {(0, 0): number + 1.0}
    theirs = [record([10, 31])]
    assert speed_ratio(ours, theirs, rates_of=rates_of) == speed_ratio(ours, theirs)
    assert rates_of(theirs) == rates_by_turn(theirs)


def test_rates_beyond_the_room_are_worked_out_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.records.speed.MOST_RATES", 2)
    rates_of, few, many = rates_once(), [record([20, 60])], [record([1, 2, 3])]
    assert rates_of(many) == rates_by_turn(many)
    assert rates_of(many) is not rates_of(many)
    assert rates_of(few) is rates_of(few)
