"""The two sides of a comparison: which cases both have, and their values as matrices of cases by rounds."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from bench.machine.watch import OTHER_WORK_LIMIT
from bench.records.record import STATUSES
from bench.text import plural
from bench.verdicts.lists import Lists, kept
from bench.verdicts.metrics import Metric
from bench.verdicts.rule import Array
from bench.verdicts.serial import Mask
from bench.verdicts.validity import disturbed_rows, throttled_rows

NAMES = ("base", "head")
FAILING = tuple(status for status in STATUSES if status not in ("ok", "skipped", "throttled"))
# The share of a side's rounds that throttling may take before there is no verdict.
THROTTLED = 0.2
CACHES = ("fresh", "cold", "partly", "warm", "unused")
PROCESSES = ("fresh", "forked")
# Columns that must be alike for a metric: their words but for an unknown one, and how a sentence says them.
ALIKE = {"caches": (CACHES, "compile caches were"), "process": (PROCESSES, "processes were")}


@dataclass(frozen=True)
class Failed:
    """A case that failed in head, in `rounds` of its `of` rounds, and not in base."""

    case: str
    rounds: int
    of: int
    status: str
    reason: str


class Sides:
    """Base and head, of `read_lists`. `common` has the cases that both sides measured, if only throttled."""

    def __init__(self, base: Lists, head: Lists) -> None:
        self.sides = dict(zip(NAMES, (base, head), strict=True))
        self.measured = {name: _of_status(side, "ok", "throttled") for name, side in self.sides.items()}
        head_cases = set(self.measured["head"]["case"])
        self.common = [case for case in dict.fromkeys(self.measured["base"]["case"]) if case in head_cases]
        self.index = {case: index for index, case in enumerate(self.common)}
        self.rounds = sorted({number for side in self.measured.values() for number in side["round"]})
        self.cells = {name: self._cells(side) for name, side in self.measured.items()}
        self.present = {
            name: self._matrix(name, np.ones(len(side["case"]))) == 1 for name, side in self.measured.items()
        }
        # rounds all of whose throughput windows were disturbed; none is known in records up to schema 4
        self.without_window = {name: self._matrix(name, self._column(name, "windows")) == 0 for name in NAMES}
        self.interleaved = self._interleaved()

    def _cells(self, side: Lists) -> tuple[NDArray[np.int64], NDArray[np.int64], Mask]:
        """Return the case's index and the round's index of each row, and whether its case is common."""
        case = np.array([self.index.get(case, -1) for case in side["case"]], np.int64)
        return case, np.searchsorted(self.rounds, side["round"]), case >= 0

    def _column(self, name: str, column: str) -> Array:
        """Return a column of numbers of what a side measured; NaN for None."""
        return np.array(self.measured[name][column], np.float64)

    def _matrix(self, name: str, column: Array) -> Array:
        """Return a column of a side as [common cases, rounds]; NaN where it has no such round."""
        case, number, common = self.cells[name]
        matrix = np.full((len(self.common), len(self.rounds)), np.nan)
        matrix[case[common], number[common]] = column[common]
        return matrix

    def _interleaved(self) -> Mask:
        """Return, for each case, whether every round was over on both sides before the next began on either."""
        starts = []
        for name in NAMES:
            seconds = [nan if time is None else time.timestamp() for time in self.measured[name]["started"]]
            starts.append(self._matrix(name, np.array(seconds, np.float64)))
        first, last = np.minimum(*starts), np.maximum(*starts)  # NaN where a side lacks the round
        interleaved = np.zeros(len(self.common), dtype=bool)
        for index in range(len(interleaved)):
            both = np.isfinite(first[index])
            turns = last[index][both][:-1] <= first[index][both][1:]
            interleaved[index] = len(turns) and turns.all()
        return interleaved

    def throttled(self, name: str, metric: Metric) -> Mask:
        """Return the rounds of a side that throttling spoilt for a metric, [common cases, rounds]."""
        return self._matrix(name, throttled_rows(self.measured[name], metric).astype(np.float64)) == 1

    def disturbed(self, name: str, metric: Metric) -> Mask:
        """Return the rounds of a side that something else spoilt for a metric, [common cases, rounds]."""
        return self._matrix(name, disturbed_rows(self.measured[name], metric).astype(np.float64)) == 1

    def values(self, name: str, metric: Metric) -> Array:
        """Return a metric of a side as [common cases, rounds], in its unit; NaN for what is missing or spoilt."""
        spoilt = self.throttled(name, metric) | self.disturbed(name, metric)
        return np.where(spoilt, np.nan, self.unmasked(name, metric))

    def unmasked(self, name: str, metric: Metric) -> Array:
        """Return what `values` does, with what is spoilt."""
        columns = [self._column(name, column) for column in metric.columns]
        return self._matrix(name, np.sum(columns, axis=0) / metric.scale)

    def throttling(self, metric: Metric) -> list[str]:
        """Return why throttling forbids a verdict on a metric of each common case; empty where it does not."""
        reasons = [""] * len(self.common)
        for name in NAMES:
            throttled, rounds = self.throttled(name, metric).sum(-1), self.present[name].sum(-1)
            for index in np.flatnonzero(throttled > THROTTLED * rounds):
                of = f"{rounds[index]} {plural(rounds[index], 'round')}"
                reasons[index] = f"{throttled[index]} of {of} throttled in {name}"
        return reasons

    def beside_other_work(self, metric: Metric, least: int) -> list[str]:
        """Return why under `least` rounds apart show nothing of each common case: most of a side's had other work."""
        reasons = [""] * len(self.common)
        if not metric.of_machine:
            return reasons
        counts = {name: self.present[name].sum(-1) for name in NAMES}
        few = ~self.interleaved & (np.minimum(*counts.values()) < least)
        for name, rounds in counts.items():
            busy = (self._matrix(name, self._column(name, "other_work")) > OTHER_WORK_LIMIT).sum(-1)
            for index in np.flatnonzero(few & (2 * busy > rounds)):
                of = f"{rounds[index]} {plural(rounds[index], 'round')}"
                reasons[index] = f"other work in {busy[index]} of {of} of {name}, and a test takes {least}"
        return reasons

    def lacking_windows(self, metric: Metric, least: int) -> list[str]:
        """Return why under `least` rounds tell a metric of each common case, where its windows were disturbed."""
        disturbed = {name: self.disturbed(name, metric) for name in NAMES}
        base, head = (self.present[name] & ~disturbed[name] for name in NAMES)
        kept = np.where(self.interleaved, (base & head).sum(-1), np.minimum(base.sum(-1), head.sum(-1)))
        reasons = [""] * len(self.common)
        for index in np.flatnonzero(kept < least):
            counts = [(disturbed[name][index].sum(), self.present[name][index].sum(), name) for name in NAMES]
            texts = (f"{lost} of {of} {plural(of, 'round')} of {name}" for lost, of, name in counts if lost)
            sides = " and ".join(texts)
            reasons[index] = sides and f"every throughput window was disturbed in {sides}"
        return reasons

    def disturbance(self) -> str:
        """Return a sentence on the other work and the disturbed windows of each side; empty where there were none."""
        work, windows = [], []
        for name in NAMES:
            others = np.nan_to_num(self._column(name, "other_work")[self.cells[name][2]])
            of = f"{len(others)} {plural(len(others), 'run')}"
            if busy := int((others > OTHER_WORK_LIMIT).sum()):
                work.append(f"up to {others.max():.0%} of the machine's time in {busy} of {of} of {name}")
            if lost := int(self.without_window[name].sum()):
                windows.append(f"in {lost} of {of} of {name}")
        clauses = ["OTHER WORK took " + " and ".join(work)] if work else []
        clauses += ["every throughput window was disturbed " + " and ".join(windows)] if windows else []
        text = "; ".join(clauses)
        return text and f"{text[0].upper()}{text[1:]}: measure again when the machine is quiet."

    def alike(self, column: str, base: Array, head: Array, least: int) -> tuple[Array, Array, list[str]]:
        """Return the values whose word in a column of ALIKE is the one that most rounds of both sides have.

        The third result is the reason why a common case has none, or under `least` rounds of them, or empty.
        """
        words_of, clause = ALIKE[column]
        states = [self._states(name, column) for name in NAMES]
        counts = [
            np.stack([((state == code) & np.isfinite(side)).sum(-1) for code in range(-1, len(words_of))], -1)
            for state, side in zip(states, (base, head), strict=True)
        ]
        shared = np.minimum(*counts)
        chosen = shared.argmax(-1)[:, None] - 1
        kept = [np.where(state == chosen, side, np.nan) for state, side in zip(states, (base, head), strict=True)]
        reasons = [""] * len(self.common)
        for index, rounds in enumerate(shared.max(-1, initial=0)):
            if not rounds:
                kept[0][index], kept[1][index] = base[index], head[index]
            of_sides = [count[index] for count in counts]
            # with few rounds of any word, that they are few is the reason
            if rounds < least and min(map(sum, of_sides)) >= (least if rounds else 1):
                words = [", ".join(("unknown", *words_of)[i] for i in np.flatnonzero(side)) for side in of_sides]
                few = (
                    f": {rounds} {plural(rounds, 'round')} a side alike, and a verdict takes {least}" if rounds else ""
                )
                reasons[index] = f"{clause} {words[0]} in base, {words[1]} in head{few}"
        return kept[0], kept[1], reasons

    def _states(self, name: str, column: str) -> Array:
        codes = {state: float(code) for code, state in enumerate(ALIKE[column][0])}
        unknown = -1.0 if column == "caches" else 0.0  # all processes were fresh before it was on record
        words = self.measured[name][column]
        return self._matrix(name, np.array([codes.get(word, unknown) for word in words], np.float64))

    def missing(self) -> dict[str, str]:
        """Return the cases that base measured and head did not, with head's reason; failed ones are not among them."""
        head = self.sides["head"]
        rows = zip(head["case"], head["status"], head["reason"], strict=True)
        reasons = {case: f"{status}: {reason}" for case, status, reason in rows}  # the last of each
        explained = {*self.index, *_of_status(head, *FAILING)["case"]}
        return {case: reasons.get(case, "") for case in self.measured["base"]["case"] if case not in explained}

    def new(self) -> list[str]:
        """Return the cases that head measured and base did not."""
        return [case for case in dict.fromkeys(self.measured["head"]["case"]) if case not in self.index]

    def nowhere(self) -> list[str]:
        """Return the cases that neither side measured: skipped or failed."""
        measured = {case for side in self.measured.values() for case in side["case"]}
        every = dict.fromkeys(case for side in self.sides.values() for case in side["case"])
        return [case for case in every if case not in measured]

    def failed(self) -> list[Failed]:
        """Return the cases that base measured without a failure and that failed in head, if only in one round.

        So did one that base measured in some rounds, and head in none.
        """
        base, head = (_of_status(side, *FAILING) for side in self.sides.values())
        sound = set(self.measured["base"]["case"]) - (set(base["case"]) & set(self.index))
        rounds = Counter(self.sides["head"]["case"])
        failed = defaultdict[str, list[tuple[str, str]]](list)
        for case, status, reason in zip(head["case"], head["status"], head["reason"], strict=True):
            if case in sound:
                failed[case].append((status, reason))
        return [Failed(case, len(ends), rounds[case], *ends[-1]) for case, ends in failed.items()]


def _of_status(side: Lists, *statuses: str) -> Lists:
    return kept(side, [status in statuses for status in side["status"]])
