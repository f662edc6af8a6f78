"""The verdicts of `bench ab`: of two commits in turns, corrected for the number of looks at them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.records.frame import Damage
from bench.runs.ab import SIDES, Duel, interim_looks
from bench.verdicts.compare import AMBIGUOUS, Comparison, compare_lists
from bench.verdicts.lists import Lists, read_lists
from bench.verdicts.rule import RULE

# Speed, and the memory that has no noise: a commit's author can act on these. Cold starts would never be settled.
USUAL = ("latency", "gpu", "throughput", "weights", "allocated", "reserved", "device")


def verdict_looks(rounds: int) -> list[int]:
    """Return the rounds after which there can be a verdict, in a run of at most `rounds`."""
    return [look for look in interim_looks(rounds) if look >= RULE.min_rounds]


def side_lists(folder: Path) -> tuple[Lists, Lists]:
    """Return the columns of base/ and head/ in `folder`, without damaged lines and without a second warning of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Damage)
        base, head = (read_lists(folder / side) for side in SIDES)
    return base, head


def compare_looks(
    sides: tuple[Lists, Lists], rounds: int, metrics: Sequence[str], minimums: Mapping[str, float] | None = None
) -> Comparison:
    """Compare base and head of a run of at most `rounds` rounds, the error rates divided among its looks."""
    rule = RULE.per_look(len(verdict_looks(rounds)) or 1)
    return compare_lists(*sides, metrics, minimums, rule)


@dataclass(frozen=True)
class Question:
    """The metrics that two commits are compared by, and the minimum effects of some of them, relative."""

    metrics: Sequence[str] = USUAL
    minimums: Mapping[str, float] = field(default_factory=dict)

    def verdicts(self, duel: Duel) -> Comparison:
        """Return the verdicts on the records so far."""
        return compare_looks(side_lists(duel.folder), duel.rounds, self.metrics, self.minimums)

    def settled(self, duel: Duel) -> bool:
        """Return whether every case has a verdict, so that no further round is needed.

        One by separation ends nothing, as its error rate is not divided among the looks.
        """
        verdicts = self.verdicts(duel).verdicts
        return not any(verdict.word == AMBIGUOUS or verdict.by_separation for verdict in verdicts)
