"""The error rates of the decision rule by simulation: false alarms on identical code, and power to detect slowdowns.

A simulated sweep is a matrix of base and of head, [tests, rounds], as logarithms. Noise has a shape and a size. Its
size does not change a t statistic, so one drawing serves all sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import log1p, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from bench.errors import BenchError
from bench.records.frame import load
from bench.verdicts.metrics import METRICS
from bench.verdicts.rule import RULE, Array, Rule, estimate, holm

if TYPE_CHECKING:
    from pandas import DataFrame

EFFECTS = (0.01, 0.02, 0.03, 0.05, 0.10)
SPEED = ("latency", "gpu", "throughput")  # the metrics whose noise is taken from records
MIN_ROUNDS = 5  # of a case whose noise is taken from records
MAX_DRAWN = 2_000_000  # values of a side that are drawn together
LARGE_NOISE = 0.05  # so large that the minimum effect suppresses no false alarm, only the test does
Draw = Callable[[np.random.Generator, tuple[int, int, int], bool], tuple[Array, Array]]


def _identical(draw_side: Callable[[np.random.Generator, tuple[int, ...]], Array]) -> Draw:
    """Return a drawing of both sides from one distribution, independent, so that taking turns changes nothing."""
    return lambda rng, size, paired: (draw_side(rng, size), draw_side(rng, size))


def _bimodal(share: float) -> Draw:
    def draw_side(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
        distance = sqrt(0.91 / (share * (1 - share)))  # with a deviation of 0.3 within a mode, a variance of 1 in all
        return 0.3 * rng.standard_normal(size) + distance * (rng.random(size) < share)

    return _identical(draw_side)


def _outliers(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    return rng.standard_normal(size) + 10 * np.abs(rng.standard_normal(size)) * (rng.random(size) < 0.05)


def _unequal(rng: np.random.Generator, size: tuple[int, int, int], paired: bool) -> tuple[Array, Array]:
    deviation = np.exp(0.8 * rng.standard_normal((*size[:2], 1)))
    return deviation * rng.standard_normal(size), deviation * rng.standard_normal(size)


def _drift(rng: np.random.Generator, size: tuple[int, int, int], paired: bool) -> tuple[Array, Array]:
    base, head = rng.standard_normal(size), rng.standard_normal(size)
    trend = np.linspace(0, 4, size[-1])
    return base + trend, head + trend


def _sitting(rng: np.random.Generator, size: tuple[int, int, int], paired: bool) -> tuple[Array, Array]:
    base, head = rng.standard_normal(size), rng.standard_normal(size)
    return base, head if paired else head + rng.standard_normal((size[0], 1, 1))


# The meaning of each shape and its drawing, with the standard deviation between processes (the noise) as the unit.
SHAPES: dict[str, tuple[str, Draw]] = {
    "normal": ("normal", _identical(lambda rng, size: rng.standard_normal(size))),
    "heavy": ("Student's t, 3 degrees of freedom", _identical(lambda rng, size: rng.standard_t(3, size) / sqrt(3))),
    "outliers": ("normal, and one process in 20 much slower: by 8 times the noise on average", _identical(_outliers)),
    "slow": ("two modes: one process in five is slower by 2.4 times the noise", _bimodal(0.2)),
    "halves": ("two modes: every other process is slower by 1.9 times the noise", _bimodal(0.5)),
    "unequal": ("normal, cases between a fifth and five times the noise", _unequal),
    "drift": ("normal, and a machine that slows by 4 times the noise over each sitting", _drift),
    "sitting": ("normal, and a machine that is another by about the noise in the other sitting", _sitting),
}


@dataclass(frozen=True)
class Setting:
    """The size of a simulation: `sweeps` comparisons of `cases` with `metrics` each, whose tests are one family."""

    rounds: int = 10
    cases: int = 450
    metrics: int = 3
    sweeps: int = 400
    seed: int = 0

    def sizes(self, tests: int) -> Iterator[tuple[int, int, int]]:
        """Yield [sweeps, tests, rounds] of drawings that fit into memory."""
        most = max(1, MAX_DRAWN // (tests * self.rounds))
        for start in range(0, self.sweeps, most):
            yield min(most, self.sweeps - start), tests, self.rounds


def rates(
    draw: Draw, paired: bool, setting: Setting, noise: Sequence[float], rule: Rule = RULE
) -> list[dict[str, Any]]:
    """Return, for each size of the noise, the rates of false alarms per case and per sweep, of SAME, and the power.

    The power at each of EFFECTS is that of a single test with an effect among all others without one. The rates are
    those of `bench.verdicts.rule.verdicts`, computed from the smallest significant effect: Holm's correction of the
    first alarm is Bonferroni's, and in noise alone there is no second alarm without a first.
    """
    rng = np.random.default_rng(setting.seed)
    tests, limit = setting.cases * setting.metrics, log1p(METRICS["latency"].minimum)
    rows = [{"noise": size, "per_case": 0.0, "per_sweep": 0.0, "same": 0.0} for size in noise]
    power = np.zeros((len(noise), len(EFFECTS)))
    for size in setting.sizes(tests):
        estimates = estimate(*draw(rng, size, paired), paired)
        significant = estimates.half_width(min(rule.family_alpha / tests, rule.test_alpha))
        half_width = estimates.half_width(rule.interval_alpha)
        share = size[0] / setting.sweeps
        for place, level in enumerate(noise):
            effect, needed = level * estimates.effect, np.maximum(level * significant, limit)
            alarms = (np.abs(effect) > needed).reshape(size[0], setting.cases, setting.metrics).any(-1)
            rows[place]["per_case"] += share * float(alarms.mean())
            rows[place]["per_sweep"] += share * float(alarms.any(-1).mean())
            rows[place]["same"] += share * float((np.abs(effect) + level * half_width <= limit).mean())
            power[place] += [share * float((effect + log1p(added) > needed).mean()) for added in EFFECTS]
    return [row | {"power": [float(share) for share in shares]} for row, shares in zip(rows, power, strict=True)]


def rates_by_shape(setting: Setting, noise: Sequence[float]) -> list[dict[str, Any]]:
    """Return `rates` of every shape, with the sides in sittings apart (`apart`) and with both in turns."""
    return [
        {"shape": shape, "design": design} | row
        for shape, (_, draw) in SHAPES.items()
        for design in ("apart", "in turns")
        for row in rates(draw, design == "in turns", setting, noise)
    ]


def fewer_rounds(setting: Setting) -> list[dict[str, Any]]:
    """Return the rates of false alarms with 4 to 10 rounds, in a sweep and of a single case, by shape of noise."""
    rows = []
    for rounds in range(4, 11):
        for shape in ("normal", "heavy", "slow", "halves", "unequal"):
            draw, rule = SHAPES[shape][1], replace(RULE, min_rounds=rounds)
            sweep = replace(setting, rounds=rounds, metrics=1, sweeps=setting.sweeps)
            single = replace(setting, rounds=rounds, metrics=1, cases=1, sweeps=50 * setting.sweeps)
            per_sweep = rates(draw, False, sweep, [LARGE_NOISE], rule)[0]["per_sweep"]
            alone = rates(draw, False, single, [LARGE_NOISE], rule)[0]["per_case"]
            rows.append({"rounds": rounds, "shape": shape, "per_sweep": per_sweep, "alone": alone})
    return rows


# ---- rules that were not chosen


def _rule(test: Callable[..., Any], location: Callable[..., Any]) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Return a rule of the difference of two sides' locations, [tests], with the p-values of a test of scipy.stats."""
    return lambda base, head: (location(head, axis=-1) - location(base, axis=-1), test(head, base, axis=-1).pvalue)


