"""Each case against eager, as the table shows it, and which cases need more rounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from itertools import chain

from bench.plans.case import Case
from bench.records.record import Record
from bench.records.speed import SpeedRatio, disturbed_turns, pairs_by_round, speed_ratio
from bench.stats import is_precise
from resnet.variants import LAUNCHES

BASELINE = "eager"


def baseline_of(case: Case, cases: Collection[Case]) -> Case | None:
    """Return the baseline of `case` among `cases`: eager on the same model and batch; None where there is none.

    It has the same precision, else fp32, and of these the same launch, else the other.
    """
    for precision in dict.fromkeys((case.precision, "fp32")):
        for launch in sorted(LAUNCHES, key=lambda launch: launch != case.launch):
            candidate = replace(case, variant=BASELINE, precision=precision, launch=launch)
            if candidate in cases:
                return candidate
    return None


def float32_of(case: Case, cases: Collection[Case]) -> Case | None:
    """Return what a precision is compared with: the same variant in fp32, else eager, and the same launch if there."""
    for variant in dict.fromkeys((case.variant, BASELINE)):
        for launch in sorted(LAUNCHES, key=lambda launch: launch != case.launch):
            candidate = replace(case, variant=variant, precision="fp32", launch=launch)
            if candidate in cases:
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


Measured = dict[Case, list[Record]]  # a record for each round
Baseline = Callable[[Case, Collection[Case]], Case | None]


def _comparisons(records: Iterable[Record]) -> list[Measured]:
    """Return the records with a speed by case, those of each model, image size and batch together."""
    groups: dict[tuple[str, int, int], dict[Case, dict[int, Record]]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        if record.status == "ok" and record.throughput:
            case = record.case
            groups[case.model, case.image, case.batch][case][record.round] = record
    return [{case: list(rounds.values()) for case, rounds in group.items()} for group in groups.values()]


def against_baseline(records: Iterable[Record], find: Baseline = baseline_of) -> dict[Case, Against]:
    """Compare every case that has a baseline with it, without the turns in which a case beside it was disturbed.

    `find` returns the baseline of a case among others.
    """
    compared = {}
    for group in _comparisons(records):
        without = disturbed_turns(chain.from_iterable(group.values()))
        for case, ours in group.items():
            baseline = find(case, group)
            if baseline and (ratio := speed_ratio(ours, group[baseline], without)):
                compared[case] = Against(case, baseline, ratio)
    return compared


def unsettled(cases: Collection[Case], records: Iterable[Record], target: float) -> set[Case]:
    """Return the cases whose ratio another round may settle, and their baselines.

    A ratio is settled when its interval is within `target`, relative. A case that failed in every round so far is not
    run again, nor is one compared with it.
    """
    wanted: set[Case] = set()
    chosen = set(cases)
    for group in _comparisons(record for record in records if record.case in chosen):
        without = disturbed_turns(chain.from_iterable(group.values()))
        for case, ours in group.items():
            baseline = baseline_of(case, group)
            if baseline is None or baseline == case:
                continue
            if not is_precise(pairs_by_round(ours, group[baseline], without), target):
                wanted |= {case, baseline}
    return wanted
