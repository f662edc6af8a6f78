"""The speed of cases against each other: ratios of images/s, from what they share, with intervals.

What is compared is what was measured side by side: the rounds, each a process of either case, where there are several;
else the turns of one round, which the cases took alternately; else the windows of two processes that ran one after the
other, whose intervals are combined. So a ratio's interval is of the noise that `Speeds.basis` names, and of no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import Literal

from bench.machine.watch import OTHER_WORK_LIMIT
from bench.records.record import Record
from bench.stats import Interval, Ratio, median_interval, ratio

Turn = tuple[int, int]  # round and turn
Rates = dict[Turn, float]  # images/s
Basis = Literal["rounds", "turns", "windows", "none"]
# a lead under this is none where one process of each stands behind it: another process may be as far off
LEAST_LEAD = 0.02
# rounds that may show a lead: of two, where processes are fast or slow by chance, one pair in eight agrees by chance
LEAD_ROUNDS = 3
MOST_RATES = 1 << 17  # that are kept for the comparisons of one contest: 30 MB


@dataclass(frozen=True)
class SpeedRatio(Interval):
    """A ratio of two cases' images/s, and what it rests on: `samples` of `basis`."""

    basis: Basis
    samples: int

    @property
    def is_lead(self) -> bool:
        """True if the first case is ahead for sure: by the interval, and by enough of what it rests on."""
        if self.low is None or self.low <= 1:
            return False
        return self.samples >= LEAD_ROUNDS if self.basis == "rounds" else self.value - 1 >= LEAST_LEAD


def against_all(rivals: int) -> float:
    """Return the confidence of the interval of each lead of one that was picked after a look at all: Bonferroni's.

    So a lead over every rival is wrong in one contest of twenty at the most, however many there are.
    """
    return 1 - 0.05 / max(1, rivals)


def sureness(lead: SpeedRatio | None) -> tuple[bool, bool, float]:
    """Return a key that is less for a lead that is less sure: least where nothing is shared, then without interval."""
    return lead is not None, lead is not None and lead.is_lead, (lead.low or 0.0) if lead else 0.0


def turn_rates(record: Record) -> Rates:
    """Return images/s by round and turn: the median over the turn's undisturbed windows; a turn without any is absent.

    Records up to schema 4 have one window, as turn 0.
    """
    if not record.windows:
        throughput = record.throughput
        return {(record.round, 0): 1e9 * throughput["images"] / throughput["ns"]} if throughput else {}
    rates: dict[Turn, list[float]] = {}
    for turn, rate in _window_rates(record):
        rates.setdefault(turn, []).append(rate)
    return {turn: median(values) if len(values) > 1 else values[0] for turn, values in rates.items()}


def _window_rates(record: Record) -> Iterator[tuple[Turn, float]]:
    """Yield the turn and the images/s of each undisturbed window."""
    for window in record.windows:
        if "disturbed" not in window:
            yield (record.round, window.get("turn", 0)), 1e9 * window["images"] / window["ns"]


def alternate_turns(records: Iterable[Record]) -> set[Turn]:
    """Return the turns of the records that have several: those that cases took alternately."""
    turns = set[Turn]()
    for record in records:
        of_record = {(record.round, window.get("turn", 0)) for window in record.windows}
        turns |= of_record if len(of_record) > 1 else set()
    return turns


def disturbed_turns(records: Iterable[Record]) -> set[Turn]:
    """Return the turns that count for none of these records, as one of them has disturbed windows alone in it."""
    disturbed = (one for one in records if any("disturbed" in window for window in one.windows))
    return {turn for record in disturbed for turn in alternate_turns([record]) - turn_rates(record).keys()}


def rates_by_turn(records: Iterable[Record]) -> Rates:
    """Return images/s by round and turn of the records of a case, as `turn_rates` does of one."""
    return {turn: rate for record in records for turn, rate in turn_rates(record).items()}


def rates_once() -> Callable[[Sequence[Record]], Rates]:
    """Return `rates_by_turn` for comparisons of the same cases with each other: of a sequence it is worked out once.

    Beyond MOST_RATES it is worked out each time, as a million records would take gigabytes.
    """
    rates: dict[int, tuple[Sequence[Record], Rates]] = {}
    room = MOST_RATES

    def rates_of(records: Sequence[Record]) -> Rates:
        nonlocal room
        if id(records) in rates:
            return rates[id(records)][1]
        new = rates_by_turn(records)
        if len(new) <= room:
            room -= len(new)
            rates[id(records)] = records, new  # the sequence too: its id is no other's meanwhile
        return new

    return rates_of


