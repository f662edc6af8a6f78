"""The tests of one metric, and their words: from the rounds of cases to verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log1p
from typing import Any

import numpy as np
from scipy.special import stdtrit

from bench.text import percent_change, plural
from bench.verdicts import rule as rules
from bench.verdicts.alike import OUTSIDE, Effects
from bench.verdicts.metrics import METRICS, PROCESS
from bench.verdicts.rounds import NAMES
from bench.verdicts.rule import AMBIGUOUS, SAME, WORDS, Array, Estimate, Rule
from bench.verdicts.serial import Mask
from bench.verdicts.verdict import LEAST_SHARED, DisturbedRound, Moved, Verdict


@dataclass(frozen=True)
class Tests:
    """The tests of one metric on some cases, all interleaved or none: their values, [cases, rounds], and effects."""

    name: str
    cases: list[str]
    paired: bool
    base: Array
    head: Array
    effects: Effects
    kinds: list[str]  # of the reasons that forbid a verdict
    forbidden: list[str]
    minimum: float
    rule: Rule

    @property
    def estimate(self) -> Estimate:
        return self.effects.estimate

    @property
    def p(self) -> Array:
        """The p-values, not corrected; NaN for a test that cannot give an alarm, and is not of the family."""
        few = self.estimate.rounds < self.rule.min_rounds
        return np.where(self.is_forbidden | few | self.is_constant, np.nan, self.estimate.p)

    @cached_property
    def is_forbidden(self) -> Mask:
        return np.array([bool(why) for why in self.forbidden], dtype=bool)

    @cached_property
    def is_constant(self) -> Mask:
        """True of a case neither side of which varies, though what was taken off its rounds may."""
        spans = [np.where(np.isfinite(side), side, np.nan) for side in (self.base, self.head)]
        with np.errstate(invalid="ignore"):
            return np.logical_and.reduce([np.fmax.reduce(side, -1) == np.fmin.reduce(side, -1) for side in spans])

    @cached_property
    def _common(self) -> float:
        """The part of every effect, a logarithm, that was taken off before each was judged."""
        return float(self.estimate.common[0])

    @cached_property
    def _is_past(self) -> bool:
        return abs(float(self.effects.movement.size)) > log1p(self.minimum)

    @cached_property
    def _has_moved(self) -> bool:
        """True if most cases moved alike, by what stands out of chance, and is worth a sentence."""
        movement = self.effects.movement
        return bool(movement.stands_out) and (self._is_past or abs(float(movement.size)) >= LEAST_SHARED)

    @cached_property
    def _is_alike(self) -> Mask:
        """True of a case that moved as most did and no more, where they moved past the minimum."""
        movement, estimates = self.effects.movement, self.estimate
        if not (self._has_moved and self._is_past):
            return np.zeros(len(self.cases), dtype=bool)
        reach = np.asarray(stdtrit(estimates.df, 1 - OUTSIDE / 2)) * estimates.error
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(estimates.effect - movement.size) <= reach, dtype=bool)

    def verdicts(self, corrected: Array, family: int) -> Iterator[Verdict]:
        """Yield a verdict for each case; `corrected` are their p-values, in a family of `family` tests."""
        sign, effects = METRICS[self.name].sign, self.effects
        separated = rules.separation(effects.base, effects.head, -self.estimate.common)
        words = rules.verdicts(self.estimate, corrected, self.minimum, sign, self.rule, separated)
        widths = self.estimate.half_width(self.rule.interval_alpha)
        for at in range(len(self.cases)):
            yield self._exact(at) or self._noisy(at, WORDS[words[at]], float(widths[at]), float(corrected[at]), family)

    def smallest(self, family: int) -> tuple[Array, Array]:
        """Return the smallest change, relative, that each case's test detects nine times in ten, or NaN.

        The second result is the rounds of the side that has fewer. A change of a metric that does not vary, or whose
        rounds were spoilt, is not among them.
        """
        sizes = np.expm1(rules.smallest_detected(self.estimate, self.minimum, family, self.rule))
        return np.where(self.is_forbidden | self.is_constant, np.nan, sizes), self.estimate.rounds

    def moved(self) -> Moved | None:
        """Return what most cases moved alike; None where they did not, or by next to nothing."""
        movement = self.effects.movement
        if not self._has_moved:
            return None
        size, error = float(movement.size), float(movement.error)
        low, high = (exp(size + 1.96 * side * error) for side in (-1, 1))
        of = int((np.isfinite(self.estimate.effect) & (self.estimate.error > 0)).sum())
        worse = self._is_past and METRICS[self.name].sign * size > 0
        cases = round(float(movement.share) * of)
        return Moved(self.name, self.paired, cases, of, exp(size), low, high, self._is_past, worse)

    def disturbed_rounds(self, numbers: Sequence[int]) -> Iterator[DisturbedRound]:
        """Yield the rounds of a side in which all cases moved alike; `numbers` are those of the rounds."""
        for side, taken_off in zip(NAMES, self.effects.disturbance, strict=True):
            for place in np.flatnonzero(taken_off).tolist():
                yield DisturbedRound(self.name, side, numbers[place], exp(float(taken_off[place])))

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
        effect, error = float(self.estimate.effect[at]) - self._common, float(self.estimate.error[at])
        numbers: dict[str, Any] = dict(zip(NAMES, map(_mean, self._values(at)), strict=True))
        if np.isfinite(effect):
            numbers["ratio"] = exp(effect)
        if error > 0:
            numbers |= {"low": exp(effect - half_width), "high": exp(effect + half_width)}
        if np.isfinite(corrected):
            numbers["p"] = corrected
        if self._common:
            numbers["common"] = exp(self._common)
        if self._is_alike[at]:
            numbers["alike"] = True
        if word == AMBIGUOUS or self.forbidden[at]:
            return self._verdict(at, AMBIGUOUS, **self._ambiguity(at, half_width, family), **numbers)
        few = int(self.estimate.rounds[at]) < self.rule.min_rounds
        return self._verdict(at, word, self._reason(at, word, few), by_separation=few, **numbers)

    def _reason(self, at: int, word: str, few: bool) -> str:
        """Return the reason of a verdict that is not AMBIGUOUS."""
        limit, shared = f"{100 * self.minimum:g} %", self._shared()
        if word == SAME:
            return f"within {limit}{shared and f', with {shared}'}"
        without = shared and f", without {shared}"
        if few:
            base, head = map(len, self._values(at))
            gap = f"{100 * self.rule.gap:g} %"
            return f"each of {head} rounds is beyond each of base's {base} by over {gap}, and their spread{without}"
        return f"significant, and beyond {limit}{without}"

    def _is_as_measured(self, at: int) -> bool:
        """Return whether a case changed past the minimum with what all cases share, too: else it may have stayed."""
        toward = np.sign(float(self.estimate.remaining[at]))
        return bool(toward * float(self.estimate.effect[at]) > log1p(self.minimum))

    def _shared(self) -> str:
        shown = abs(self._common) >= LEAST_SHARED
        return f"the {percent_change(exp(self._common))} % of all cases" if shown else ""

    def _ambiguity(self, at: int, half_width: float, family: int) -> dict[str, Any]:
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
            if rounds >= self.rule.few_rounds:
                reason += f", or rounds that are all apart by {100 * self.rule.gap:g} %"
            return {"kind": "rounds", "reason": reason, "wanted": wanted}
        size = abs(float(self.estimate.remaining[at]))
        beyond = size > log1p(self.minimum)
        if self._common and self._has_moved:
            moved = f"{percent_change(exp(self._common))} %"
            if size + half_width <= log1p(self.minimum):
                return {"kind": "common", "reason": f"moved with all cases by {moved}"}
            if beyond and self._is_past and not self._is_as_measured(at):
                return {"kind": "common", "reason": f"moved less than all cases, by {moved}"}
        if wanted is None:
            return {"kind": "noise", "reason": f"too near {limit} for {rules.MAX_ROUNDS} rounds"}
        reason = "may be noise" if beyond else f"may be past {limit}"
        return {"kind": "noise", "reason": f"{reason}: {wanted} rounds would show it", "wanted": wanted}


def _mean(values: Array) -> float | None:
    """Return the geometric mean; the arithmetic mean of values with a zero; None of no values."""
    if not len(values):
        return None
    return exp(float(np.log(values).mean())) if (values > 0).all() else float(values.mean())
