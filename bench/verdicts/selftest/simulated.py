"""How often the decision rule errs: false alarms on identical code, and what of a slowdown it finds, by simulation.

A simulated sweep is a matrix of what base and head left in each round, as logarithms. Noise has a shape and a size;
as a change of size changes no t, one drawing serves all sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import log1p, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtr

from bench.errors import BenchError
from bench.records.frame import load
from bench.verdicts.metrics import METRICS
from bench.verdicts.rule import RULE, Array, Rule, estimate, holm

if TYPE_CHECKING:
    from pandas import DataFrame

EFFECTS = (0.01, 0.02, 0.03, 0.05, 0.10)
NOISE = (0.005, 0.01, 0.02, 0.05)
SPEED = ("latency", "gpu", "throughput")  # whose noise is taken from records
SERIES = 5  # rounds of a case from which its noise is taken
AT_ONCE = 2_000_000  # values of a side that are drawn together
LOUD = 0.05  # noise at which the minimum effect holds back nothing, so that the test alone must
Draw = Callable[[np.random.Generator, tuple[int, int, int], bool], tuple[Array, Array]]


def _alike(unit: Callable[[np.random.Generator, tuple[int, ...]], Array]) -> Draw:
    """Both sides from one distribution, every process by itself; whether interleaved changes nothing then."""
    return lambda rng, size, paired: (unit(rng, size), unit(rng, size))


def _slow(share: float) -> Draw:
    def unit(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
        apart = sqrt(0.91 / (share * (1 - share)))  # 0.3 within a mode; together a variance of 1
        return 0.3 * rng.standard_normal(size) + apart * (rng.random(size) < share)

    return _alike(unit)


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


# Of each shape: what it means, with the standard deviation between processes (the noise) as its unit.
SHAPES: dict[str, tuple[str, Draw]] = {
    "normal": ("normal", _alike(lambda rng, size: rng.standard_normal(size))),
    "heavy": ("Student's t, 3 degrees of freedom", _alike(lambda rng, size: rng.standard_t(3, size) / sqrt(3))),
    "outliers": ("normal, and one process in 20 much slower: by 8 times the noise on average", _alike(_outliers)),
    "slow": ("two modes: one process in five is slower by 2.4 times the noise", _slow(0.2)),
    "halves": ("two modes: every other process is slower by 1.9 times the noise", _slow(0.5)),
    "unequal": ("normal, cases between a fifth and five times the noise", _unequal),
    "drift": ("normal, and a machine that slows by 4 times the noise over each sitting", _drift),
    "sitting": ("normal, and a machine that is another by about the noise in the other sitting", _sitting),
}


@dataclass(frozen=True)
class Setting:
    """What is simulated: so many comparisons of `cases` with `metrics` each, all of one family."""

    rounds: int = 10
    cases: int = 450
    metrics: int = 3
    sweeps: int = 400
    seed: int = 0

    def sizes(self, tests: int) -> Iterator[tuple[int, int, int]]:
        """[sweeps, tests, rounds] of drawings that fit into memory."""
        most = max(1, AT_ONCE // (tests * self.rounds))
        for start in range(0, self.sweeps, most):
            yield min(most, self.sweeps - start), tests, self.rounds


def rates(
    draw: Draw, paired: bool, setting: Setting, noise: Sequence[float], rule: Rule = RULE
) -> list[dict[str, Any]]:
    """For each size of the noise: false alarms per case and per sweep, SAME, and power at EFFECTS, as shares.

    Power is that of one test that differs among all others that do not. What `bench.verdicts.rule.words` says, from the
    changes it takes: its correction is Bonferroni's for the first alarm, and no noise makes the second but the first.
    """
    rng = np.random.default_rng(setting.seed)
    tests, limit = setting.cases * setting.metrics, log1p(METRICS["latency"].minimum)
    told = [{"noise": size, "per_case": 0.0, "per_sweep": 0.0, "same": 0.0} for size in noise]
    power = np.zeros((len(noise), len(EFFECTS)))
    for size in setting.sizes(tests):
        unit = estimate(*draw(rng, size, paired), paired)
        significant, half = unit.half(min(rule.family / tests, rule.single)), unit.half(rule.outside)
        share = size[0] / setting.sweeps
        for place, level in enumerate(noise):
            change, needed = level * unit.change, np.maximum(level * significant, limit)
            alarms = (np.abs(change) > needed).reshape(size[0], setting.cases, setting.metrics).any(-1)
            told[place]["per_case"] += share * float(alarms.mean())
            told[place]["per_sweep"] += share * float(alarms.any(-1).mean())
            told[place]["same"] += share * float((np.abs(change) + level * half <= limit).mean())
            power[place] += [share * float((change + log1p(effect) > needed).mean()) for effect in EFFECTS]
    return [row | {"power": [float(value) for value in line]} for row, line in zip(told, power, strict=True)]


def table(setting: Setting, noise: Sequence[float]) -> list[dict[str, Any]]:
    """`rates` of every shape, in one sitting each (`apart`) and with the rounds of both sides in turns."""
    return [
        {"shape": shape, "design": design} | row
        for shape, (_, draw) in SHAPES.items()
        for design in ("apart", "in turns")
        for row in rates(draw, design == "in turns", setting, noise)
    ]


def fewer_rounds(setting: Setting) -> list[dict[str, Any]]:
    """False alarms with few rounds, for each shape that may do harm: in a sweep, and of a single case by itself."""
    made = []
    for rounds in range(4, 11):
        for shape in ("normal", "heavy", "slow", "halves", "unequal"):
            draw, rule = SHAPES[shape][1], replace(RULE, least=rounds)
            sweep = replace(setting, rounds=rounds, metrics=1, sweeps=setting.sweeps)
            single = replace(setting, rounds=rounds, metrics=1, cases=1, sweeps=50 * setting.sweeps)
            made.append(
                {
                    "rounds": rounds,
                    "shape": shape,
                    "per_sweep": rates(draw, False, sweep, [LOUD], rule)[0]["per_sweep"],
                    "alone": rates(draw, False, single, [LOUD], rule)[0]["per_case"],
                }
            )
    return made


# ---- rules that were not taken


def _welch(base: Array, head: Array) -> tuple[Array, Array]:
    found = estimate(base, head, False, floor=False)
    return found.change, found.p


def _trimmed(base: Array, head: Array) -> tuple[Array, Array]:
    """Yuen's (1974): means without a fifth of the values at either end, Winsorised variances."""
    n = base.shape[-1]
    cut = n // 5
    kept = n - 2 * cut
    means, squares = [], []
    for side in (np.sort(base, -1), np.sort(head, -1)):
        means.append(side[..., cut : n - cut].mean(-1))
        winsorised = np.clip(side, side[..., cut, None], side[..., n - cut - 1, None])
        squares.append(winsorised.var(-1, ddof=1) * (n - 1) / (kept * (kept - 1)))
    square = squares[0] + squares[1]
    df = square**2 / ((squares[0] ** 2 + squares[1] ** 2) / (kept - 1))
    change = means[1] - means[0]
    return change, 2 * np.asarray(stdtr(df, -np.abs(change) / np.sqrt(square)), dtype=np.float64)


