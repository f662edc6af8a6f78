"""What `bench ab` concludes from the records of two commits in turns: verdicts, each look at them paid for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pandas import DataFrame

from bench.records.frame import Damage, load
from bench.runs.ab import SIDES, Duel, interim_looks
from bench.verdicts.compare import Comparison, compare
from bench.verdicts.rule import RULE

# What a commit's author is asked about: speed, and the memory that no noise is in. Cold starts would never be settled.
USUAL = ("latency", "gpu", "throughput", "weights", "allocated", "reserved", "device")


def verdict_looks(rounds: int) -> list[int]:
    """The rounds after which there can be a verdict, of a run of at most so many."""
    return [look for look in interim_looks(rounds) if look >= RULE.least]


def sides(folder: Path) -> tuple[DataFrame, DataFrame]:
    """The frames of base/ and head/ in `folder`; a damaged line costs itself, and is not told again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Damage)
        base, head = (load(folder / side) for side in SIDES)
    return base, head


def compared(
    frames: tuple[DataFrame, DataFrame],
    rounds: int,
    metrics: Sequence[str],
    minimums: Mapping[str, float] | None = None,
) -> Comparison:
    """The verdicts over base and head of a run of at most `rounds` rounds, the error shared out among its looks."""
    rule = RULE.over(len(verdict_looks(rounds)) or 1)
    return compare(*frames, metrics, minimums, rule)


@dataclass(frozen=True)
class Question:
    """What two commits are compared by: the metrics, and the least changes of them, relative, that are one."""

    metrics: Sequence[str] = USUAL
    minimums: Mapping[str, float] = field(default_factory=dict)

    def verdicts(self, duel: Duel) -> Comparison:
        """The verdicts over the records so far."""
        return compared(sides(duel.folder), duel.rounds, self.metrics, self.minimums)

    def settled(self, duel: Duel) -> bool:
        """Whether every case has a verdict, so that no further round is needed."""
        return not self.verdicts(duel).counts["AMBIGUOUS"]
