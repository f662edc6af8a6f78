"""Each case against eager, round by round: the ratios that the table shows, and which cases need more rounds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bench.plans.case import Case
from bench.records.record import Record
from bench.stats import Ratio, is_precise, ratio

BASELINE = "eager"
Pairs = list[tuple[float, float]]
RatesByRound = dict[int, float]


def images_per_second(record: Record) -> float:
    """Return the images per second of the throughput window."""
    return record.throughput["images"] / record.throughput["ns"] * 1e9


def baseline_of(case: Case, cases: Collection[Case]) -> Case | None:
    """Return the baseline of `case` among `cases`: eager on the same model and batch, launched on a stream.

    It has the same precision, else fp32; None where there is neither.
    """
    for precision in dict.fromkeys((case.precision, "fp32")):
        candidate = Case(case.model, BASELINE, precision, case.batch, case.image, "stream")
        if candidate in cases:
            return candidate
    return None


@dataclass(frozen=True)
class Against:
    """A case's speed over its baseline's, from the rounds that have both."""

    baseline: Case
    ratio: Ratio


def _rates(records: Iterable[Record]) -> dict[Case, RatesByRound]:
    """Return images per second by case and round, of the records that have a speed."""
    rates: dict[Case, RatesByRound] = {}
    for record in records:
        if record.status == "ok" and record.throughput:
            rates.setdefault(record.case, {})[record.round] = images_per_second(record)
    return rates


def against_baseline(records: Iterable[Record]) -> dict[Case, Against]:
    """Compare every case that has a baseline with it."""
    rates = _rates(records)
    compared = {}
    for case in rates:
        baseline = baseline_of(case, rates)
        if baseline and (pairs := _pairs(rates[case], rates[baseline])):
            compared[case] = Against(baseline, ratio(pairs))
    return compared


def _pairs(case_rates: RatesByRound, baseline_rates: RatesByRound) -> Pairs:
    return [(case_rates[number], baseline_rates[number]) for number in sorted(case_rates) if number in baseline_rates]


def unsettled(cases: Collection[Case], records: Iterable[Record], target: float) -> set[Case]:
    """Return the cases whose ratio another round may settle, and their baselines.

    A ratio is settled when its interval is within `target`, relative. A case that failed in every round so far is not
    run again.
    """
    rates = _rates(records)
    wanted: set[Case] = set()
    for case in cases:
        baseline = baseline_of(case, cases)
        if baseline is None or baseline == case or case not in rates or baseline not in rates:
            continue
        if not is_precise(_pairs(rates[case], rates[baseline]), target):
            wanted |= {case, baseline}
    return wanted
