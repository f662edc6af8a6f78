"""How often numbers of processes are wrong, simulated: a median's interval, a p99's bound, the lead of the best.

In one process samples follow each other, so that its medians are of fewer than they seem. Processes differ, so that a
p99 is of those that were measured. Of many cases one is the best by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from bench.dependence import LOOK, next_look
from bench.records.speed import SpeedRatio, against_all, sureness
from bench.stats import bound_of_another, median_interval, median_places, quantile_of_processes, ratio
from bench.verdicts.selftest.tables import Block

Array = Any  # of numpy: the statistics take arrays as they take sequences, which no type says
Generator = np.random.Generator

RHOS = (0.0, 0.5, 0.9)
COUNTS = (10, 20, 50, 100, 300, 1000, 5000)
PROCESSES = (1, 3, 5, 10)
CONTESTANTS = (3, 5, 20)
NOISES = (0.02, 0.045)  # standard deviation of a sample, relative, under the stopping rule
WIDTH, MOST_SAMPLES = 0.02, 2000  # of the stopping rule: half-width, and the samples until the time is up
P, P_SAMPLES, INNER = 0.99, 729, 0.03  # samples of a process, and their standard deviation within it
ROUNDS = 8
SWITCHES = 0.02  # of a state that lasts fifty samples


def normal(rng: Generator, rho: float, trials: int, n: int) -> Array:
    """Return normal autoregressions of the first order, [trials, n], of variance 1."""
    values = rng.standard_normal((trials, n))
    if rho:
        values[:, 1:] *= sqrt(1 - rho**2)
        for place in range(1, n):
            values[:, place] += rho * values[:, place - 1]
    return values


def _heavy(rng: Generator, rho: float, trials: int, n: int) -> Array:
    values = normal(rng, rho, trials, n)
    return np.sign(values) * np.expm1(np.abs(values)) / 2  # monotone, so that the dependence is the normal one's


def _states(rng: Generator, trials: int, n: int) -> Array:
    """Return 0 or 1 for each sample, each half of the time, of a state that lasts."""
    start = rng.integers(0, 2, (trials, 1))
    return (start + np.cumsum(rng.random((trials, n)) < SWITCHES, axis=1)) % 2.0


# Samples of one process, [trials, n], around a median of 0: what they are like, and their drawing with a rho.
SAMPLES: dict[str, tuple[str, Callable[[Generator, float, int, int], Array]]] = {
    "normal": ("a normal autoregression: rho of a sample and the one before", normal),
    "heavy": ("the same with exponential tails", _heavy),
    "ticks": ("the same by a clock whose tick is its standard deviation", lambda *what: np.round(normal(*what) + 0.25)),
    "drift": (
        "the same, and a drift by one standard deviation",
        lambda rng, rho, trials, n: normal(rng, rho, trials, n) + np.linspace(-0.5, 0.5, n),
    ),
    "states": (
        "the same, and two states a standard deviation apart that last fifty samples",
        lambda rng, rho, trials, n: normal(rng, rho, trials, n) + _states(rng, trials, n) - 0.5,
    ),
}


def median_rows(rng: Generator, trials: int) -> Iterator[dict[str, Any]]:
    """Yield the coverage of the median's 95 % interval by shape, rho and count, and its width over the plain one's."""
    for shape, (_, draw) in SAMPLES.items():
        for rho in RHOS if shape != "states" else (0.0,):
            for n in COUNTS:
                plain = median_places(n) or (0, n - 1)
                row: dict[str, Any] = {"shape": shape, "rho": rho, "n": n, "coverage": 0.0, "plain": 0.0}
                widths = np.zeros(2)
                for samples in draw(rng, rho, trials, n):
                    ordered: Array = np.sort(samples)
                    low, high = median_interval(samples, ordered=ordered) or (ordered[0], ordered[-1])
                    row["coverage"] += (low <= 0 <= high) / trials
                    row["plain"] += (ordered[plain[0]] <= 0 <= ordered[plain[1]]) / trials
                    widths += high - low, ordered[plain[1]] - ordered[plain[0]]
                yield row | {"wider": float(widths[0] / widths[1]) if widths[1] else 1.0}


def stop(samples: Array) -> tuple[int, tuple[float, float] | None]:
    """Return where the worker's rule ends with samples around 1, and the interval there."""
    count = LOOK
    while True:
        ordered: Array = np.sort(samples[:count])
        interval = median_interval(samples[:count], ordered=ordered)
        middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
        if (interval and (interval[1] - interval[0]) / 2 / middle <= WIDTH) or count == len(samples):
            return count, interval
        count = min(next_look(count), len(samples))


