"""`bench compare` on the simulated machine: false alarms, and slowdowns that are found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from tests.noise.calls import Answer, call
from tests.noise.machine import Part, Shape, sweep
from tests.noise.measured import Lab, Measured
from tests.noise.records import name, sides, write
from tests.noise.shapes import SHAPES

ALARMS = 0.05
METRICS = ("latency", "throughput")
TOGETHER = re.compile(r"\b(together|alike|all cases|every case)\b")
PERCENT = re.compile(r"([+-]?\d+(?:\.\d+)?) %")


@dataclass(frozen=True)
class Judged:
    """One comparison: cases and metrics called SLOWER or FASTER; by what per cent its summary says that all moved."""

    alarms: frozenset[tuple[str, str, str]]
    together: tuple[float, ...]
    paired: frozenset[bool]

    def slower(self, case: int) -> int:
        """Return of how many metrics a case is SLOWER."""
        return sum((name(case), metric, "SLOWER") in self.alarms for metric in METRICS)

    def elsewhere(self, case: int) -> bool:
        """Return whether there is an alarm of another case than this one."""
        return any(alarm[0] != name(case) for alarm in self.alarms)


def read(answer: Answer, cases: int) -> Judged:
    """Read the JSON of `bench compare`, which must have a verdict on each case and metric."""
    verdicts = [one for one in answer.json["verdicts"] if one["metric"] in METRICS]
    if len(verdicts) != len(METRICS) * cases:
        raise RuntimeError(f"{len(verdicts)} verdicts on {cases} cases")
    alarms = frozenset(
        (one["case"], one["metric"], one["word"]) for one in verdicts if one["word"] in ("SLOWER", "FASTER")
    )
    percents = tuple(
        float(figure)
        for sentence in answer.json["summary"]
        if TOGETHER.search(sentence)
        for figure in PERCENT.findall(sentence)
    )
    return Judged(alarms, percents, frozenset(one["paired"] for one in verdicts))


def compare_once(
    lab: Lab, rng: Generator, shape: Shape, design: str, rounds: int, cases: int, effect: float = 0.0
) -> Judged:
    """Simulate one sweep in which case 0 is slower by `effect` (0.03 is 3 %) in head, and return what is said of it."""
    ran = sweep(rng, shape, design, rounds, cases)
    planted = np.zeros(cases)
    planted[0] = np.log1p(effect)
    with lab.folder() as folder:
        base, head = (
            write(folder / side, lines) for side, lines in zip("ab", sides(rng, shape, ran, planted), strict=True)
        )
        return read(call("compare", base, head), cases)


def many(
    lab: Lab, shape: Shape, design: str, sweeps: int, rounds: int, cases: int, effect: float = 0.0
) -> list[Judged]:
    """Return what is said of `sweeps` independent sweeps."""
    rng = lab.chance("compare", shape.name, design, rounds, cases, effect)
    return [compare_once(lab, rng, shape, design, rounds, cases, effect) for _ in range(sweeps)]


def false_alarms(lab: Lab, design: str, shape: Shape, sweeps: int, cases: int, rounds: int = 10) -> Measured:
    """Count the sweeps of identical code in which any case is called SLOWER or FASTER."""
    judged = many(lab, shape, design, sweeps, rounds, cases)
    alarmed = sum(bool(one.alarms) for one in judged)
    return Measured(f"{design}, {rounds} rounds: sweeps with a false alarm", shape.name, alarmed, sweeps, most=ALARMS)


def moved_together(lab: Lab, sweeps: int, cases: int) -> Iterator[Measured]:
    """Count what is said of a machine that is 5 % slower in the second sitting: one sentence, and no case."""
    shape = Shape("step 5 %", parts=(Part("step", 0.05),))
    judged = many(lab, shape, "apart", sweeps, 10, cases)
    alarmed = sum(bool(one.alarms) for one in judged)
    yield Measured("apart: a machine's move makes alarms of cases", shape.name, alarmed, sweeps, most=ALARMS)
    explained = sum(any(4 < abs(percent) < 6 for percent in one.together) for one in judged)
    yield Measured("apart: it is said that all moved, and by how much", shape.name, explained, sweeps, least=0.95)


def power(lab: Lab, sweeps: int, cases: int) -> Iterator[Measured]:
    """Count the slowdowns that are found: +3 % alone and beside one disturbed round, +20 % of three rounds."""
    for design in ("apart", "turns"):
        for shape, of, rounds, effect, least in (
            (SHAPES["normal"], 4, 10, 0.03, 0.95),
            (SHAPES["disturbed"], cases, 10, 0.03, 0.90),
            (SHAPES["normal"], 20, 3, 0.20, 0.84),
            (SHAPES["t3"], 20, 3, 0.20, 0.84),
            (SHAPES["modes"], 20, 3, 0.20, 0.84),
            (SHAPES["outliers"], 20, 3, 0.20, 0.84),
        ):
            judged = many(lab, shape, design, sweeps, rounds, of, effect)
            slower = sum(one.slower(0) for one in judged)
            label = f"{design}, {rounds} rounds, {of} cases"
            yield Measured(f"{label}: +{effect:.0%} found", shape.name, slower, len(METRICS) * sweeps, least=least)
            beside = sum(one.elsewhere(0) for one in judged)
            yield Measured(f"{label}: alarms beside it", shape.name, beside, sweeps, most=ALARMS)
