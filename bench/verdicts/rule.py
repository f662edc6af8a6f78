"""The decision rule: whether head differs from base, from arrays of logarithms.

The sample is the process round. Every array is [..., tests, rounds], a NaN where a round left nothing. The tests of one
call are one metric's over the cases of a comparison, because the variance of each is moderated by those of the others.
docs/METHODOLOGY.md says why the rule is what it is, with its error rates.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from math import log, log1p

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma, stdtr, stdtrit

Array = NDArray[np.float64]

SLOWER, FASTER, SAME, AMBIGUOUS = WORDS = ("SLOWER", "FASTER", "SAME", "AMBIGUOUS")
MIN_VARIANCES = 20  # the least number of variances from which their common prior is estimated
MAX_ROUNDS = 1000  # a test that these would not settle is called open for good


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

    def per_look(self, looks: int) -> Rule:
        """Return the rule of each of several looks, any of which may end the run (Bonferroni)."""
        alphas = ("family_alpha", "test_alpha", "interval_alpha")
        return replace(self, **{name: getattr(self, name) / looks for name in alphas})


RULE = Rule()


@dataclass(frozen=True)
class Estimate:
    """The effect of each test, [..., tests]: the mean of log(head / base), its standard error, its degrees of freedom.

    The standard error is 0 where neither side varies, and NaN where a side that varies has fewer than two rounds.
    """

    effect: Array
    error: Array
    df: Array
    base_rounds: Array
    head_rounds: Array

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
        t = np.abs(self.effect) / np.where(self.error > 0, self.error, np.nan)
        return 2 * np.asarray(stdtr(self.df, -t), dtype=np.float64)


def estimate(base: Array, head: Array, paired: bool, moderate: bool = True) -> Estimate:
    """Estimate the effect of each test: by Student's paired differences, or by Welch's difference of two means.

    With `moderate`, a variance counts for no less than the other tests make likely (`_moderated`). With few rounds some
    variances are small by chance, and these would give the false alarms.
    """
    if paired:
        sides = [_moments(head - base)]
        base_rounds = head_rounds = sides[0][0]
        effect = sides[0][1]
    else:
        sides = [_moments(base), _moments(head)]
        (base_rounds, base_mean, _), (head_rounds, head_mean, _) = sides
        effect = head_mean - base_mean
    counts = np.stack([count for count, _, _ in sides], -1)
    variances = np.stack([variance for _, _, variance in sides], -1)
    constant = (variances == 0).all(-1)
    df = np.maximum(counts - 1, 1)
    if moderate:
        variances, df = _moderated(variances, df)
    squares = np.where(counts > 1, variances, np.nan) / np.maximum(counts, 1)
    square = np.where(constant, 0.0, squares.sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        effect_df = square**2 / (squares**2 / df).sum(-1)  # Welch and Satterthwaite's; of a single side, that side's
    return Estimate(effect, np.sqrt(square), np.where(square > 0, effect_df, 1.0), base_rounds, head_rounds)


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

    A moderated variance is shrunk towards the prior that all tests share, the more so the more alike they are. Source:
    G. Smyth, Linear models and empirical Bayes methods (2004), sections 5 and 6. A variance above the prior is kept,
    because shrinking it would make false alarms of a noisy case among quiet ones.
    """
    flat = variances.reshape(*variances.shape[:-2], -1)
    prior_df, prior = (array[..., None, None] for array in _prior(flat, df.reshape(flat.shape)))
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


def verdicts(
    estimates: Estimate, corrected: Array, minimum: float | Array, sign: int = 1, rule: Rule = RULE
) -> NDArray[np.int8]:
    """Return the index in WORDS of each test's verdict; `corrected` are the p-values after `holm`.

    `minimum` is a relative effect (0.02); `sign` is 1 if more is worse, else -1.
    """
    limit, worse = np.log1p(minimum), sign * estimates.effect
    size = np.abs(estimates.effect)
    with np.errstate(invalid="ignore"):
        changed = (corrected < rule.family_alpha) & (estimates.p < rule.test_alpha) & (size > limit)
        same = size + estimates.half_width(rule.interval_alpha) <= limit
    index = np.select([changed & (worse > 0), changed, same], [0, 1, 2], 3)
    return np.where(estimates.rounds >= rule.min_rounds, index, 3).astype(np.int8)


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
    effect, error = abs(float(estimates.effect[index])), float(estimates.error[index])
    inverse = 1 / float(estimates.base_rounds[index]) + (0.0 if paired else 1 / float(estimates.head_rounds[index]))
    deviation, limit = error / inverse**0.5, log1p(minimum)
    alpha = min(rule.family_alpha / max(tests, 1), rule.test_alpha)
    sides = 1 if paired else 2

    def settles(rounds: int) -> bool:
        error = deviation * (sides / rounds) ** 0.5
        df = max(float(estimates.df[index]), sides * (rounds - 1))
        if effect > limit:
            return bool(-stdtrit(df, alpha / 2) * error < effect)
        return bool(effect + stdtrit(df, 1 - rule.interval_alpha / 2) * error <= limit)

    if not settles(MAX_ROUNDS):
        return None
    fewest = max(rule.min_rounds, int(estimates.rounds[index]) + 1)
    return bisect_left(range(MAX_ROUNDS), True, lo=fewest, key=settles)
