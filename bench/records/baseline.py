"""Each case against eager, round by round: what the table shows, and what says when a sweep has had rounds enough."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bench.plans.case import Case
from bench.records.record import Record
from bench.stats import Ratio, is_precise, ratio

BASELINE = "eager"
Pairs = list[tuple[float, float]]


def speed(record: Record) -> float:
    """Images per second over the throughput window."""
    return record.throughput["images"] / record.throughput["ns"] * 1e9


def twin(case: Case, cases: Collection[Case]) -> Case | None:
    """The case that `case` is held against: eager on the same model and batch, launched on a stream.

    In the same precision, else in fp32; None where there is neither.
    """
    for precision in dict.fromkeys((case.precision, "fp32")):
        found = Case(case.model, BASELINE, precision, case.batch, case.image, "stream")
        if found in cases:
            return found
    return None


@dataclass(frozen=True)
class Against:
    """A case's speed over its twin's, from the rounds that have both."""

    twin: Case
    ratio: Ratio


def speeds(records: Iterable[Record]) -> dict[Case, dict[int, float]]:
    """Images per second by case and round, of the records that have a speed."""
    found: dict[Case, dict[int, float]] = {}
    for record in records:
        if record.status == "ok" and record.throughput:
            found.setdefault(record.case, {})[record.round] = speed(record)
    return found


def against(records: Iterable[Record]) -> dict[Case, Against]:
    """Every case that has a twin, against it."""
    found = speeds(records)
    made = {}
    for case in found:
        other = twin(case, found)
        if other and (pairs := _pairs(case, other, found)):
            made[case] = Against(other, ratio(pairs))
    return made


def _pairs(case: Case, other: Case, found: dict[Case, dict[int, float]]) -> Pairs:
    mine, theirs = found.get(case, {}), found.get(other, {})
    return [(mine[number], theirs[number]) for number in sorted(mine) if number in theirs]


def unsettled(cases: Collection[Case], records: Iterable[Record], asked: float) -> set[Case]:
    """The cases that another round may settle, and the twins they are held against.

    A case is open until its ratio is known to within `asked`; one that failed in every round so far is not run again.
    """
    found = speeds(records)
    wanted: set[Case] = set()
    for case in cases:
        other = twin(case, cases)
        if other is None or other == case or case not in found or other not in found:
            continue
        if not is_precise(_pairs(case, other, found), asked):
            wanted |= {case, other}
    return wanted
