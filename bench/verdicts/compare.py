"""Verdicts on two sets of records: SAME, FASTER, SLOWER or AMBIGUOUS for each case and metric.

`bench.verdicts.rule` has the decision rule, `bench.verdicts.metrics` the metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bench.verdicts import rule as rules
from bench.verdicts.alike import effects, unmoved
from bench.verdicts.judge import Tests
from bench.verdicts.lists import Lists
from bench.verdicts.metrics import METRICS, Metric
from bench.verdicts.rollup import RollUp, roll_up
from bench.verdicts.rounds import NAMES, Failed, Sides
from bench.verdicts.rule import AMBIGUOUS, FASTER, RULE, SAME, SLOWER, Array, Rule
from bench.verdicts.verdict import DisturbedRound, Moved, Smallest, Verdict


@dataclass
class Comparison:
    """Every case of either side is in `verdicts`, `missing`, `new`, `failed`, `unmeasured` or `nowhere`."""

    verdicts: list[Verdict]
    missing: dict[str, str]  # cases of base that head did not measure, with the reason it gives, if any
    new: list[str]
    failed: list[Failed]  # in head and not in base; the rounds that did not fail may have verdicts, too
    unmeasured: list[str]  # on both sides, without a value of any chosen metric
    nowhere: list[str]  # skipped or failed on both sides
    one_sided: dict[str, dict[str, int]]  # metric -> the side that alone has it -> common cases
    apart: int  # cases that were not interleaved
    allowed: list[str] = field(default_factory=list)  # differences that would have forbidden the comparison
    disturbed: str = ""  # a sentence on the other work and the disturbed windows, where a metric is of time
    harmless: list[str] = field(default_factory=list)  # other differences of the environment
    moved: list[Moved] = field(default_factory=list)  # what most cases did alike
    disturbed_rounds: list[DisturbedRound] = field(default_factory=list)  # what was taken off single rounds
    smallest: list[Smallest] = field(default_factory=list)  # the smallest changes that are detected
    rollup: list[RollUp] = field(default_factory=list)  # each metric over all cases, and over those of each variant
    serial: dict[str, float] = field(default_factory=dict)  # metric -> correlation of neighbouring rounds, where any

    def of(self, *words: str) -> list[Verdict]:
        """Return the verdicts with one of these words, the worst change first."""
        return sorted((verdict for verdict in self.verdicts if verdict.word in words), key=lambda v: -v.worse)

    @property
    def counts(self) -> dict[str, int]:
        counts = Counter(verdict.word for verdict in self.verdicts)
        return {word: counts[word] for word in (SLOWER, FASTER, AMBIGUOUS, SAME)}

    @property
    def regressed(self) -> bool:
        return bool(self.failed) or self.counts[SLOWER] > 0

    @property
    def slowed_alike(self) -> list[Moved]:
        """The metrics that got worse in most cases alike, past the minimum: the code, or apart the machine."""
        return [one for one in self.moved if one.worse]

    @property
    def judged(self) -> bool:
        """True where any case could be judged by a metric that varies, or where there is none by an exact one."""
        varying = [verdict for verdict in self.verdicts if not METRICS[verdict.metric].exact] or self.verdicts
        return any(one.kind in ("", "noise", "common") and not one.by_separation for one in varying)

    def as_json(self) -> dict[str, Any]:
        """Return the object that --json prints, with the older key of the harmless differences."""
        fields = asdict(self)
        fields["told"] = fields.pop("harmless")
        return {"counts": self.counts} | fields


def compare_lists(
    base: Lists,
    head: Lists,
    metrics: Iterable[str] = METRICS,
    minimum: Mapping[str, float] | None = None,
    rule: Rule = RULE,
) -> Comparison:
    """Compare two sides, of `read_lists`, on every metric that both have.

    `minimum` replaces the metrics' minimum effects. All tests that noise can fool are one family. Rounds are paired in
    cases whose base and head were measured in turns. `bench.records.comparable` says whether two may be compared.
    """
    names, minimums = list(metrics), dict(minimum or {})
    sides = Sides(base, head)
    tests = [test for name in names for test in _tests(sides, name, minimums.get(name, METRICS[name].minimum), rule)]
    corrected = rules.holm(np.concatenate([test.p for test in tests])) if tests else np.empty(0)
    family = int(np.isfinite(corrected).sum())
    verdicts, start = list[Verdict](), 0
    for test in tests:
        verdicts += test.verdicts(corrected[start : start + len(test.cases)], family)
        start += len(test.cases)
    verdicts.sort(key=lambda verdict: (sides.index[verdict.case], names.index(verdict.metric)))
    compared = {verdict.case for verdict in verdicts}
    lists = (sides.missing(), sides.new(), sides.failed())
    unjudged = [case for case in sides.common if case not in compared]
    one_sided = {name: counts for name in names if (counts := _one_sided(sides, METRICS[name]))}
    alone = int((~sides.interleaved).sum())
    comparison = Comparison(verdicts, *lists, unjudged, sides.nowhere(), one_sided, alone)
    comparison.disturbed = sides.disturbance() if any(METRICS[name].timed for name in names) else ""
    comparison.moved = [moved for test in tests if (moved := test.moved())]
    comparison.disturbed_rounds = [one for test in tests for one in test.disturbed_rounds(sides.rounds)]
    comparison.smallest = list(_smallest(tests, family, rule))
    comparison.rollup = roll_up(tests, verdicts)
    comparison.serial = {test.name: serial for test in tests if (serial := float(test.estimate.serial.max())) > 0}
    return comparison


def _smallest(tests: list[Tests], family: int, rule: Rule) -> Iterator[Smallest]:
    """Yield the smallest changes of each metric of time that are detected, where any is."""
    by_metric: dict[str, list[Tests]] = {}
    for test in tests:
        if METRICS[test.name].timed:
            by_metric.setdefault(test.name, []).append(test)
    for name, group in by_metric.items():
        parts = [test.smallest(family) for test in group]
        sizes, rounds = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
        if np.isfinite(sizes).any():
            cases = [case for test in group for case in test.cases]
            noisiest, most = int(np.nanargmax(sizes)), int(rounds[np.isfinite(sizes)].max())
            numbers = float(np.nanmedian(sizes)), float(sizes[noisiest])
            yield Smallest(name, *numbers, cases[noisiest], most, most >= rule.min_rounds)


def _one_sided(sides: Sides, metric: Metric) -> dict[str, int]:
    """Count the common cases that have the metric on one side only, by that side."""
    base, head = (np.isfinite(sides.values(name, metric)).any(-1) for name in NAMES)
    counts = {"base": int((base & ~head).sum()), "head": int((head & ~base).sum())}
    return {name: count for name, count in counts.items() if count}


def _tests(sides: Sides, name: str, minimum: float, rule: Rule) -> Iterator[Tests]:
    metric = METRICS[name]
    base, head = (sides.values(side, metric) for side in NAMES)
    why = sides.throttling(metric)
    disturbed = sides.lacking_windows(metric, rule.min_rounds)
    busy = sides.beside_other_work(metric, rule.min_rounds)
    column = metric.alike
    unlike = [""] * len(sides.common)
    if column:
        base, head, unlike = sides.alike(column, base, head, rule.min_rounds)
    # a way of starting that only disturbed rounds have is no choice, and throttled ones have no windows to lack
    reasons_of = {"disturbed": disturbed, column: unlike, "throttled": why, "busy": busy}
    kinds = [next((kind for kind, texts in reasons_of.items() if texts[at]), "") for at in range(len(sides.common))]
    why = [next(filter(None, texts), "") for texts in zip(*reasons_of.values(), strict=True)]
    present = np.stack([np.isfinite(base).any(-1), np.isfinite(head).any(-1)])
    measured = np.stack([np.isfinite(sides.unmasked(side, metric)).any(-1) for side in NAMES])
    # a side all of whose rounds throttled or were disturbed has a verdict, too: AMBIGUOUS
    spoilt, lost = (np.array(list(map(bool, texts)), dtype=bool) for texts in (why, disturbed))
    testable = present.all(0) | ((present.any(0) | measured.all(0)) & spoilt) | lost
    of = effects if metric.of_machine else unmoved
    # in turns a round counts where both sides have it; where none may count, all are shown
    alone = (sides.interleaved & ~spoilt)[:, None] & ~(np.isfinite(base) & np.isfinite(head))
    base, head = np.where(alone, np.nan, base), np.where(alone, np.nan, head)
    for paired in (False, True):
        at = np.flatnonzero(testable & (sides.interleaved == paired))
        if not len(at):
            continue
        cases, kind_of, reasons = ([values[index] for index in at] for values in (sides.common, kinds, why))
        result = of(_log(base[at]), _log(head[at]), paired)
        yield Tests(name, cases, paired, base[at], head[at], result, kind_of, reasons, minimum, rule)


def _log(values: Array) -> Array:
    """Return the logarithm; NaN for a zero, which has none."""
    return np.log(np.where(values > 0, values, np.nan))


__all__ = ["AMBIGUOUS", "FASTER", "SAME", "SLOWER", "Comparison", "Failed", "Verdict", "compare_lists"]
