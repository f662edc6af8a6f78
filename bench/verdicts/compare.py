"""Two sets of records to verdicts: SAME, FASTER, SLOWER or AMBIGUOUS for each case and metric, and what has none.

`bench.verdicts.rule` has the decision rule, `bench.verdicts.metrics` what is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import exp, inf, log
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.text import plural
from bench.verdicts import rule as rules
from bench.verdicts.metrics import METRICS, Metric
from bench.verdicts.rounds import NAMES, Failed, Sides
from bench.verdicts.rule import AMBIGUOUS, FASTER, RULE, SAME, SLOWER, WORDS, Array, Estimate, Rule

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Verdict:
    """One metric of one case.

    `base` and `head` are geometric means over the rounds, in the metric's unit. `ratio` is head / base; `low` and
    `high` are its 95 % interval, of each test by itself. `p` is corrected for the number of tests. What does not vary
    from round to round has no interval and no p. Of an AMBIGUOUS one, `kind` is why (rounds, throttled, caches or
    noise), and `wanted` how many rounds a side would settle it, if there is such a number.
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
        """How much worse head is, as a logarithm: what they are sorted by."""
        if self.base is None or self.head is None or self.base == self.head:
            return 0.0
        size = log(self.ratio) if self.ratio else inf if self.head > self.base else -inf
        return METRICS[self.metric].sign * size


@dataclass
class Comparison:
    """Every case of either side is in `verdicts`, `missing`, `new`, `failed`, `unmeasured` or `nowhere`."""

    verdicts: list[Verdict]
    missing: dict[str, str]  # cases of base that head did not measure, with the reason it gives, if any
    new: list[str]
    failed: list[Failed]  # in head and not in base; from the rounds that did not fail there may be verdicts, too
    unmeasured: list[str]  # on both sides, without a number of any metric that was asked for
    nowhere: list[str]  # skipped or failed on both sides
    one_sided: dict[str, dict[str, int]]  # metric -> the side that alone has it -> common cases
    apart: int  # cases that were not interleaved
    allowed: list[str] = field(default_factory=list)  # differences that would have forbidden the comparison
    told: list[str] = field(default_factory=list)  # other differences of the environment

    def of(self, *chosen: str) -> list[Verdict]:
        """The verdicts with one of these words, the worst change first."""
        return sorted((one for one in self.verdicts if one.word in chosen), key=lambda one: -one.worse)

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(one.word for one in self.verdicts)
        return {word: found[word] for word in (SLOWER, FASTER, AMBIGUOUS, SAME)}

    @property
    def regressed(self) -> bool:
        return bool(self.failed) or self.counts[SLOWER] > 0

    def plain(self) -> dict[str, Any]:
        """As --json has it."""
        return {"counts": self.counts} | asdict(self)


def compare(
    base: DataFrame,
    head: DataFrame,
    metrics: Iterable[str] = METRICS,
    minimum: Mapping[str, float] | None = None,
    rule: Rule = RULE,
) -> Comparison:
    """Two frames of `bench.load` as verdicts, on every metric that both have.

    `minimum` replaces metrics' own. All tests that noise can fool are one family. Rounds are paired in cases of which
    base and head had theirs in turns. Whether the two may be compared at all is `bench.records.comparable`'s question.
    """
    asked, least = list(metrics), dict(minimum or {})
    sides = Sides(base, head)
    tests = [test for name in asked for test in _tests(sides, name, least.get(name, METRICS[name].minimum), rule)]
    corrected = rules.holm(np.concatenate([test.p for test in tests])) if tests else np.empty(0)
    size = int(np.isfinite(corrected).sum())
    verdicts, start = list[Verdict](), 0
    for test in tests:
        verdicts += test.verdicts(corrected[start : start + len(test.cases)], size)
        start += len(test.cases)
    verdicts.sort(key=lambda one: (sides.place[one.case], asked.index(one.metric)))
    judged = {one.case for one in verdicts}
    return Comparison(
        verdicts,
        sides.missing(),
        sides.new(),
        sides.failed(),
        [case for case in sides.common if case not in judged],
        sides.nowhere(),
        {name: alone for name in asked if (alone := _one_sided(sides, METRICS[name]))},
        int((~sides.interleaved).sum()),
    )


def _one_sided(sides: Sides, metric: Metric) -> dict[str, int]:
    base, head = (np.isfinite(sides.number(name, metric)).any(-1) for name in NAMES)
    counts = {"base": int((base & ~head).sum()), "head": int((head & ~base).sum())}
    return {name: count for name, count in counts.items() if count}


def _tests(sides: Sides, name: str, minimum: float, rule: Rule) -> Iterator[_Test]:
    metric = METRICS[name]
    base, head = (sides.number(side, metric) for side in NAMES)
    forbidden = {"throttled" if metric.timed else "": sides.throttled() if metric.timed else [""] * len(sides.common)}
    if name == "cold-start":
        base, head, told = sides.alike_caches(base, head)
        forbidden = {"caches": told}
    ((kind, why),) = forbidden.items()
    has = np.stack([np.isfinite(base).any(-1), np.isfinite(head).any(-1)])
    # a side all of whose rounds throttled has a verdict, too: AMBIGUOUS
    fit = has.all(0) | (has.any(0) & np.array([bool(text) for text in why], dtype=bool))
    for paired in (False, True):
        at = np.flatnonzero(fit & (sides.interleaved == paired))
        if not len(at):
            continue
        found = rules.estimate(_log(base[at]), _log(head[at]), paired)
        cases, reasons = ([values[place] for place in at] for values in (sides.common, why))
        yield _Test(name, cases, paired, base[at], head[at], found, kind, reasons, minimum, rule)


