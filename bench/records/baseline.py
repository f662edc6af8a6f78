"""Each case against eager, as the table shows it, and which cases need more rounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from bench.plans.case import Case
from bench.records.record import Record
from bench.records.same import Way, are_alike, by_way
from bench.records.speed import SpeedRatio, Turn, disturbed_turns, pairs_by_round, rates_once, speed_ratio
from bench.stats import is_precise
from resnet.variants import LAUNCHES

BASELINE = "eager"


def baseline_of(case: Case, cases: Collection[Case]) -> Case | None:
    """Return the baseline of `case` among `cases`: eager on the same model and batch; None where there is none.

    It has the same precision, else fp32, and of these the same launch, else the other.
    """
    return _first_of([replace(case, variant=BASELINE, precision=name) for name in (case.precision, "fp32")], cases)


def float32_of(case: Case, cases: Collection[Case]) -> Case | None:
    """Return what a precision is compared with: the same variant in fp32, else eager, and the same launch if there."""
    return _first_of([replace(case, variant=name, precision="fp32") for name in (case.variant, BASELINE)], cases)


def _first_of(wanted: Iterable[Case], cases: Collection[Case]) -> Case | None:
    for case in wanted:
        for launch in dict.fromkeys((case.launch, *LAUNCHES)):
            if (candidate := replace(case, launch=launch)) in cases:
                return candidate
    return None


@dataclass(frozen=True)
class Against:
    """A case's speed over its baseline's."""

    case: Case
    baseline: Case
    ratio: SpeedRatio

    @property
    def same_precision(self) -> bool:
        return self.baseline.precision == self.case.precision

    @property
    def same_variant(self) -> bool:
        return self.baseline.variant == self.case.variant

    @property
    def same_launch(self) -> bool:
        return self.baseline.launch == self.case.launch


Measured = dict[Way, list[Record]]  # a record for each round
Baseline = Callable[[Case, Collection[Case]], Case | None]


def measured_ways(records: Iterable[Record]) -> Measured:
    """Return the records with a speed by way, the last of each round."""
    measured = {}
    for way, of_way in by_way(records).items():
        if rounds := {one.round: one for one in of_way if one.status == "ok" and one.counts[0] and one.throughput}:
            measured[way] = list(rounds.values())
    return measured


def _comparisons(measured: Measured) -> Iterator[tuple[Way, set[Turn], dict[Case, list[Record]]]]:
    """Yield each way, the turns that count for none at its batch, and the records by case that were run most alike."""
    groups: dict[tuple[str, int, int], Measured] = defaultdict(dict)
    for (case, traits), records in measured.items():
        groups[case.model, case.image, case.batch][case, traits] = records
    for group in groups.values():
        without = disturbed_turns(chain.from_iterable(group.values()))
        for way in group:
            most_alike = sorted(group, key=lambda one: -len({*way[1]} ^ {*one[1]}))  # last
            yield way, without, {one[0]: group[one] for one in most_alike if are_alike(way[1], one[1])}


def against_baseline(measured: Measured, find: Baseline = baseline_of) -> dict[Way, Against]:
    """Compare every case that has a baseline with it, without the turns in which a case beside it was disturbed.

    `find` returns the baseline of a case among others.
    """
    compared, rates_of = {}, rates_once()
    for way, without, alike in _comparisons(measured):
        baseline = find(way[0], alike)
        if baseline and (ratio := speed_ratio(measured[way], alike[baseline], without, rates_of=rates_of)):
            compared[way] = Against(way[0], baseline, ratio)
    return compared


def unsettled(cases: Collection[Case], records: Iterable[Record], target: float) -> set[Case]:
    """Return the cases whose ratio another round may settle, and their baselines.

    A ratio is settled when its interval is within `target`, relative. A case that failed in every round so far is not
    run again, nor is one compared with it.
    """
    wanted: set[Case] = set()
    chosen = set(cases)
    for way, without, alike in _comparisons(measured_ways(one for one in records if one.case in chosen)):
        case, baseline = way[0], baseline_of(way[0], alike)
        if baseline and baseline != case:
            pairs = pairs_by_round(alike[case], alike[baseline], without)
            wanted |= set() if is_precise(pairs, target) else {case, baseline}
    return wanted
