"""The decision rule: whether head differs from base, from arrays of logarithms.

The sample is the process round. Every array is [..., tests, rounds], a NaN where a round left nothing. The tests of one
call are one metric's over the cases of a comparison, because the variance of each is moderated by those of the others.
`bench.verdicts.alike` takes off what all cases did alike before it. docs/METHODOLOGY.md says why the rule is what it
is, with its error rates.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from math import log, log1p

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, ndtri, polygamma, stdtr, stdtrit

from bench.verdicts.serial import Array as Array
from bench.verdicts.serial import mean_factors, serial

SLOWER, FASTER, SAME, AMBIGUOUS = WORDS = ("SLOWER", "FASTER", "SAME", "AMBIGUOUS")
MIN_VARIANCES = 20  # the least number of variances from which their common prior is estimated
MAX_ROUNDS = 1000  # a test that these would not settle is called open for good
POWER = 0.9  # the chance to detect the smallest change that is said to be detected
# Rounds a side -> quantiles POWER of normal rounds, in standard deviations: of the largest of a side less the least of
# the other, which a change has to exceed by the gap; and of that with the wider of both sides' spreads.
EXTREMES = {3: (3.06, 6.06), 4: (3.35, 6.70), 5: (3.56, 7.15), 10: (4.14, 8.38)}


@dataclass(frozen=True)
class Rule:
    """The error rates that a verdict is allowed, and the rounds that it takes.

    Rules that look at the same rounds several times divide the error rates among the looks.
    """

    # The family-wise error rate: the chance of any SLOWER or FASTER in a whole comparison of identical code. With
    # normal noise it is at most this, with noise that differs from case to case up to 0.05.
    family_alpha: float = 0.04
    test_alpha: float = 0.0035  # of a single test, however few there are; with bimodal noise it is up to 0.0045
    interval_alpha: float = 0.05  # 1 - confidence of the interval that SAME needs within the minimum; of one test
    min_rounds: int = 6  # a side; with 5, one sweep in ten of bimodal processes has a false alarm
    # With fewer rounds, but these, a change is one where every round of one side is beyond every round of the other by
    # more than the gap, relative, and by more than the rounds of either side are apart.
    few_rounds: int = 3
    gap: float = 0.1

    def per_look(self, looks: int) -> Rule:
        """Return the rule of each of several looks, any of which may end the run (Bonferroni)."""
        alphas = ("family_alpha", "test_alpha", "interval_alpha")
        return replace(self, **{name: getattr(self, name) / looks for name in alphas})


RULE = Rule()


@dataclass(frozen=True)
class Estimate:
    """The effect of each test, [..., tests]: the mean of log(head / base), its standard error, its degrees of freedom.

    The standard error is 0 where neither side varies, and NaN where a side that varies has fewer than two rounds.
    `common` is the part of the effect, [..., 1], that all cases share and that no verdict rests on (0: nothing).
    `serial` is the correlation of a side's round with the one before it, [..., sides], as far as it stands out of 0.
    """

    effect: Array
    error: Array
    df: Array
    base_rounds: Array
    head_rounds: Array
    common: Array
    serial: Array

    @property
    def remaining(self) -> Array:
        """The effect without what all cases share: a verdict on a change is about this."""
        return self.effect - self.common

    @property
    def rounds(self) -> Array:
        """The rounds of the side that has fewer."""
        return np.minimum(self.base_rounds, self.head_rounds)

    def half_width(self, alpha: float = RULE.interval_alpha) -> Array:
        """Half the width of the 1 - alpha confidence interval: an effect beyond it is significant at that level."""
        return np.asarray(stdtrit(self.df, 1 - alpha / 2), dtype=np.float64) * self.error

    @property
    def p(self) -> Array:
        """The two-sided p-value, not corrected; NaN where there is no noise to compare an effect with."""
        t = np.abs(self.remaining) / np.where(self.error > 0, self.error, np.nan)
        return 2 * np.asarray(stdtr(self.df, -t), dtype=np.float64)


def estimate(base: Array, head: Array, paired: bool, moderate: bool = True, in_order: bool = False) -> Estimate:
    """Estimate the effect of each test: by Student's paired differences, or by Welch's difference of two means.

    With `moderate`, a variance counts for no less than the other tests of its side make likely (`_moderated`). With few
    rounds some variances are small by chance, and these would give the false alarms. With `in_order`, rounds may hang
    together with those before them, and means are less sure for it (`bench.verdicts.serial`).
    """
    arrays = [head - base] if paired else [base, head]
    sides = [_moments(array) for array in arrays]
    base_rounds, head_rounds = sides[0][0], sides[-1][0]
    effect = sides[0][1] if paired else sides[1][1] - sides[0][1]
    counts = np.stack([count for count, _, _ in sides], -1)
    variances = np.stack([variance for _, _, variance in sides], -1)
    constant = (variances == 0).all(-1)
    df, factor = np.maximum(counts - 1, 1), np.ones_like(counts)
    correlation = np.zeros((*effect.shape[:-1], len(arrays)))
    if in_order:
        series = [serial(array) for array in arrays]
        correlation = np.stack([one.correlation for one in series], -1)
        factor, share = mean_factors(np.stack([one.place for one in series], -1), counts)
        df = df * share
    if moderate:
        variances, df = _moderated(variances, df)
    squares = factor * np.where(counts > 1, variances, np.nan) / np.maximum(counts, 1)
    square = np.where(constant, 0.0, squares.sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        effect_df = square**2 / (squares**2 / df).sum(-1)  # Welch and Satterthwaite's; of a single side, that side's
    common = np.zeros((*effect.shape[:-1], 1))
    df = np.where(square > 0, effect_df, 1.0)
    return Estimate(effect, np.sqrt(square), df, base_rounds, head_rounds, common, correlation)


def _moments(values: Array) -> tuple[Array, Array, Array]:
    """Return the count, mean and variance over the rounds; the variance is exactly 0 where all are equal."""
    finite = np.isfinite(values)
    count = finite.sum(-1).astype(np.float64)
    filled = np.where(finite, values, 0.0)
    minimum = np.where(finite, values, np.inf).min(-1)
    constant = (count > 0) & (minimum == np.where(finite, values, -np.inf).max(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(constant, minimum, filled.sum(-1) / count)
        variance = np.where(finite, (filled - mean[..., None]) ** 2, 0.0).sum(-1) / (count - 1)
    return count, mean, np.where(constant, 0.0, variance)


def _moderated(variances: Array, df: Array) -> tuple[Array, Array]:
    """Return the larger of each variance, [..., tests, sides], and its moderated one, and their degrees of freedom.

    A moderated variance is shrunk towards the prior that all tests of its side share, the more so the more alike they
    are: a prior for both sides would call the noisier one quieter than it is. Source: G. Smyth, Linear models and
    empirical Bayes methods (2004), sections 5 and 6. A variance above the prior is kept, because shrinking it would
    make false alarms of a noisy case among quiet ones.
    """
    prior_df, prior = (array[..., None, :] for array in _prior(np.moveaxis(variances, -1, -2), np.moveaxis(df, -1, -2)))
    shrunk = (prior_df * prior + df * variances) / (prior_df + df)
    return np.maximum(variances, shrunk), prior_df + df


def _prior(variances: Array, df: Array) -> tuple[Array, Array]:
    """Return the degrees of freedom and the value of the prior variance; 0 degrees where there are too few tests."""
    with np.errstate(invalid="ignore"):
        positive = variances > 0
    count = positive.sum(-1)
    logs = np.log(np.where(positive, variances, 1.0)) - digamma(df / 2) + np.log(df / 2)
    mean = np.where(positive, logs, 0.0).sum(-1) / np.maximum(count, 1)
    spread = np.where(positive, (logs - mean[..., None]) ** 2, 0.0).sum(-1) / np.maximum(count - 1, 1)
    spread -= np.where(positive, polygamma(1, df / 2), 0.0).sum(-1) / np.maximum(count, 1)
    prior_df = 2 * _trigamma_inverse(np.maximum(spread, 1e-4))  # 20,000 where all tests have the same variance
    prior = np.exp(mean + digamma(prior_df / 2) - np.log(prior_df / 2))
    return np.where(count >= MIN_VARIANCES, prior_df, 0.0), prior


def _trigamma_inverse(x: Array) -> Array:
    """Invert trigamma by Newton's method on 1 / trigamma, nearly a straight line (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(20):
        trigamma = polygamma(1, y)
        step = trigamma * (1 - trigamma / x) / polygamma(2, y)
        y = y + step
        if np.all(np.abs(step) < 1e-8 * y):
            break
    return np.asarray(y, dtype=np.float64)