def _log(values: Array) -> Array:
    """The logarithm; NaN of a zero, which has none."""
    return np.log(np.where(values > 0, values, np.nan))


@dataclass(frozen=True)
class _Test:
    """One metric of some cases, all interleaved or none: values, [cases, rounds], and their estimate."""

    name: str
    cases: list[str]
    paired: bool
    base: Array
    head: Array
    found: Estimate
    kind: str  # of the reasons that forbid a verdict
    forbidden: list[str]
    minimum: float
    rule: Rule

    @property
    def p(self) -> Array:
        """Not corrected; NaN for what cannot give an alarm, and is not of the family."""
        barred = np.array([bool(why) for why in self.forbidden]) | (self._rounds < self.rule.least)
        return np.where(barred, np.nan, self.found.p)

    @property
    def _rounds(self) -> Array:
        return np.minimum(self.found.base, self.found.head)

    def verdicts(self, corrected: Array, tests: int) -> Iterator[Verdict]:
        """One for each case; `corrected` are its p, of a family of so many tests."""
        sign = METRICS[self.name].sign
        words = rules.words(self.found, corrected, self.minimum, sign, self.rule)
        half = self.found.half(self.rule.outside)
        for at in range(len(self.cases)):
            yield self._constant(at) or self._noisy(at, WORDS[words[at]], float(half[at]), float(corrected[at]), tests)

    def _known(self, at: int) -> tuple[Array, Array]:
        return self.base[at][np.isfinite(self.base[at])], self.head[at][np.isfinite(self.head[at])]

    def _verdict(self, at: int, word: str, reason: str, **told: Any) -> Verdict:
        base, head = self._known(at)
        return Verdict(
            self.cases[at], self.name, word, reason, (len(base), len(head)), self.paired, self.minimum, **told
        )

    def _constant(self, at: int) -> Verdict | None:
        """The verdict where neither side varies from round to round, if the rounds are enough to say so."""
        metric = METRICS[self.name]
        base, head = self._known(at)
        enough = 1 if metric.exact else self.rule.least
        if self.forbidden[at] or min(len(base), len(head)) < enough or np.ptp(base) or np.ptp(head):
            return None
        one, other = float(base[0]), float(head[0])
        word = rules.counted(one, other, self.minimum, metric.sign)
        ratio = other / one if one else 1.0 if one == other else None
        reason = "equal in every round" if one == other else "without noise: every round of a side is equal"
        return self._verdict(at, word, reason, base=one, head=other, ratio=ratio)

    def _noisy(self, at: int, word: str, half: float, corrected: float, tests: int) -> Verdict:
        change, error = float(self.found.change[at]), float(self.found.error[at])
        told: dict[str, Any] = dict(zip(NAMES, map(_mean, self._known(at)), strict=True))
        if np.isfinite(change):
            told["ratio"] = exp(change)
        if error > 0:
            told |= {"low": exp(change - half), "high": exp(change + half)}
        if np.isfinite(corrected):
            told["p"] = corrected
        if word == AMBIGUOUS or self.forbidden[at]:
            return self._verdict(at, AMBIGUOUS, **self._open(at, tests), **told)
        limit = f"{100 * self.minimum:g} %"
        reason = f"within {limit}" if word == SAME else f"significant, and beyond {limit}"
        return self._verdict(at, word, reason, **told)

    def _open(self, at: int, tests: int) -> dict[str, Any]:
        """Why there is no verdict, and how many rounds would settle it."""
        least, rounds, limit = self.rule.least, int(self._rounds[at]), f"{100 * self.minimum:g} %"
        wanted: int | None = least
        if self.found.error[at] > 0:
            wanted = rules.rounds_wanted(self.found, at, self.minimum, tests, self.paired, self.rule)
        if self.forbidden[at]:
            return {"kind": self.kind, "reason": self.forbidden[at], "wanted": wanted}
        if rounds < least:
            told = f"{rounds} {plural(rounds, 'round')} a side, and a verdict takes {least}"
            return {"kind": "rounds", "reason": told, "wanted": wanted}
        if wanted is None:
            return {"kind": "noise", "reason": f"too near {limit} for {rules.HOPELESS} rounds"}
        beyond = abs(float(self.found.change[at])) > np.log1p(self.minimum)
        told = "may be noise" if beyond else f"may be past {limit}"
        return {"kind": "noise", "reason": f"{told}: {wanted} rounds would show it", "wanted": wanted}


def _mean(values: Array) -> float | None:
    """The geometric mean; of what holds a zero, the plain one."""
    if not len(values):
        return None
    return exp(float(np.log(values).mean())) if (values > 0).all() else float(values.mean())


__all__ = ["AMBIGUOUS", "FASTER", "SAME", "SLOWER", "Comparison", "Failed", "Verdict", "compare"]
