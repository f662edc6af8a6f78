"""The error rates of the decision rule by simulation: false alarms on identical code, and power to detect slowdowns.

A simulated sweep is an array of base and of head, [metrics, cases, rounds], as logarithms, with a noise that has a
shape and a size. They go through what `bench compare` does with records. The size does not change a t statistic, so one
drawing serves all sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, log1p, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError
from bench.records.frame import load
from bench.verdicts.alike import effects
from bench.verdicts.metrics import METRICS
from bench.verdicts.rule import RULE, Array, Estimate, Rule, holm, separation, verdicts
from bench.verdicts.selftest.cells import MACHINES, MANY_CASES
from bench.verdicts.selftest.shapes import SHAPES as SHAPES
from bench.verdicts.selftest.shapes import Draw, Size

if TYPE_CHECKING:
    from pandas import DataFrame

EFFECTS = (0.01, 0.02, 0.03, 0.05, 0.10)
SPEED = ("latency", "gpu", "throughput")  # the metrics whose noise is taken from records
MIN_ROUNDS = 5  # of a case whose noise is taken from records
MAX_DRAWN = 100_000  # values of a side that are drawn together, as many as a cache holds
LARGE_NOISE = 0.05  # so large that the minimum effect suppresses no false alarm, only the test does
DESIGNS = ("apart", "in turns")
LIMIT = log1p(METRICS["latency"].minimum)
CLAIMED = ("normal", "heavy", "slow", "halves", "unequal")  # shapes of independent noise: what the claims are about
FEW_CASES = (1, 5, 20, MANY_CASES)
FEW_EFFECT = 0.2  # the slowdown that few rounds are to find
SHARES = (0.0, 0.4, 0.5, 0.6, 0.8, 1.0)  # of the cases that change together
SHARED_EFFECT = 0.1


@dataclass(frozen=True)
class Setting:
    """The size of a simulation: `sweeps` comparisons of `cases` with `metrics` each, whose tests are one family."""

    rounds: int = 10
    cases: int = 450
    metrics: int = 3
    sweeps: int = 400
    seed: int = 0

    def sizes(self) -> Iterator[Size]:
        """Yield [sweeps, metrics, cases, rounds] of drawings that fit into memory."""
        most = max(1, MAX_DRAWN // (self.cases * self.metrics * self.rounds))
        for start in range(0, self.sweeps, most):
            yield min(most, self.sweeps - start), self.metrics, self.cases, self.rounds


def rates(
    draw: Draw, paired: bool, setting: Setting, noise: Sequence[float], rule: Rule = RULE
) -> list[dict[str, Any]]:
    """Return, for each size of the noise, the rates of false alarms per case and per sweep, of SAME, and the power.

    The power at each of EFFECTS is that of a single test with an effect among all others without one. The rates are
    those of `bench.verdicts.rule.verdicts`, computed from the smallest significant effect: Holm's correction of the
    first alarm is Bonferroni's, and in noise alone there is no second alarm without a first.
    """
    rng = np.random.default_rng(setting.seed)
    rows = [{"noise": size, "per_case": 0.0, "per_sweep": 0.0, "same": 0.0} for size in noise]
    power = np.zeros((len(noise), len(EFFECTS)))
    for size in setting.sizes():
        estimates = effects(*draw(rng, size, paired), paired).estimate
        significant = estimates.half_width(min(rule.family_alpha / (setting.cases * setting.metrics), rule.test_alpha))
        half_width = estimates.half_width(rule.interval_alpha)
        share = size[0] / setting.sweeps
        for place, level in enumerate(noise):
            alarms = (_changed(estimates, level, significant) != 0).any(-2)  # in any metric
            rows[place]["per_case"] += share * float(alarms.mean())
            rows[place]["per_sweep"] += share * float(alarms.any(-1).mean())
            same = level * (np.abs(estimates.effect) + half_width) <= LIMIT
            rows[place]["same"] += share * float(same.mean())
            power[place] += [
                share * float((_changed(estimates, level, significant, added) > 0).mean()) for added in EFFECTS
            ]
    return [row | {"power": [float(share) for share in shares]} for row, shares in zip(rows, power, strict=True)]


def _changed(estimates: Estimate, level: float, significant: Array, added: float = 0.0) -> Array:
    """Return the sign of each change that has a verdict, or 0, at a size of the noise, with an effect added."""
    remaining, effect = (level * part + log1p(added) for part in (estimates.remaining, estimates.effect))
    changed = np.abs(remaining) > np.maximum(level * significant, LIMIT)
    changed &= (np.abs(level * estimates.common) <= LIMIT) | (np.sign(remaining) * effect > LIMIT)
    return np.where(changed, np.sign(remaining), 0.0)


def rates_by_shape(setting: Setting, noise: Sequence[float]) -> list[dict[str, Any]]:
    """Return `rates` of every shape, with the sides in sittings apart (`apart`) and with both in turns."""
    return [
        {"shape": shape, "design": design} | row
        for shape, (_, draw) in SHAPES.items()
        for design in DESIGNS
        for row in rates(draw, design == "in turns", setting, noise)
    ]


def claims(setting: Setting) -> list[dict[str, Any]]:
    """Return the false alarms of independent noise at 5 %, and the power at +3 % with 1 %, by cases and metrics."""
    rows = []
    for design in DESIGNS:
        for cases in (1, 20, 450):
            for metrics in (1, 3, 10):
                sweeps = ceil(setting.sweeps / 4) * (100 if cases == 1 else 5 if cases == 20 else 1)
                size = replace(setting, cases=cases, metrics=metrics, sweeps=sweeps)
                by_shape = [
                    rates(SHAPES[shape][1], design == "in turns", size, [0.01, LARGE_NOISE]) for shape in CLAIMED
                ]
                row = {"design": design, "cases": cases, "metrics": metrics, "sweeps": size.sweeps}
                row |= {key: max(rows[1][key] for rows in by_shape) for key in ("per_case", "per_sweep")}
                rows.append(row | {"power_3": by_shape[0][0]["power"][EFFECTS.index(0.03)]})
    return rows


def few_rounds(setting: Setting, noise: Sequence[float]) -> list[dict[str, Any]]:
    """Return, with too few rounds for a test, the worst rate of false alarms of any shape, and the power at +20 %.

    The rates are of a single test, and the power is of normal noise.
    """
    rows = []
    for design in DESIGNS:
        paired = design == "in turns"
        for rounds in range(RULE.few_rounds, RULE.min_rounds):
            size = replace(setting, rounds=rounds, metrics=1, sweeps=max(10, setting.sweeps // 2))
            by_shape = {name: _separated(draw, paired, size, noise) for name, (_, draw) in SHAPES.items()}
            for place, level in enumerate(noise):
                worst = max(by_shape, key=lambda name: by_shape[name][0][place])
                row = {"design": design, "rounds": rounds, "noise": level, "shape": worst}
                rows.append(row | {"alone": by_shape[worst][0][place], "power_20": by_shape["normal"][1][place]})
    return rows


def _separated(draw: Draw, paired: bool, setting: Setting, noise: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the rates of false alarms and of slowdowns that are detected by separation, for each size of the noise."""
    rng, alarms, hits = np.random.default_rng(setting.seed), np.zeros(len(noise)), np.zeros(len(noise))
    for size in setting.sizes():
        result = effects(*draw(rng, size, paired), paired)
        estimates, share = result.estimate, size[0] / setting.sweeps
        for place, level in enumerate(noise):
            beyond = np.abs(level * estimates.common) > LIMIT  # then it must be so as measured, too
            for added, counted in ((0.0, alarms), (log1p(FEW_EFFECT), hits)):
                apart = separation(level * result.base, level * result.head, added - level * estimates.common)
                as_measured = np.sign(apart) * (level * estimates.effect + added)
                changed = (np.abs(apart) > log1p(RULE.gap)) & (~beyond | (as_measured > LIMIT))
                counted[place] += share * float((changed & ((apart > 0) | (added == 0))).mean())
    return alarms.tolist(), hits.tolist()