def holm(p: Array) -> Array:
    """Correct p-values for the number of tests along the last axis; a NaN is no test. Source: S. Holm (1979)."""
    order = np.argsort(p, -1)  # NaN last
    ordered = np.take_along_axis(p, order, -1)
    count = np.isfinite(p).sum(-1, keepdims=True)
    steps = ordered * np.maximum(count - np.arange(p.shape[-1]), 1)
    corrected = np.empty_like(p)
    np.put_along_axis(corrected, order, np.maximum.accumulate(steps, -1), -1)
    return np.where(np.isfinite(p), np.minimum(corrected, 1.0), np.nan)


def separation(base: Array, head: Array, shift: Array | float = 0.0) -> Array:
    """Return by how much every round of head is above every round of base, [..., tests], or below, negative.

    It is 0 where the rounds of either side are as far apart, or overlap. `shift` is added to head.
    """
    low, high = (
        [edge.reduce(np.where(np.isfinite(side), side, end), -1) for side in (base, head)]
        for edge, end in ((np.minimum, np.inf), (np.maximum, -np.inf))
    )
    with np.errstate(invalid="ignore"):
        spread = np.maximum(high[0] - low[0], high[1] - low[1])
        above, below = low[1] + shift - high[0], low[0] - shift - high[1]
        return np.where(above > np.maximum(spread, 0), above, np.where(below > np.maximum(spread, 0), -below, 0.0))


