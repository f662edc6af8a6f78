"""Whether head differs from base: the decision rule. Arrays of logarithms in, words out.

The sample is the process round. Every array is [..., tests, rounds], a NaN where a round left nothing; the tests of a
call are one metric's over the cases of a comparison, as they lend each other what they tell of the noise.
docs/METHODOLOGY.md says why the rule is what it is, with its error rates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, log1p

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma, stdtr, stdtrit

Array = NDArray[np.float64]

SLOWER, FASTER, SAME, AMBIGUOUS = WORDS = ("SLOWER", "FASTER", "SAME", "AMBIGUOUS")
ENOUGH = 20  # variances from which the spread of the variances can be told
HOPELESS = 1000  # rounds


@dataclass(frozen=True)
class Rule:
    """How sure a verdict is. What looks at the same rounds several times shares the chances of error out among them."""

    # The chance of any SLOWER or FASTER in a whole comparison of identical code: with normal noise at most this, with
    # noise that differs from case to case up to 0.05.
    family: float = 0.04
    single: float = 0.0035  # and of one in a given test, however few; of noise with two modes it is up to 0.0045
    outside: float = 0.05  # 1 - confidence of the interval that SAME needs inside the minimum; of each test by itself
    least: int = 6  # rounds a side; with 5, one sweep in ten of processes with two modes has a false alarm

    def over(self, looks: int) -> Rule:
        """The rule of each of so many looks, any of which may end the matter (Bonferroni)."""
        return replace(self, family=self.family / looks, single=self.single / looks, outside=self.outside / looks)


RULE = Rule()


@dataclass(frozen=True)
class Estimate:
    """Of each test, [..., tests]: the mean of log(head / base), its standard error, its degrees of freedom.

    `error` is 0 where neither side varies, and NaN where a side that varies has fewer than two rounds.
    """

    change: Array
    error: Array
    df: Array
    base: Array  # rounds that count
    head: Array

    def half(self, outside: float = RULE.outside) -> Array:
        """Half the interval that leaves out so much: a change beyond it is significant at that level."""
        return np.asarray(stdtrit(self.df, 1 - outside / 2), dtype=np.float64) * self.error

    @property
    def p(self) -> Array:
        """Two-sided, not corrected; NaN where there is no noise to hold a change against."""
        t = np.abs(self.change) / np.where(self.error > 0, self.error, np.nan)
        return 2 * np.asarray(stdtr(self.df, -t), dtype=np.float64)


def estimate(base: Array, head: Array, paired: bool, floor: bool = True) -> Estimate:
    """The change of each test: Student's paired on the differences, else Welch's on the two sides.

    With `floor`, a variance counts for no less than what the other tests make likely (`_floored`): of few rounds some
    are small by luck, and they would make the alarms.
    """
    if paired:
        differences = head - base
        sides = [_moments(differences)]
        n_base = n_head = sides[0][0]
        change = sides[0][1]
    else:
        sides = [_moments(base), _moments(head)]
        (n_base, low, _), (n_head, high, _) = sides
        change = high - low
    counts = np.stack([n for n, _, _ in sides], -1)
    variances = np.stack([variance for _, _, variance in sides], -1)
    still = (variances == 0).all(-1)
    free = np.maximum(counts - 1, 1)
    if floor:
        variances, free = _floored(variances, free)
    parts = np.where(counts > 1, variances, np.nan) / np.maximum(counts, 1)
    square = np.where(still, 0.0, parts.sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        df = square**2 / (parts**2 / free).sum(-1)  # Welch and Satterthwaite's; of a single side its own
    return Estimate(change, np.sqrt(square), np.where(square > 0, df, 1.0), n_base, n_head)


def _moments(values: Array) -> tuple[Array, Array, Array]:
    """Count, mean and variance over the rounds; the variance is exactly 0 where all are equal."""
    known = np.isfinite(values)
    n = known.sum(-1).astype(np.float64)
    filled = np.where(known, values, 0.0)
    least = np.where(known, values, np.inf).min(-1)
    still = (n > 0) & (least == np.where(known, values, -np.inf).max(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(still, least, filled.sum(-1) / n)
        variance = np.where(known, (filled - mean[..., None]) ** 2, 0.0).sum(-1) / (n - 1)
    return n, mean, np.where(still, 0.0, variance)


def _floored(variances: Array, free: Array) -> tuple[Array, Array]:
    """Variances [..., tests, sides] no smaller than moderated ones, and the degrees of freedom that go with them.

    Moderated: shrunk towards a common one, by as much as the variances of all tests are alike. Source: G. Smyth, Linear
    models and empirical Bayes methods (2004), sections 5 and 6. Shrinking a large one would make alarms of a noisy
    case among quiet ones, so it stays.
    """
    flat = variances.reshape(*variances.shape[:-2], -1)
    weight, common = (array[..., None, None] for array in _prior(flat, free.reshape(flat.shape)))
    moderated = (weight * common + free * variances) / (weight + free)
    return np.maximum(variances, moderated), weight + free


def _prior(variances: Array, free: Array) -> tuple[Array, Array]:
    """Degrees of freedom and value of the variance that all tests have in common; 0 degrees where they are too few."""
    with np.errstate(invalid="ignore"):
        good = variances > 0
    n = good.sum(-1)
    logs = np.log(np.where(good, variances, 1.0)) - digamma(free / 2) + np.log(free / 2)
    mean = np.where(good, logs, 0.0).sum(-1) / np.maximum(n, 1)
    spread = np.where(good, (logs - mean[..., None]) ** 2, 0.0).sum(-1) / np.maximum(n - 1, 1)
    spread -= np.where(good, polygamma(1, free / 2), 0.0).sum(-1) / np.maximum(n, 1)
    weight = 2 * _trigamma_inverse(np.maximum(spread, 1e-4))  # of tests that are alike altogether: 20,000
    common = np.exp(mean + digamma(weight / 2) - np.log(weight / 2))
    return np.where(n >= ENOUGH, weight, 0.0), common


def _trigamma_inverse(x: Array) -> Array:
    """Newton's method on 1 / trigamma, which is nearly a straight line (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(20):
        value = polygamma(1, y)
        step = value * (1 - value / x) / polygamma(2, y)
        y = y + step
        if np.all(np.abs(step) < 1e-8 * y):
            break
    return np.asarray(y, dtype=np.float64)