def stopping_rows(rng: Generator, trials: int) -> Iterator[dict[str, Any]]:
    """Yield the coverage where the stopping rule ends, by rho and noise."""
    for rho in RHOS:
        for noise in NOISES:
            ends = [stop(np.maximum(1 + noise * row, 0.01)) for row in normal(rng, rho, trials, MOST_SAMPLES)]
            covered = sum(1 for _, interval in ends if interval and interval[0] <= 1 <= interval[1])
            counts = float(np.median([count for count, _ in ends]))
            yield {"rho": rho, "noise": noise, "coverage": covered / trials, "samples": counts}


@dataclass(frozen=True)
class Tail:
    """A shape of processes: the logarithms of their levels, and their samples within, whose quantiles are exact.

    `slow` is the share of samples that are two standard deviations slower.
    """

    meaning: str
    levels: Callable[[Generator, int], Array] = lambda rng, k: np.zeros(k)
    rho: float = 0.0
    is_heavy: bool = False
    slow: float = 0.0

    def draw(self, rng: Generator, levels: Array) -> list[Array]:
        draw = _heavy if self.is_heavy else normal
        inner = draw(rng, self.rho, len(levels), P_SAMPLES)
        if self.slow:
            inner += 2 * _states(rng, len(levels), P_SAMPLES)
        return list(np.exp(levels[:, None] + INNER * inner))

    def quantile(self, levels: Array) -> float:
        """Return the p99 of processes at these levels together, by bisection."""
        low, high = -1.0, 2.0
        for _ in range(40):
            middle = (low + high) / 2
            below = [self._below((middle - level) / INNER) for level in levels]
            low, high = (middle, high) if sum(below) < P * len(below) else (low, middle)
        return exp(high)

    def _below(self, z: float) -> float:
        cdf = NormalDist().cdf
        if self.is_heavy:
            z = np.sign(z) * np.log1p(2 * abs(z))
        return (1 - self.slow) * cdf(z) + self.slow * cdf(z - 2)


TAILS = {
    "alike": Tail("processes alike"),
    "levels": Tail(
        "levels of processes with a standard deviation of 2 %", lambda rng, k: 0.02 * rng.standard_normal(k)
    ),
    "one in ten": Tail("one process in ten slower by 20 %", lambda rng, k: log(1.2) * (rng.random(k) < 0.1)),
    "heavy": Tail("alike, with exponential tails", is_heavy=True),
    "rho 0.5": Tail("alike, of samples that follow each other", rho=0.5),
    "rho 0.9": Tail("alike, of samples that follow each other closely", rho=0.9),
    "states": Tail("alike, with two states that last fifty samples, two standard deviations apart", slow=0.5),
}


def tail_rows(rng: Generator, trials: int) -> Iterator[dict[str, Any]]:
    """Yield the coverage of the p99's 99 % bounds by shape and processes, of those for which one is stated.

    `these` is the bound of these processes, `another` that of a new one, and `plain` that of all samples together as
    independent ones of all processes there are.
    """
    for shape, tail in TAILS.items():
        for k in PROCESSES:
            hits, stated = dict.fromkeys(("these", "another"), 0), dict.fromkeys(("these", "another"), 0)
            for _ in range(trials):
                levels = tail.levels(rng, k)
                processes = tail.draw(rng, levels)
                ordered: Array = np.sort(np.concatenate(processes))
                these = quantile_of_processes(processes, P, ordered=ordered)
                bounds = {"these": these.upper if these else None, "another": bound_of_another(processes, P)}
                truths = {"these": tail.quantile(levels), "another": tail.quantile(tail.levels(rng, 1))}
                for target, bound in bounds.items():
                    stated[target] += bound is not None
                    hits[target] += bound is not None and bound >= truths[target]
            row: dict[str, Any] = {"shape": shape, "processes": k}
            for target, count in stated.items():
                row |= {target: hits[target] / count if count else None, f"{target}_stated": count / trials}
            yield row


def clear_leads(logs: Array) -> tuple[int, bool, bool]:
    """Return the best of cases by the logarithms of their speeds, [cases, rounds], and whether its lead is clear.

    It is tested against every rival, as `bench recommend` does; and then against the runner-up alone.
    """
    speeds = np.exp(logs)
    order = [int(case) for case in np.argsort(-np.median(speeds, axis=1), kind="stable")]
    gains = [float(np.mean(logs[case] - logs[order[0]])) for case in order]
    best = order[int(np.argmax(gains))]
    rivals = [case for case in order if case != best]

    def lead(rival: int) -> SpeedRatio:
        pairs = list(zip(speeds[best].tolist(), speeds[rival].tolist(), strict=True))
        one = ratio(pairs, against_all(len(rivals)))
        return SpeedRatio(one.value, one.low, one.high, "rounds", one.rounds)

    leads = [lead(rival) for rival in rivals]
    return best, min(leads, key=sureness).is_lead, leads[0].is_lead