def verdicts(
    estimates: Estimate,
    corrected: Array,
    minimum: float | Array,
    sign: int = 1,
    rule: Rule = RULE,
    separated: Array | float = 0.0,
) -> NDArray[np.int8]:
    """Return the index in WORDS of each test's verdict; `corrected` are the p-values after `holm`.

    `minimum` is a relative effect (0.02); `sign` is 1 if more is worse, else -1; `separated` is of `separation`,
    without what all cases share. A change is one beyond that. Where they share more than the minimum, it may be the
    code's own, and a case has changed only if it did as measured, too: of cases that stayed beside others that changed,
    none is FASTER.
    """
    limit, worse = np.log1p(minimum), sign * estimates.remaining
    size = np.abs(estimates.remaining)
    as_measured = np.where(np.abs(estimates.common) > limit, np.sign(worse) * sign * estimates.effect, np.inf)
    enough = estimates.rounds >= rule.min_rounds
    few = ~enough & (estimates.rounds >= rule.few_rounds)
    with np.errstate(invalid="ignore"):
        changed = (corrected < rule.family_alpha) & (estimates.p < rule.test_alpha) & enough
        changed |= few & (np.abs(separated) > log1p(rule.gap))
        changed &= (size > limit) & (as_measured > limit)
        same = enough & (np.abs(estimates.effect) + estimates.half_width(rule.interval_alpha) <= limit)
    return np.select([changed & (worse > 0), changed, same], [0, 1, 2], 3).astype(np.int8)


def smallest_detected(estimates: Estimate, minimum: float, tests: int, rule: Rule = RULE) -> Array:
    """Return the smallest change, a logarithm, that each test detects nine times in ten, [..., tests].

    By the test among so many, or with too few rounds for one, by separation: then the extremes of normal rounds stand
    in the way, and their spread. NaN where nothing is detected.
    """
    quantile = np.asarray(stdtrit(estimates.df, POWER), np.float64)
    sure = quantile * estimates.error
    level = min(rule.family_alpha / max(tests, 1), rule.test_alpha)
    tested = np.maximum(estimates.half_width(level), log1p(minimum)) + sure
    inverse = 1 / np.maximum(estimates.base_rounds, 1) + 1 / np.maximum(estimates.head_rounds, 1)
    deviation = estimates.error / np.sqrt(inverse) * quantile / ndtri(POWER)  # few rounds may show too little of it
    rounds = (estimates.base_rounds + estimates.head_rounds) / 2
    extremes, spread = (
        np.interp(rounds, list(EXTREMES), values) * deviation for values in zip(*EXTREMES.values(), strict=True)
    )
    apart = np.maximum(max(log1p(rule.gap), log1p(minimum)) + extremes, spread)
    detected = np.where(estimates.rounds >= rule.min_rounds, tested, apart)
    return np.where((estimates.rounds >= rule.few_rounds) & np.isfinite(estimates.error), detected, np.nan)


def exact_verdict(base: float, head: float, minimum: float, sign: int) -> str:
    """Return the verdict on two numbers without noise; either may be 0."""
    if base == head:
        return SAME
    if base > 0 and head > 0 and abs(log(head / base)) <= log1p(minimum):
        return SAME
    return SLOWER if sign * (head - base) > 0 else FASTER


def rounds_needed(
    estimates: Estimate, index: int, minimum: float, tests: int, paired: bool, rule: Rule = RULE
) -> int | None:
    """Return how many rounds a side would settle one test, if its effect and its noise are as estimated.

    The result is None where the effect is so near the minimum that MAX_ROUNDS would not settle it.
    """
    effect, error = abs(float(estimates.remaining[index])), float(estimates.error[index])
    whole = abs(float(estimates.effect[index]))
    inverse = 1 / float(estimates.base_rounds[index]) + (0.0 if paired else 1 / float(estimates.head_rounds[index]))
    deviation, limit = error / inverse**0.5, log1p(minimum)
    alpha = min(rule.family_alpha / max(tests, 1), rule.test_alpha)
    sides = 1 if paired else 2

    def settles(rounds: int) -> bool:
        error = deviation * (sides / rounds) ** 0.5
        df = max(float(estimates.df[index]), sides * (rounds - 1))
        if effect > limit:
            return bool(-stdtrit(df, alpha / 2) * error < effect)
        return bool(whole + stdtrit(df, 1 - rule.interval_alpha / 2) * error <= limit)

    if not settles(MAX_ROUNDS):
        return None
    fewest = max(rule.min_rounds, int(estimates.rounds[index]) + 1)
    return bisect_left(range(MAX_ROUNDS), True, lo=fewest, key=settles)
