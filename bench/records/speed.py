"""The speed of cases against each other: ratios of images/s, from what they share, with intervals.

What is compared is what was measured side by side: the rounds, each a process of either case, where there are several;
else the turns of one round, which the cases took alternately; else the windows of two processes that ran one after the
other, whose intervals are combined. So a ratio's interval is of the noise that `Speeds.basis` names, and of no other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import Literal

from bench.records.record import Record
from bench.stats import Ratio, median_interval, ratio

Turn = tuple[int, int]  # round and turn
Basis = Literal["rounds", "turns", "windows", "none"]


@dataclass(frozen=True)
class SpeedRatio:
    """A ratio of two cases' images/s, its 95 % interval, and what that rests on: `samples` of `basis`.

    `low` and `high` are None where there are too few samples for an interval.
    """

    value: float
    low: float | None
    high: float | None
    basis: Basis
    samples: int

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval, relative to the ratio."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2 / self.value


def turn_rates(record: Record) -> dict[Turn, float]:
    """Return images/s by round and turn: the median over the turn's undisturbed windows; a turn without any is absent.

    Records up to schema 4 have one window, as turn 0.
    """
    if not record.windows:
        throughput = record.throughput
        return {(record.round, 0): 1e9 * throughput["images"] / throughput["ns"]} if throughput else {}
    rates: dict[Turn, list[float]] = {}
    for window in record.windows:
        if "disturbed" not in window:
            rates.setdefault((record.round, window["turn"]), []).append(1e9 * window["images"] / window["ns"])
    return {turn: median(values) for turn, values in rates.items()}


def disturbed_turns(records: Iterable[Record]) -> set[Turn]:
    """Return the turns that count for none of these records, as one of them has disturbed windows alone in it."""
    return {
        turn
        for record in records
        if len({window["turn"] for window in record.windows}) > 1
        for turn in {(record.round, window["turn"]) for window in record.windows} - turn_rates(record).keys()
    }


def speed_ratio(
    ours: Sequence[Record], theirs: Sequence[Record], without: Collection[Turn] = (), confidence: float = 0.95
) -> SpeedRatio | None:
    """Return images/s of the case of `ours` over those of the case of `theirs`; a record of each for every round.

    The turns of `without` do not count. It is None where no round, or turn, has a rate of both. `confidence` is the
    interval's.
    """
    pairs = _pairs(ours, theirs, without)
    by_round: dict[int, list[float]] = {}
    for (number, _), (one, other) in pairs.items():
        by_round.setdefault(number, []).append(log(one / other))
    if not by_round:
        return None
    if len(by_round) > 1:
        over_rounds: Ratio = ratio([(exp(median(logs)), 1.0) for logs in by_round.values()], confidence)
        return SpeedRatio(over_rounds.value, over_rounds.low, over_rounds.high, "rounds", over_rounds.rounds)
    (logs,) = by_round.values()
    if len(logs) > 1:
        interval = median_interval(logs, confidence)
        low, high = (exp(interval[0]), exp(interval[1])) if interval else (None, None)
        return SpeedRatio(exp(median(logs)), low, high, "turns", len(logs))
    return _of_windows(ours, theirs, exp(logs[0]), next(iter(by_round)), confidence)


def _pairs(
    ours: Sequence[Record], theirs: Sequence[Record], without: Collection[Turn]
) -> dict[Turn, tuple[float, float]]:
    one, other = (
        {turn: rate for record in side for turn, rate in turn_rates(record).items()} for side in (ours, theirs)
    )
    return {turn: (one[turn], other[turn]) for turn in sorted(one.keys() & other.keys()) if turn not in without}


def _of_windows(
    ours: Sequence[Record], theirs: Sequence[Record], value: float, number: int, confidence: float
) -> SpeedRatio:
    """Combine the intervals of two processes that ran apart: the lowest of one over the highest of the other."""
    one, other = (
        [
            1e9 * window["images"] / window["ns"]
            for record in side
            if record.round == number
            for window in record.windows
            if "disturbed" not in window
        ]
        for side in (ours, theirs)
    )
    ours_interval, theirs_interval = (median_interval(rates, confidence) if rates else None for rates in (one, other))
    if ours_interval is None or theirs_interval is None:
        return SpeedRatio(value, None, None, "none", min(len(one), len(other)))
    low, high = ours_interval[0] / theirs_interval[1], ours_interval[1] / theirs_interval[0]
    return SpeedRatio(value, low, high, "windows", min(len(one), len(other)))
