"""Bounds and leads on the simulated machine: a p99 within a limit, a clear lead, the interval of a median."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from tests.noise.calls import call
from tests.noise.machine import Floats, correlated, levels
from tests.noise.measured import Lab, Measured
from tests.noise.records import MILLISECOND, SHAS, name, record, write

PROCESSES = {"alike": ("normal", 0.0), "levels 2 %": ("normal", 0.02), "one in ten +20 %": ("rare", 0.0)}
"""How processes differ, by name: a law of `machine.levels` and its noise."""
WITHIN = 0.01
"""Standard deviation of a process's samples, in logarithms, around its own level."""
LIMIT_MS = 1.0


def mixture_p99(at: Floats) -> Floats:
    """Return the 99th percentile of the log time of a case's processes together; `at` is of shape [case, process]."""
    cdf = np.vectorize(NormalDist().cdf)
    low, high = at.min(axis=1), at.max(axis=1) + 6 * WITHIN
    for _ in range(60):
        middle = (low + high) / 2
        under = cdf((middle[:, None] - at) / WITHIN).mean(axis=1) < 0.99
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return (low + high) / 2


def p99(
    lab: Lab, kind: str, rho: float, folders: int, processes: int, samples: int, cases: int = 40
) -> Iterator[Measured]:
    """Count the cases that `bench recommend --p99-ms` takes for within a limit that they are over.

    Each case's true p99, of all that its own processes would do, is a millionth over the limit: a bound that holds with
    99 % confidence is over it 99 times in 100. Told beside it: the share of cases of which the bound
    (`p99_upper_ns` of `bench report --json`) is over the p99 of the next process, too.
    """
    law, noise = PROCESSES[kind]
    rng = lab.chance("p99", kind, rho, processes, samples)
    refused, covered, trials = 0, 0, 0
    for _ in range(folders):
        at = levels(rng, law, noise, (cases, processes + 1))
        at -= mixture_p99(at[:, :processes])[:, None]
        series = at[:, :processes, None] + WITHIN * correlated(rng, rho, (cases, processes, samples))
        times = LIMIT_MS * MILLISECOND * 1.000001 * np.exp(series)
        with lab.folder() as folder:
            lines = [
                record(name(case), turn, 60.0 * (turn * cases + case), times[case, turn], (1000, 1000, 1000), SHAS[0])
                for turn in range(processes)
                for case in range(cases)
            ]
            write(folder, lines)
            (chosen,) = call("recommend", folder, "--p99-ms", str(LIMIT_MS)).json
            rows = {row["case"]: row["p99_upper_ns"] for row in call("report", folder).json["rows"]}
        if len(rows) != cases:
            raise RuntimeError(f"{len(rows)} rows of {cases} cases")
        refused += cases - len(chosen["fitting"])
        trials += cases
        following = np.exp(at[:, processes] + WITHIN * NormalDist().inv_cdf(0.99)) * LIMIT_MS * MILLISECOND
        uppers = [rows[name(case)] for case in range(cases)]
        covered += sum(upper is None or upper >= limit for upper, limit in zip(uppers, following, strict=True))
    shape = f"{kind}, rho {rho}" if rho else kind
    yield Measured(
        f"p99 over the limit, rounds {processes}: not taken for within it", shape, refused, trials, least=0.97
    )
    yield Measured(f"p99 bound, rounds {processes}: over the next process's p99, too", shape, covered, trials)


def leads(lab: Lab, folders: int, rounds: int = 5, groups: int = 20) -> Iterator[Measured]:
    """Count clear leads that are wrong: a quiet best and a runner-up 4 % behind it, beside a noisy third that is 2 %
    better in truth; and among three that are equal.
    """
    variants = ("eager", "channels-last", "compile")
    for label, truths, noises in (
        ("noisy third is best", (1.0, 0.96, 1.02), (0.005, 0.005, 0.08)),
        ("three equal", (1.0, 1.0, 1.0), (0.01, 0.01, 0.01)),
        ("noisy among equal", (1.0, 1.0, 1.0), (0.005, 0.005, 0.05)),
    ):
        rng = lab.chance("leads", label, rounds)
        clear, wrong = 0, 0
        best = {variants[i] for i in range(3) if truths[i] == max(truths)} if len(set(truths)) > 1 else set()
        for _ in range(folders):
            slow = np.array(noises) * rng.standard_normal((rounds, groups, 3)) - np.log(truths)
            lines = [
                record(
                    f"resnet18/{variants[case]}/fp32/b1/i{32 * (group + 1)}/stream",
                    turn,
                    20.0 * ((turn * groups + group) * 3 + case),
                    MILLISECOND * np.exp(slow[turn, group, case] + 0.002 * rng.standard_normal(7)),
                    1000 * np.exp(-slow[turn, group, case] + 0.001 * rng.standard_normal(3)),
                    SHAS[0],
                )
                for turn in range(rounds)
                for group in range(groups)
                for case in range(3)
            ]
            with lab.folder() as folder:
                answers = call("recommend", write(folder, lines), "--objective", "throughput").json
            if len(answers) != groups:
                raise RuntimeError(f"{len(answers)} answers on {groups} groups")
            winners = [one["best"]["case"].split("/")[1] for one in answers if one.get("clear")]
            clear += len(winners)
            wrong += sum(winner not in best for winner in winners)
        yield Measured(f"recommend, {rounds} rounds: clear and wrong", label, wrong, folders * groups, most=0.05)
        yield Measured(f"recommend, {rounds} rounds: of clear leads wrong", label, wrong, max(clear, 1))


def medians(lab: Lab, rho: float, folders: int, samples: int = 200, cases: int = 40) -> Iterator[Measured]:
    """Count the cases of one process whose true median is within the `p50_half_width` of `bench report --json`, and
    within `p50_low_ns` to `p50_high_ns` of `bench.load`. Where there is none, nothing was said that is wrong.
    """
    import bench

    rng = lab.chance("medians", rho, samples)
    printed, loaded = 0, 0
    for _ in range(folders):
        times = MILLISECOND * np.exp(WITHIN * correlated(rng, rho, (cases, samples)))
        with lab.folder() as folder:
            lines = [
                record(name(case), 0, 20.0 * case, times[case], (1000, 1000, 1000), SHAS[0]) for case in range(cases)
            ]
            rows = call("report", write(folder, lines)).json["rows"]
            frame = bench.load(folder)
        widths = [(row["p50_ns"], row["p50_half_width"]) for row in rows]
        printed += sum(width is None or abs(MILLISECOND / middle - 1) <= width for middle, width in widths)
        loaded += int((~((frame["p50_low_ns"] > MILLISECOND) | (frame["p50_high_ns"] < MILLISECOND))).sum())
    shape = f"rho {rho}"
    yield Measured("median in one process: printed ± covers it", shape, printed, folders * cases, least=0.93)
    yield Measured("median in one process: bench.load's interval covers it", shape, loaded, folders * cases, least=0.93)
