"""The change of a variant, over all its cases: the geometric mean of their ratios, with an interval from the rounds.

Cases of a round share what happened to the machine in it, so they are no sample of their own: what a round did to the
mean over the cases is one value, and Student's interval is over rounds. It is about these cases, and no others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log, log1p, nan

import numpy as np
from scipy.special import stdtrit

from bench.plans.case import Case
from bench.verdicts.alike import levelled
from bench.verdicts.judge import Tests
from bench.verdicts.metrics import METRICS
from bench.verdicts.rule import AMBIGUOUS, FASTER, SAME, SLOWER, Array
from bench.verdicts.serial import mean_over_rounds
from bench.verdicts.verdict import LEAST_SHARED, Verdict

EXACT = "exact"
COUNTED = {"slower": SLOWER, "faster": FASTER, "same": SAME, "open": AMBIGUOUS}


@dataclass(frozen=True)
class RollUp:
    """A metric over the cases of a variant, in one precision where they have several; over all where it has no name.

    `ratio` is the geometric mean of head / base, `low` and `high` its 95 % interval, and `basis` what that rests on, or
    why there is none. Between two sittings `common` is what all cases share, a ratio, where `ratio` is without it.
    `cases` are those that may be judged; `slower`, `faster`, `same` and `open` count verdicts.
    """

    metric: str
    variant: str
    precision: str
    cases: int
    minimum: float
    ratio: float | None
    low: float | None
    high: float | None
    basis: str
    common: float | None
    slower: int
    faster: int
    same: int
    open: int

    @property
    def name(self) -> str:
        return "/".join(filter(None, (self.variant, self.precision))) or "all"

    @property
    def changed(self) -> int:
        return self.slower + self.faster

    @property
    def worse(self) -> float:
        """How much worse head is, as a logarithm; 0 where it is not known."""
        return METRICS[self.metric].sign * log(self.ratio) if self.ratio else 0.0

    @property
    def is_past(self) -> bool:
        """True where the mean change is past the least that counts."""
        return abs(self.worse) > log1p(self.minimum)


def roll_up(tests: Iterable[Tests], verdicts: Iterable[Verdict]) -> list[RollUp]:
    """Return a roll-up of each metric over all cases, where they are of several variants, and over those of each."""
    by_metric: dict[str, list[Tests]] = {}
    for test in tests:
        by_metric.setdefault(test.name, []).append(test)
    groups = groups_of([case for tests in by_metric.values() for test in tests for case in test.cases])
    names = dict.fromkeys(groups.values())
    words = Counter((one.metric, name, one.word) for one in verdicts for name in (groups[one.case], ("", "")))
    rolled = []
    for metric, parts in by_metric.items():
        for name in ([("", "")] if len(names) > 1 or _shared(parts[0]) else []) + list(names):
            counts = {field: words[metric, name, word] for field, word in COUNTED.items()}
            if any(counts.values()):
                places = [[not any(name) or groups[case] == name for case in test.cases] for test in parts]
                rolled.append(_rolled(parts, [np.flatnonzero(place) for place in places], name, counts))
    return rolled


def groups_of(cases: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the variant of each case, with its precision where the cases have several."""
    parsed = {name: Case.parse(name) for name in dict.fromkeys(cases)}
    several = len({case.precision for case in parsed.values()}) > 1
    return {name: (case.variant, case.precision if several else "") for name, case in parsed.items()}


def _shared(test: Tests) -> float:
    """Return what is taken off every case of a metric, a logarithm; 0 where it is none to read about."""
    common = float(test.effects.estimate.common[0])
    return common if abs(common) >= LEAST_SHARED else 0.0


def _rolled(parts: list[Tests], places: list[np.ndarray], name: tuple[str, str], counts: dict[str, int]) -> RollUp:
    """Return the roll-up of the cases at these places of the tests of a metric: in turns, apart, or of both kinds."""
    usable = [
        at[np.isfinite(test.effects.estimate.effect[at]) & ~test.is_forbidden[at]]
        for test, at in zip(parts, places, strict=True)
    ]
    there = [(test, at) for test, at in zip(parts, usable, strict=True) if len(at)]
    without = 0.0 if not any(name) else max((_shared(test) for test, _ in there), key=abs, default=0.0)
    number = sum(len(at) for _, at in there)
    total = sum(float(test.effects.estimate.effect[at].sum()) for test, at in there)
    effect = total / number - without if number else nan
    half, basis = nan, "no case that may be judged"
    if len(there) == 1:
        half, basis = _half_width(*there[0], bool(without))
    elif there:
        basis = "some cases in turns, some apart"
    sure = bool(np.isfinite(half))
    low, high = (exp(effect + side * half) if sure else None for side in (-1, 1))
    ratio, common = exp(effect) if number else None, exp(without) if without else None
    metric, minimum, (variant, precision) = parts[0].name, parts[0].minimum, name
    return RollUp(metric, variant, precision, number, minimum, ratio, low, high, basis, common, **counts)


def _half_width(test: Tests, at: np.ndarray, is_levelled: bool) -> tuple[float, str]:
    """Return half the interval of the mean effect of some cases, NaN without one, and what it rests on."""
    effects, rule = test.effects, test.rule
    sides = [effects.base, effects.head]
    enough = METRICS[test.name].exact or bool((effects.estimate.rounds[at] >= rule.min_rounds).all())
    if enough and bool(test.is_constant[at].all()):
        return nan, EXACT
    if test.paired:
        sides = [sides[1] - sides[0]]
    elif is_levelled:
        sides = [levelled(side) for side in sides]
    squares, df = zip(*(_mean_square(side[at]) for side in sides), strict=True)
    rounds = [one + 1 for one in df]
    if min(rounds) < rule.few_rounds:
        return nan, f"under {rule.few_rounds} rounds"
    # neighbours that hang together make a mean less sure, as those of an autoregressive process of first order
    serial = effects.estimate.serial
    squares = tuple(square * (1 + r) / (1 - r) for square, r in zip(squares, serial.tolist(), strict=True))
    square = sum(squares)
    degrees = square**2 / sum(one**2 / n for one, n in zip(squares, df, strict=True)) if square > 0 else 1.0
    if is_levelled:
        square += float(effects.movement.error) ** 2
    half = float(stdtrit(degrees, 1 - rule.interval_alpha / 2)) * square**0.5
    return (
        half,
        f"{rounds[0]} rounds in turns"
        if test.paired
        else f"{rounds[0]} and {rounds[1]} rounds apart, as if independent",
    )


def _mean_square(values: Array) -> tuple[float, int]:
    """Return the variance of the mean over cases of their means over rounds, of [cases, rounds], and its degrees.

    A round's part in that mean is one value, whatever its cases have in common, and whichever of them lack it.
    """
    finite = np.isfinite(values)
    counts = finite.sum(-1, keepdims=True)
    parts = np.where(finite, (values - mean_over_rounds(values)) / np.maximum(counts, 1), 0.0).sum(0) / len(values)
    rounds = int(finite.any(0).sum())
    return float((parts**2).sum()) * rounds / max(rounds - 1, 1), rounds - 1