def lead_rows(rng: Generator, trials: int) -> Iterator[dict[str, Any]]:
    """Yield how often a lead is clear, and wrong, where one noisy case is better than it seems: of all sweeps.

    One case is 3 % ahead of the rest, at 0.3 % of noise between rounds; the noisy one is 3 % ahead of it, at 10 %.
    """
    for count in CONTESTANTS:
        levels, noise = np.zeros((count, 1)), np.full((count, 1), 0.003)
        levels[:2, 0], noise[1, 0] = (0.03, 0.06), 0.1
        row = {"cases": count, "clear": 0.0, "wrong": 0.0, "clear_alone": 0.0, "wrong_alone": 0.0}
        for _ in range(trials):
            best, over_all, alone = clear_leads(levels + noise * rng.standard_normal((count, ROUNDS)))
            for name, is_clear in (("", over_all), ("_alone", alone)):
                row[f"clear{name}"] += is_clear / trials
                row[f"wrong{name}"] += (is_clear and best != 1) / trials
        yield row


def simulate_processes(seed: int, quick: bool = False) -> dict[str, Any]:
    """Return the rates of wrong numbers of processes, as a file keeps them; `quick` draws a twelfth as often."""
    rng, trials = np.random.default_rng(seed), 50 if quick else 600
    return {
        "trials": trials,
        "median": list(median_rows(rng, trials)),
        "stopping": list(stopping_rows(rng, trials)),
        "tails": list(tail_rows(rng, trials // 2)),
        "leads": list(lead_rows(rng, 2 * trials)),
    }


MEANINGS = tuple(f"{name}: {meaning}" for name, (meaning, _) in SAMPLES.items())


def process_blocks(results: dict[str, Any]) -> list[Block]:
    """Return the tables of what `simulate_processes` returned."""
    of_medians = "Medians within their 95 % interval by the samples of a process, in percent"
    return [
        _median_block(results, "coverage", of_medians, MEANINGS),
        _median_block(results, "plain", f"{of_medians}, where all samples count as independent", ()),
        *(_stopping_block(results), _tail_block(results), _lead_block(results)),
    ]


def _median_block(results: dict[str, Any], key: str, caption: str, notes: tuple[str, ...]) -> Block:
    lines: dict[tuple[str, float], list[str]] = {}
    for row in results["median"]:
        lines.setdefault((row["shape"], row["rho"]), []).append(_percent(row[key]))
    if notes:
        independent = [row for row in results["median"] if row["shape"] == "normal" and not row["rho"]]
        wider = ", ".join(f"{100 * (row['wider'] - 1):.0f} % of {row['n']}" for row in independent)
        notes += (f"of independent normal samples the intervals are wider than the exact ones by {wider}",)
    rows: list[tuple[str, ...]] = [(shape, f"{rho:g}", *cells) for (shape, rho), cells in lines.items()]
    return Block(caption, ("samples", "rho", *map(str, COUNTS)), 1, rows, notes)


def _stopping_block(results: dict[str, Any]) -> Block:
    rows: list[tuple[str, ...]] = [
        (
            f"{row['rho']:g}",
            f"{100 * row['noise']:g} %",
            f"{row['samples']:.0f}",
            _percent(row["coverage"]),
        )
        for row in results["stopping"]
    ]
    caption = f"Medians within their 95 % interval where it ended the sampling, at ±{100 * WIDTH:g} %, in percent"
    return Block(caption, ("rho", "noise", "samples", "within"), 0, rows)


def _tail_block(results: dict[str, Any]) -> Block:
    def cell(row: dict[str, Any], target: str) -> str:
        coverage, stated = row[target], row[f"{target}_stated"]
        return "-" if coverage is None else _percent(coverage) + (f" (stated {_percent(stated)})" if stated < 1 else "")

    rows: list[tuple[str, ...]] = [
        (row["shape"], str(row["processes"]), cell(row, "these"), cell(row, "another")) for row in results["tails"]
    ]
    caption = f"p99 within its 99 % bound, of {P_SAMPLES} samples a process, in percent of the bounds that are stated"
    notes = tuple(f"{name}: {tail.meaning}" for name, tail in TAILS.items())
    return Block(caption, ("processes", "number", "of these", "of another"), 1, rows, notes)


def _lead_block(results: dict[str, Any]) -> Block:
    rows: list[tuple[str, ...]] = [
        (str(row["cases"]), *(_percent(row[key]) for key in ("clear", "wrong", "clear_alone", "wrong_alone")))
        for row in results["leads"]
    ]
    caption = "Clear leads and wrong ones beside a noisy case that is the best, in percent of sweeps"
    notes = ("alone: as tested against the runner-up alone",)
    return Block(caption, ("cases", "clear", "wrong", "clear alone", "wrong alone"), 0, rows, notes)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
