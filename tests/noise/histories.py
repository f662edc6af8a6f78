"""`bench history` of stores from the simulated machine: false changes, bumps, steps, many series, the order of git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator

from tests.noise.calls import call
from tests.noise.machine import SLOT, Floats, Part, Shape, levels, met
from tests.noise.measured import Lab, Measured
from tests.noise.records import MILLISECOND, name, record, write

DAY = 86400.0
SIZE = 0.01
NIGHTS = (
    Shape("normal"),
    Shape("t3", "t3"),
    Shape("outliers", "outliers"),
    Shape("modes", "modes"),
    *(Shape(f"ar.{rho}", noise=0.003, parts=(Part("wander", SIZE, "case", rho / 10),)) for rho in (3, 7, 9)),
    Shape("machine-ar", parts=(Part("wander", SIZE, rho=0.7),)),
    Shape("sticky", parts=(Part("states", 0.04, dwell=5.0),)),
)
"""Noise from night to night: the correlation is from one commit to the next, a state lasts five nights on average."""


def nights(rng: Generator, shape: Shape, commits: int, cases: int) -> tuple[Floats, Floats]:
    """Return starts [commit, case] in seconds, and slowness [metric, commit, case], of a process a night and case."""
    starts = DAY * np.arange(commits)[:, None] + SLOT * np.arange(cases)
    slow = levels(rng, shape.law, shape.noise, (2, commits, cases))
    for part in shape.parts:
        slow = slow + met(rng, part, starts[None], DAY)[0]
    return starts, slow


def store(folder: Path, rng: Generator, starts: Floats, slow: Floats, shas: Sequence[str] = ()) -> Path:
    """Write a results folder a commit, of one record a case, and return the store."""
    for commit, (begins, *metrics) in enumerate(zip(starts, *slow, strict=True)):
        sha = shas[commit] if shas else f"{commit + 1:040x}"
        lines = [
            record(
                name(case),
                0,
                float(begins[case]),
                MILLISECOND * np.exp(metrics[0][case] + 0.002 * rng.standard_normal(7)),
                1000 * np.exp(-metrics[1][case] + 0.001 * rng.standard_normal(3)),
                sha,
            )
            for case in range(len(begins))
        ]
        write(folder / f"night{commit:04d}", lines)
    return folder


def changes(
    lab: Lab, rng: Generator, starts: Floats, slow: Floats, shas: Sequence[str] = ()
) -> dict[tuple[str, str], list[int]]:
    """Return, by case and metric, the places in the order of commits at which a level begins that is another."""
    with lab.folder() as folder:
        series = call("history", store(folder, rng, starts, slow, shas)).json
    if [len(one["points"]) for one in series] != [len(starts)] * (2 * starts.shape[1]):
        raise RuntimeError("not every case and metric has a point at every commit")
    return {
        (one["case"], one["metric"]): [
            [point["sha"] for point in one["points"]].index(change["after"]) for change in one["changes"]
        ]
        for one in series
    }


def false_changes(lab: Lab, shape: Shape, stores: int, cases: int = 30, commits: int = 100) -> Measured:
    """Count the stores of unchanged code in which any series has a change."""
    rng = lab.chance("history", shape.name, cases, commits)
    wrong = sum(any(changes(lab, rng, *nights(rng, shape, commits, cases)).values()) for _ in range(stores))
    return Measured("history: stores with a false change", shape.name, wrong, stores, most=0.05)


def near(places: Sequence[int], place: int, within: int) -> bool:
    """Return whether one of the places is this one, or so near to it."""
    return any(abs(one - place) <= within for one in places)


def planted(lab: Lab, stores: int, cases: int = 10) -> Iterator[Measured]:
    """Count changes that are found: a bump, a step in the middle, and a step of which there are five commits yet."""
    for label, commits, begin, end, size, edges, within, least in (
        ("+30 % over commits 17 to 24 of 40, both edges", 40, 16, 24, 0.30, (16, 24), 1, 0.90),
        ("-30 % over commits 17 to 24 of 40, both edges", 40, 16, 24, -0.30, (16, 24), 1, 0.90),
        ("+3 % at 61 of 100, placed within five", 100, 60, 100, 0.03, (60,), 5, 0.90),
        ("+3 % within its first five commits", 65, 60, 65, 0.03, (60,), 5, 0.90),
        ("+65 % of 20 commits, half of them", 20, 10, 20, 0.65, (10,), 1, 0.90),
    ):
        rng = lab.chance("planted", label)
        placed, wrong = 0, 0
        for _ in range(stores):
            starts, slow = nights(rng, NIGHTS[0], commits, cases)
            slow[:, begin:end, 0] += np.log1p(size)
            places = changes(lab, rng, starts, slow)
            planted_in = [places[name(0), metric] for metric in ("latency", "throughput")]
            placed += sum(all(near(one, edge, within) for edge in edges) for one in planted_in)
            wrong += any(one for (case, _), one in places.items() if case != name(0))
        yield Measured(f"history: {label}", "normal", placed, 2 * stores, least=least)
        yield Measured("history: false changes beside it", "normal", wrong, stores, most=0.05)


def many_series(lab: Lab, cases: int = 510, commits: int = 20) -> Measured:
    """Count the metrics of a case that takes twice as long from half of the commits on, among over 1,000 series."""
    rng = lab.chance("many series", cases)
    starts, slow = nights(rng, NIGHTS[0], commits, cases)
    slow[:, commits // 2 :, 0] += np.log(2)
    places = changes(lab, rng, starts, slow)
    placed = sum(near(places[name(0), metric], commits // 2, 0) for metric in ("latency", "throughput"))
    return Measured(f"history: +100 % among {2 * cases} series", "normal", placed, 2, least=1.0)


def checkout_commits(wanted: int) -> list[str]:
    """Return the newest commits of this checkout's first parents, oldest first; none where it has fewer."""
    words = ["git", "rev-list", "--first-parent", f"--max-count={wanted}", "HEAD"]
    ran = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    shas = ran.stdout.split()[::-1]
    return shas if ran.returncode == 0 and len(shas) == wanted else []


def by_git(lab: Lab, commits: int = 40) -> Measured | None:
    """Count whether a step is placed in the order of commits, which were measured in another; None without a git."""
    shas = checkout_commits(commits)
    if not shas:
        return None
    rng = lab.chance("order")
    starts, slow = nights(rng, NIGHTS[0], commits, 4)
    slow[:, commits // 2 :, 0] += np.log(1.5)
    starts = starts[rng.permutation(commits)]
    places = changes(lab, rng, starts, slow, shas)
    placed = sum(places[name(0), metric] == [commits // 2] for metric in ("latency", "throughput"))
    return Measured("history: commits of git, measured in any order", "normal", placed, 2, least=1.0)