def apart_with_few_cases(setting: Setting) -> list[dict[str, Any]]:
    """Return the sweeps with a false alarm apart, of a metric at 5 % noise, under what a machine does, by cases."""
    rows = []
    for shape in MACHINES:
        for cases in FEW_CASES:
            size = replace(setting, cases=cases, metrics=1, sweeps=4 * setting.sweeps)
            (row,) = rates(SHAPES[shape][1], False, size, [LARGE_NOISE])
            rows.append({"shape": shape, "cases": cases, "per_sweep": row["per_sweep"]})
    return rows


def shared_changes(setting: Setting) -> list[dict[str, Any]]:
    """Return what verdicts say where a share of the cases is slower by 10 %, at a normal noise of 1 %.

    `slower` is the share of those that are called so, `faster` that of the others that are called FASTER or SLOWER.
    """
    rows = []
    for design in DESIGNS:
        for share in SHARES:
            rng, paired = np.random.default_rng(setting.seed), design == "in turns"
            size = replace(setting, metrics=1, sweeps=min(setting.sweeps, 40))
            slow = np.arange(setting.cases) < round(share * setting.cases)
            hits, alarms = [], []
            for shape in size.sizes():
                base, head = (0.01 * side for side in SHAPES["normal"][1](rng, shape, paired))
                estimates = effects(base, head + log1p(SHARED_EFFECT) * slow[:, None], paired).estimate
                words = verdicts(estimates, holm(estimates.p), METRICS["latency"].minimum)
                hits.append((words[..., slow] == 0).ravel())
                alarms.append((words[..., ~slow] < 2).ravel())
            slower, wrong = (np.concatenate(parts) for parts in (hits, alarms))
            row = {"design": design, "share": share, "slower": float(slower.mean()) if len(slower) else None}
            rows.append(row | {"others": float(wrong.mean()) if len(wrong) else None})
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

    def draw(rng: np.random.Generator, size: Size, paired: bool) -> tuple[Array, Array]:
        which = rng.integers(len(pool), size=(*size[:-1], 1))
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
        "claims": [] if quick else claims(setting),
        "few_cases": [] if quick else apart_with_few_cases(setting),
        "few_rounds": [] if quick else few_rounds(setting, levels),
        "shared": [] if quick else shared_changes(setting),
    }