def holm(p: Array) -> Array:
    """Corrected for the number of tests along the last axis; those with NaN are none. Source: S. Holm (1979)."""
    order = np.argsort(p, -1)  # NaN last
    ordered = np.take_along_axis(p, order, -1)
    count = np.isfinite(p).sum(-1, keepdims=True)
    steps = ordered * np.maximum(count - np.arange(p.shape[-1]), 1)
    corrected = np.empty_like(p)
    np.put_along_axis(corrected, order, np.maximum.accumulate(steps, -1), -1)
    return np.where(np.isfinite(p), np.minimum(corrected, 1.0), np.nan)


def words(
    found: Estimate, corrected: Array, minimum: float | Array, sign: int = 1, rule: Rule = RULE
) -> NDArray[np.int8]:
    """The place in WORDS of each test's verdict. `minimum` is relative (0.02); `sign` 1 if more is worse, else -1."""
    limit, worse = np.log1p(minimum), sign * found.change
    size = np.abs(found.change)
    with np.errstate(invalid="ignore"):
        real = (corrected < rule.family) & (found.p < rule.single) & (size > limit)
        same = size + found.half(rule.outside) <= limit
    word = np.select([real & (worse > 0), real, same], [0, 1, 2], 3)
    return np.where(np.minimum(found.base, found.head) >= rule.least, word, 3).astype(np.int8)


def counted(base: float, head: float, minimum: float, sign: int) -> str:
    """The verdict on two numbers without noise; either may be 0."""
    if base == head:
        return SAME
    if base > 0 and head > 0 and abs(log(head / base)) <= log1p(minimum):
        return SAME
    return SLOWER if sign * (head - base) > 0 else FASTER


def rounds_wanted(found: Estimate, at: int, minimum: float, tests: int, paired: bool, rule: Rule = RULE) -> int | None:
    """How many rounds a side would settle one test, if change and noise are what they seem.

    None where the change is so near the minimum that HOPELESS rounds would not.
    """
    change, error = abs(float(found.change[at])), float(found.error[at])
    here = 1 / float(found.base[at]) + (0.0 if paired else 1 / float(found.head[at]))
    unit, limit = error / here**0.5, log1p(minimum)
    chance = min(rule.family / max(tests, 1), rule.single)
    fewest = int(max(rule.least, min(found.base[at], found.head[at]) + 1))

    def settles(n: int) -> bool:
        one = unit * ((1 if paired else 2) / n) ** 0.5
        df = max(float(found.df[at]), (1 if paired else 2) * (n - 1))
        if change > limit:
            return bool(-stdtrit(df, chance / 2) * one < change)
        return bool(change + stdtrit(df, 1 - rule.outside / 2) * one <= limit)

    if not settles(HOPELESS):
        return None
    low, high = fewest - 1, HOPELESS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high