def _ranks(base: Array, head: Array) -> tuple[Array, Array]:
    """Mann and Whitney's, exact."""
    n = base.shape[-1]
    order = np.argsort(np.concatenate([base, head], -1), -1)
    places = np.where(order >= n, np.arange(2 * n), 0).sum(-1)
    u = (places - n * (n - 1) // 2).astype(np.int64)
    ways = np.zeros((n + 1, n * n + 1))  # how often each sum of ranks comes up, by how many are of head
    ways[0, 0] = 1
    for other in range(2 * n):
        for taken in range(min(n, other + 1), 0, -1):
            gain = max(0, other - (taken - 1))
            ways[taken, gain:] += ways[taken - 1, : n * n + 1 - gain] if gain <= n * n else 0
    below = np.cumsum(ways[n]) / ways[n].sum()
    p = np.minimum(2 * below[np.minimum(u, n * n - u)], 1.0)
    return np.median(head, -1) - np.median(base, -1), p


def _ours(base: Array, head: Array) -> tuple[Array, Array]:
    found = estimate(base, head, False)
    return found.change, found.p


RULES = {
    "Welch's t, variances floored": _ours,
    "Welch's t": _welch,
    "Yuen's trimmed t": _trimmed,
    "Mann and Whitney's ranks": _ranks,
}


def rules(setting: Setting) -> list[dict[str, Any]]:
    """Of each rule and shape: false alarms per sweep at 5 % noise, power at +3 % with 1 %."""
    made = []
    tests, limit = setting.cases * setting.metrics, log1p(METRICS["latency"].minimum)
    for shape in ("normal", "heavy", "outliers", "slow", "halves", "unequal"):
        for name, rule in RULES.items():
            rng = np.random.default_rng(setting.seed)
            alarms, hits, sweeps = 0.0, 0.0, max(1, setting.sweeps // 4)
            for size in replace(setting, sweeps=sweeps).sizes(tests):
                base, head = SHAPES[shape][1](rng, size, False)
                change, p = rule(LOUD * base, LOUD * head)
                real = (holm(p) < RULE.family) & (p < RULE.single) & (np.abs(change) > limit)
                alarms += float(real.any(-1).sum())
                change, p = rule(0.01 * base, 0.01 * head + log1p(0.03))
                hits += size[0] * float(((p * tests < RULE.family) & (p < RULE.single) & (change > limit)).mean())
            made.append({"shape": shape, "rule": name, "per_sweep": alarms / sweeps, "power_3": hits / sweeps})
    return made


# ---- noise that was measured


def residuals(frame: DataFrame, least: int = SERIES) -> list[Array]:
    """What the rounds of each case and speed metric leave beside their mean, as logarithms, of real records.

    Scaled up for the mean that was taken off, so that their variance is the noise's.
    """
    found: list[Array] = []
    good = frame[frame["status"] == "ok"]
    for name in SPEED:
        (column,) = METRICS[name].columns
        for _, values in good.groupby("case", observed=True)[column]:
            known = np.asarray(values.dropna(), dtype=np.float64)
            known = np.log(known[known > 0])
            if len(known) >= least:
                found.append((known - known.mean()) * sqrt(len(known) / (len(known) - 1)))
    return found


def measured(pool: list[Array]) -> Draw:
    """Every test has the noise of one case and metric of the pool: each round one of its residuals, by chance."""
    counts = np.array([len(row) for row in pool])
    padded = np.zeros((len(pool), counts.max()))
    for place, row in enumerate(pool):
        padded[place, : len(row)] = row

    def draw(rng: np.random.Generator, size: tuple[int, int, int], paired: bool) -> tuple[Array, Array]:
        which = rng.integers(len(pool), size=(*size[:2], 1))
        one, other = (padded[which, (rng.random(size) * counts[which]).astype(np.int64)] for _ in range(2))
        return one, other

    return draw


def spread(pool: list[Array]) -> dict[str, float]:
    """The noise of a pool: quartiles of the standard deviations between rounds."""
    deviations = [float(np.sqrt(np.mean(row**2))) for row in pool]
    low, middle, high = (float(value) for value in np.quantile(deviations, (0.25, 0.5, 0.75)))
    return {"quarter": low, "median": middle, "three_quarters": high, "series": float(len(pool))}


def results(
    setting: Setting, levels: Sequence[float], source: Path | None = None, quick: bool = False
) -> dict[str, Any]:
    """The tables of simulated error rates as a file keeps them; `source`: a folder of records whose noise is used, too.

    `levels` are standard deviations between processes, relative. Raises BenchError where the records have too few
    rounds to tell their noise from.
    """
    rows = []
    sizes: dict[str, float] = {}
    if source is not None:
        pool = residuals(load(source))
        if not pool:
            raise BenchError(f"no case of {source} has {SERIES} rounds to tell its noise from: bench run --rounds")
        sizes = spread(pool)
        (row,) = rates(measured(pool), False, setting, [1.0])
        rows.append({"shape": "measured", "design": "apart"} | row)
    rows += table(setting, levels)
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