def _moderated(base: Array, head: Array) -> tuple[Array, Array]:
    estimates = estimate(base, head, False)
    return estimates.effect, estimates.p


# Yuen's test leaves out a fifth of the values at either end.
RULES = {
    "Welch's t, variances floored": _moderated,
    "Welch's t": _rule(partial(stats.ttest_ind, equal_var=False), np.mean),
    "Yuen's trimmed t": _rule(
        partial(stats.ttest_ind, equal_var=False, trim=0.2), partial(stats.trim_mean, proportiontocut=0.2)
    ),
    "Mann and Whitney's ranks": _rule(partial(stats.mannwhitneyu, method="exact"), np.median),
}


def rules(setting: Setting) -> list[dict[str, Any]]:
    """Return false alarms per sweep at 5 % noise, and power at +3 % with 1 % noise, of each rule and shape."""
    rows = []
    tests, limit = setting.cases * setting.metrics, log1p(METRICS["latency"].minimum)
    for shape in ("normal", "heavy", "outliers", "slow", "halves", "unequal"):
        for name, rule in RULES.items():
            rng = np.random.default_rng(setting.seed)
            alarms, hits, sweeps = 0.0, 0.0, max(1, setting.sweeps // 4)
            for size in replace(setting, sweeps=sweeps).sizes(tests):
                base, head = SHAPES[shape][1](rng, size, False)
                effect, p = rule(LARGE_NOISE * base, LARGE_NOISE * head)
                changed = (holm(p) < RULE.family_alpha) & (p < RULE.test_alpha) & (np.abs(effect) > limit)
                alarms += float(changed.any(-1).sum())
                effect, p = rule(0.01 * base, 0.01 * head + log1p(0.03))
                slower = (p * tests < RULE.family_alpha) & (p < RULE.test_alpha) & (effect > limit)
                hits += size[0] * float(slower.mean())
            rows.append({"shape": shape, "rule": name, "per_sweep": alarms / sweeps, "power_3": hits / sweeps})
    return rows


# ---- measured noise


def residuals(frame: DataFrame) -> list[Array]:
    """Return the residuals of the logarithms of real records over rounds, an array for each case and speed metric.

    They are scaled up for the mean that was subtracted, so that their variance is the noise's.
    """
    pool: list[Array] = []
    good = frame[frame["status"] == "ok"]
    for name in SPEED:
        (column,) = METRICS[name].columns
        for _, series in good.groupby("case", observed=True)[column]:
            values = np.asarray(series.dropna(), dtype=np.float64)
            values = np.log(values[values > 0])
            if len(values) >= MIN_ROUNDS:
                pool.append((values - values.mean()) * sqrt(len(values) / (len(values) - 1)))
    return pool


def resample(pool: list[Array]) -> Draw:
    """Return a drawing in which each test has the noise of one series of the pool: a random residual each round."""
    counts = np.array([len(row) for row in pool])
    padded = np.zeros((len(pool), counts.max()))
    for place, row in enumerate(pool):
        padded[place, : len(row)] = row

    def draw(rng: np.random.Generator, size: tuple[int, int, int], paired: bool) -> tuple[Array, Array]:
        which = rng.integers(len(pool), size=(*size[:2], 1))
        base, head = (padded[which, (rng.random(size) * counts[which]).astype(np.int64)] for _ in range(2))
        return base, head

    return draw


def spread(pool: list[Array]) -> dict[str, float]:
    """Return the quartiles of the standard deviations between rounds in a pool, and the number of its series."""
    deviations = [float(np.sqrt(np.mean(row**2))) for row in pool]
    low, median, high = (float(value) for value in np.quantile(deviations, (0.25, 0.5, 0.75)))
    return {"quarter": low, "median": median, "three_quarters": high, "series": float(len(pool))}


def simulate_error_rates(
    setting: Setting, levels: Sequence[float], source: Path | None = None, quick: bool = False
) -> dict[str, Any]:
    """Return the simulated error rates as a file keeps them, with the noise of the records in `source`, too.

    `levels` are standard deviations between processes, relative. Raises BenchError where the records have too few
    rounds to estimate their noise.
    """
    rows = []
    sizes: dict[str, float] = {}
    if source is not None:
        pool = residuals(load(source))
        if not pool:
            cure = f"measure it with --rounds {MIN_ROUNDS} or more"
            raise BenchError(f"no case of {source} has {MIN_ROUNDS} rounds to estimate its noise from: {cure}")
        sizes = spread(pool)
        (row,) = rates(resample(pool), False, setting, [1.0])
        rows.append({"shape": "measured", "design": "apart"} | row)
    rows += rates_by_shape(setting, levels)
    return {
        "setting": asdict(setting),
        "noise": list(levels),
        "effects": list(EFFECTS),
        "shapes": {name: meaning for name, (meaning, _) in SHAPES.items()},
        "spread": sizes,
        "rates": rows,
        "fewer_rounds": [] if quick else fewer_rounds(setting),
        "rules": [] if quick else rules(setting),
    }
