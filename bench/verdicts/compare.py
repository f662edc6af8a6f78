"""Verdicts on two sets of records: SAME, FASTER, SLOWER or AMBIGUOUS for each case and metric.

`bench.verdicts.rule` has the decision rule, `bench.verdicts.metrics` the metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import exp, inf, log, log1p
from typing import Any

import numpy as np

from bench.text import plural
from bench.verdicts import rule as rules
from bench.verdicts.lists import Lists
from bench.verdicts.metrics import METRICS, PROCESS, Metric
from bench.verdicts.rounds import NAMES, Failed, Sides
from bench.verdicts.rule import AMBIGUOUS, FASTER, RULE, SAME, SLOWER, WORDS, Array, Estimate, Rule


@dataclass(frozen=True)
class Verdict:
    """The verdict on one metric of one case.

    `base` and `head` are geometric means over the rounds, in the metric's unit. `ratio` is head / base; `low` and
    `high` are its 95 % confidence interval, of each test by itself. `p` is corrected for the number of tests. A metric
    that does not vary from round to round has no interval and no p. `kind` is why a verdict is AMBIGUOUS (rounds,
    throttled, disturbed, caches, process or noise), and `wanted` how many rounds a side would settle it, if any would.
    """

    case: str
    metric: str
    word: str
    reason: str
    rounds: tuple[int, int]
    paired: bool
    minimum: float
    base: float | None = None
    head: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    kind: str = ""
    wanted: int | None = None

    @property
    def worse(self) -> float:
        """How much worse head is, as a logarithm: the order of verdicts."""
        if self.base is None or self.head is None or self.base == self.head:
            return 0.0
        size = log(self.ratio) if self.ratio else inf if self.head > self.base else -inf
        return METRICS[self.metric].sign * size

    @property
    def is_clear(self) -> bool:
        """True if the change is past the minimum, and its interval leaves out none at all."""
        beyond = abs(self.worse) > log1p(self.minimum)
        return bool(beyond and self.low and self.high and not self.low <= 1 <= self.high)


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
    def judged(self) -> bool:
        """True where any case could be judged by a metric that varies, or where there is none by an exact one."""
        varying = [verdict for verdict in self.verdicts if not METRICS[verdict.metric].exact] or self.verdicts
        return any(verdict.kind in ("", "noise") for verdict in varying)

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
    apart = (sides.missing(), sides.new(), sides.failed())
    unjudged = [case for case in sides.common if case not in compared]
    one_sided = {name: counts for name in names if (counts := _one_sided(sides, METRICS[name]))}
    alone = int((~sides.interleaved).sum())
    disturbed = sides.disturbance() if any(METRICS[name].timed for name in names) else ""
    return Comparison(verdicts, *apart, unjudged, sides.nowhere(), one_sided, alone, disturbed=disturbed)


def _one_sided(sides: Sides, metric: Metric) -> dict[str, int]:
    """Count the common cases that have the metric on one side only, by that side."""
    base, head = (np.isfinite(sides.values(name, metric)).any(-1) for name in NAMES)
    counts = {"base": int((base & ~head).sum()), "head": int((head & ~base).sum())}
    return {name: count for name, count in counts.items() if count}


def _tests(sides: Sides, name: str, minimum: float, rule: Rule) -> Iterator[_Tests]:
    metric = METRICS[name]
    base, head = (sides.values(side, metric) for side in NAMES)
    kind, why = ("throttled", sides.throttling()) if metric.timed else ("", [""] * len(sides.common))
    disturbed = sides.lacking_windows(rule.min_rounds) if name == "throughput" else [""] * len(sides.common)
    if name == "throughput":  # first: a way of starting that only such rounds have is no choice
        base = np.where(sides.disturbed["base"], np.nan, base)
        head = np.where(sides.disturbed["head"], np.nan, head)
    column = metric.alike
    unlike = [""] * len(sides.common)
    if column:
        base, head, unlike = sides.alike(column, base, head, rule.min_rounds)
    kinds = ["disturbed" if lost else column if text else kind for lost, text in zip(disturbed, unlike, strict=True)]
    why = [next(filter(None, texts), "") for texts in zip(disturbed, unlike, why, strict=True)]
    present = np.stack([np.isfinite(base).any(-1), np.isfinite(head).any(-1)])
    # a side all of whose rounds throttled or were disturbed has a verdict, too: AMBIGUOUS
    spoilt, lost = (np.array(list(map(bool, texts)), dtype=bool) for texts in (why, disturbed))
    testable = present.all(0) | (present.any(0) & spoilt) | lost
    for paired in (False, True):
        at = np.flatnonzero(testable & (sides.interleaved == paired))
        if not len(at):
            continue
        estimate = rules.estimate(_log(base[at]), _log(head[at]), paired)
        cases, kind_of, reasons = ([values[index] for index in at] for values in (sides.common, kinds, why))
        yield _Tests(name, cases, paired, base[at], head[at], estimate, kind_of, reasons, minimum, rule)


def _log(values: Array) -> Array:
    """Return the logarithm; NaN for a zero, which has none."""
    return np.log(np.where(values > 0, values, np.nan))


@dataclass(frozen=True)
class _Tests:
    """The tests of one metric on some cases, all interleaved or none: their values, [cases, rounds], and estimates."""

    name: str
    cases: list[str]
    paired: bool
    base: Array
    head: Array
    estimate: Estimate
    kinds: list[str]  # of the reasons that forbid a verdict
    forbidden: list[str]
    minimum: float
    rule: Rule

    @property
    def p(self) -> Array:
        """The p-values, not corrected; NaN for a test that cannot give an alarm, and is not of the family."""
        excluded = np.array([bool(why) for why in self.forbidden]) | (self.estimate.rounds < self.rule.min_rounds)
        return np.where(excluded, np.nan, self.estimate.p)

    def verdicts(self, corrected: Array, family: int) -> Iterator[Verdict]:
        """Yield a verdict for each case; `corrected` are their p-values, in a family of `family` tests."""
        sign = METRICS[self.name].sign
        words = rules.verdicts(self.estimate, corrected, self.minimum, sign, self.rule)
        widths = self.estimate.half_width(self.rule.interval_alpha)
        for at in range(len(self.cases)):
            yield self._exact(at) or self._noisy(at, WORDS[words[at]], float(widths[at]), float(corrected[at]), family)

    def _values(self, at: int) -> tuple[Array, Array]:
        return self.base[at][np.isfinite(self.base[at])], self.head[at][np.isfinite(self.head[at])]

    def _verdict(self, at: int, word: str, reason: str, **numbers: Any) -> Verdict:
        base, head = map(len, self._values(at))
        return Verdict(self.cases[at], self.name, word, reason, (base, head), self.paired, self.minimum, **numbers)

    def _exact(self, at: int) -> Verdict | None:
        """Return the verdict where neither side varies from round to round, if there are rounds enough to say so."""
        metric = METRICS[self.name]
        base, head = self._values(at)
        min_rounds = 1 if metric.exact else self.rule.min_rounds
        if self.forbidden[at] or min(len(base), len(head)) < min_rounds or np.ptp(base) or np.ptp(head):
            return None
        before, after = float(base[0]), float(head[0])
        word = rules.exact_verdict(before, after, self.minimum, metric.sign)
        ratio = after / before if before else 1.0 if before == after else None
        reason = "equal in every round" if before == after else "without noise: every round of a side is equal"
        return self._verdict(at, word, reason, base=before, head=after, ratio=ratio)

    def _noisy(self, at: int, word: str, half_width: float, corrected: float, family: int) -> Verdict:
        effect, error = float(self.estimate.effect[at]), float(self.estimate.error[at])
        numbers: dict[str, Any] = dict(zip(NAMES, map(_mean, self._values(at)), strict=True))
        if np.isfinite(effect):
            numbers["ratio"] = exp(effect)
        if error > 0:
            numbers |= {"low": exp(effect - half_width), "high": exp(effect + half_width)}
        if np.isfinite(corrected):
            numbers["p"] = corrected
        if word == AMBIGUOUS or self.forbidden[at]:
            return self._verdict(at, AMBIGUOUS, **self._ambiguity(at, family), **numbers)
        limit = f"{100 * self.minimum:g} %"
        reason = f"within {limit}" if word == SAME else f"significant, and beyond {limit}"
        return self._verdict(at, word, reason, **numbers)

    def _ambiguity(self, at: int, family: int) -> dict[str, Any]:
        """Return the fields that say why a verdict is AMBIGUOUS, and how many rounds would settle it."""
        min_rounds, rounds, limit = self.rule.min_rounds, int(self.estimate.rounds[at]), f"{100 * self.minimum:g} %"
        wanted: int | None = min_rounds
        if self.estimate.error[at] > 0:
            wanted = rules.rounds_needed(self.estimate, at, self.minimum, family, self.paired, self.rule)
        if self.forbidden[at]:
            more = None if self.kinds[at] == PROCESS else wanted
            return {"kind": self.kinds[at], "reason": self.forbidden[at], "wanted": more}
        if rounds < min_rounds:
            reason = f"{rounds} {plural(rounds, 'round')} a side, and a verdict takes {min_rounds}"
            return {"kind": "rounds", "reason": reason, "wanted": wanted}
        if wanted is None:
            return {"kind": "noise", "reason": f"too near {limit} for {rules.MAX_ROUNDS} rounds"}
        beyond = abs(float(self.estimate.effect[at])) > np.log1p(self.minimum)
        reason = "may be noise" if beyond else f"may be past {limit}"
        return {"kind": "noise", "reason": f"{reason}: {wanted} rounds would show it", "wanted": wanted}


def _mean(values: Array) -> float | None:
    """Return the geometric mean; the arithmetic mean of values with a zero; None of no values."""
    if not len(values):
        return None
    return exp(float(np.log(values).mean())) if (values > 0).all() else float(values.mean())


__all__ = ["AMBIGUOUS", "FASTER", "SAME", "SLOWER", "Comparison", "Failed", "Verdict", "compare_lists"]