def speed_ratio(
    ours: Sequence[Record],
    theirs: Sequence[Record],
    without: Collection[Turn] = (),
    confidence: float = 0.95,
    rates_of: Callable[[Sequence[Record]], Rates] = rates_by_turn,
) -> SpeedRatio | None:
    """Return images/s of the case of `ours` over those of the case of `theirs`; a record of each for every round.

    The turns of `without` do not count. It is None where no round has an undisturbed window of both. `confidence` is
    the interval's.
    """
    by_round = _logs_by_round(rates_of(ours), rates_of(theirs), without)
    if len(by_round) > 1:
        over_rounds: Ratio = ratio(_as_pairs(by_round), confidence)
        return SpeedRatio(over_rounds.value, over_rounds.low, over_rounds.high, "rounds", over_rounds.rounds)
    for logs in by_round.values():
        if len(logs) > 1:
            interval = median_interval(logs, confidence)
            low, high = (exp(interval[0]), exp(interval[1])) if interval else (None, None)
            return SpeedRatio(exp(median(logs)), low, high, "turns", len(logs))
    both = {record.round for record in ours} & {record.round for record in theirs}
    apart = (_of_windows(ours, theirs, number, without, confidence) for number in sorted(by_round or both))
    return next(filter(None, apart), None)


def pairs_by_round(
    ours: Sequence[Record], theirs: Sequence[Record], without: Collection[Turn] = ()
) -> list[tuple[float, float]]:
    """Return the ratio of each round that has both, over 1: the pairs on which `speed_ratio` rests over rounds."""
    return _as_pairs(_logs_by_round(rates_by_turn(ours), rates_by_turn(theirs), without))


def _as_pairs(by_round: dict[int, list[float]]) -> list[tuple[float, float]]:
    return [(exp(median(logs)), 1.0) for logs in by_round.values()]


def _logs_by_round(ours: Rates, theirs: Rates, without: Collection[Turn]) -> dict[int, list[float]]:
    """Return the logarithms of the ratios in the turns that both have, by round."""
    by_round: dict[int, list[float]] = {}
    for turn in sorted(ours.keys() & theirs.keys()):
        if turn not in without:
            by_round.setdefault(turn[0], []).append(log(ours[turn] / theirs[turn]))
    return by_round


def share_of_others(record: Record) -> float | None:
    """Return the share of a CPU's time that other processes took during a record; None on a GPU and where not read."""
    return None if record.device == "cuda" else record.watch.get("others")


def images_per_second(record: Record) -> float:
    """Return the images per second of the record's throughput."""
    return record.throughput["images"] / record.throughput["ns"] * 1e9


def undisturbed(records: Sequence[Record]) -> Sequence[Record]:
    """Return the rounds of a case that have a window which nothing disturbed; where none has, all."""
    return [record for record in records if turn_rates(record)] or records


def rate_interval(records: Sequence[Record]) -> tuple[float, float] | None:
    """Return the 95 % interval of a case's images/s: over its rounds, or of one process's undisturbed windows."""
    records = undisturbed(records)
    if len(records) > 1:
        over_rounds = ratio([(images_per_second(record), 1.0) for record in records])
        return None if over_rounds.low is None or over_rounds.high is None else (over_rounds.low, over_rounds.high)
    return median_interval(_rates(records))


def other_work(runs: Iterable[Record]) -> list[float]:
    """Return the shares of a CPU's time that other processes took during runs, where these are over the limit."""
    return [share for record in runs if (share := share_of_others(record) or 0.0) > OTHER_WORK_LIMIT]


def _rates(records: Iterable[Record]) -> list[float]:
    """Return images/s of the undisturbed windows of some records."""
    return [rate for record in records for _, rate in _window_rates(record)]


def _of_windows(
    ours: Sequence[Record], theirs: Sequence[Record], number: int, without: Collection[Turn], confidence: float
) -> SpeedRatio | None:
    """Combine the intervals of two processes of a round: the lowest of one over the highest of the other.

    They share no turn, as they ran one after the other: without turns, on either side of a stop, or in parts of a group
    that had no room beside each other.
    """
    sides = [[record for record in side if record.round == number] for side in (ours, theirs)]
    rates = [[rate for one in side for turn, rate in turn_rates(one).items() if turn not in without] for side in sides]
    if not all(rates):  # in every turn another case was disturbed: a ratio without an interval
        rates = [[images_per_second(record) for record in side if turn_rates(record)] for side in sides]
        return SpeedRatio(median(rates[0]) / median(rates[1]), None, None, "none", 0) if all(rates) else None
    value = median(rates[0]) / median(rates[1])
    one, other = map(_rates, sides)
    ours_interval, theirs_interval = (median_interval(each, confidence) for each in (one, other))
    if ours_interval is None or theirs_interval is None:
        return SpeedRatio(value, None, None, "none", min(len(one), len(other)))
    low, high = ours_interval[0] / theirs_interval[1], ours_interval[1] / theirs_interval[0]
    return SpeedRatio(value, low, high, "windows", min(len(one), len(other)))
