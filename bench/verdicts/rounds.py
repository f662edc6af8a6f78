"""The two sides of a comparison: which cases both have, and their values as matrices of cases by rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.machine.watch import OTHER_WORK_LIMIT
from bench.records.record import STATUSES
from bench.runs.throttled import ENOUGH
from bench.text import plural
from bench.verdicts.metrics import Metric
from bench.verdicts.rule import Array

if TYPE_CHECKING:
    from pandas import DataFrame

Mask = NDArray[np.bool_]
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
    """Base and head, frames of `bench.load`. `common` has the cases that both sides measured, if only throttled."""

    def __init__(self, base: DataFrame, head: DataFrame) -> None:
        self.frames = dict(zip(NAMES, (base, head), strict=True))
        self.measured = {name: frame[frame["status"].isin(("ok", "throttled"))] for name, frame in self.frames.items()}
        head_cases = set(self.measured["head"]["case"])
        self.common = [str(case) for case in self.measured["base"]["case"].unique() if case in head_cases]
        self.index = {case: index for index, case in enumerate(self.common)}
        numbers = [frame["round"].to_numpy(np.int64) for frame in self.measured.values()]
        self.rounds = np.unique(np.concatenate(numbers))
        self.cells = {name: self._cells(frame) for name, frame in self.measured.items()}
        self.present = {name: self._matrix(name, np.ones(len(frame))) == 1 for name, frame in self.measured.items()}
        self.throttled = {name: self._throttled(name) for name in NAMES}
        # rounds all of whose throughput windows were disturbed; none is known in records up to schema 4
        self.disturbed = {
            name: self._matrix(name, frame["windows"].to_numpy(np.float64, na_value=np.nan)) == 0
            for name, frame in self.measured.items()
        }
        self.interleaved = self._interleaved()

    def _cells(self, frame: DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64], Mask]:
        """Return the case's index and the round's index of each row, and whether its case is common."""
        case = frame["case"].map(self.index).to_numpy(np.float64, na_value=np.nan)
        number = np.searchsorted(self.rounds, frame["round"].to_numpy(np.int64))
        return np.nan_to_num(case, nan=0).astype(np.int64), number, np.isfinite(case)

    def _matrix(self, name: str, column: Array) -> Array:
        """Return a column of a side as [common cases, rounds]; NaN where it has no such round."""
        case, number, common = self.cells[name]
        matrix = np.full((len(self.common), len(self.rounds)), np.nan)
        matrix[case[common], number[common]] = column[common]
        return matrix

    def _throttled(self, name: str) -> Mask:
        frame = self.measured[name]
        kept, lost = (frame[column].fillna(0).to_numpy(np.float64) for column in ("samples", "dropped"))
        throttled = (frame["status"] == "throttled").to_numpy(bool) | (kept < ENOUGH * (kept + lost))
        return self._matrix(name, throttled.astype(np.float64)) == 1

    def _interleaved(self) -> Mask:
        """Return, for each case, whether every round was over on both sides before the next began on either."""
        starts = []
        for name in NAMES:
            times = self.measured[name]["started"]
            seconds = times.astype("datetime64[us, UTC]").astype("int64").to_numpy(np.float64) / 1e6
            starts.append(self._matrix(name, np.where(times.isna().to_numpy(), np.nan, seconds)))
        first, last = np.minimum(*starts), np.maximum(*starts)  # NaN where a side lacks the round
        interleaved = np.zeros(len(self.common), dtype=bool)
        for index in range(len(interleaved)):
            both = np.isfinite(first[index])
            turns = last[index][both][:-1] <= first[index][both][1:]
            interleaved[index] = len(turns) and turns.all()
        return interleaved

    def values(self, name: str, metric: Metric) -> Array:
        """Return a metric of a side as [common cases, rounds], in its unit; NaN for what is missing or throttled."""
        frame = self.measured[name]
        columns = [frame[column].to_numpy(np.float64, na_value=np.nan) for column in metric.columns]
        matrix = self._matrix(name, np.sum(columns, axis=0) / metric.scale)
        if metric.timed:
            matrix[self.throttled[name]] = np.nan
        return matrix

    def throttling(self) -> list[str]:
        """Return why throttling forbids a verdict on the times of each common case; empty where it does not."""
        reasons = [""] * len(self.common)
        for name in NAMES:
            throttled, rounds = self.throttled[name].sum(-1), self.present[name].sum(-1)
            for index in np.flatnonzero(throttled > THROTTLED * rounds):
                of = f"{rounds[index]} {plural(rounds[index], 'round')}"
                reasons[index] = f"{throttled[index]} of {of} throttled in {name}"
        return reasons

    def lacking_windows(self, least: int) -> list[str]:
        """Return why under `least` rounds tell the throughput of each common case, where windows were disturbed."""
        base, head = (self.present[name] & ~self.disturbed[name] for name in NAMES)
        kept = np.where(self.interleaved, (base & head).sum(-1), np.minimum(base.sum(-1), head.sum(-1)))
        reasons = [""] * len(self.common)
        for index in np.flatnonzero(kept < least):
            counts = [(self.disturbed[name][index].sum(), self.present[name][index].sum(), name) for name in NAMES]
            texts = (f"{lost} of {of} {plural(of, 'round')} of {name}" for lost, of, name in counts if lost)
            sides = " and ".join(texts)
            reasons[index] = sides and f"every throughput window was disturbed in {sides}"
        return reasons

    def disturbance(self) -> str:
        """Return a sentence on the other work and the disturbed windows of each side; empty where there were none."""
        work, windows = [], []
        for name in NAMES:
            frame = self.measured[name][self.measured[name]["case"].isin(self.common)]
            others = frame["other_work"].to_numpy(np.float64, na_value=0.0)
            of = f"{len(frame)} {plural(len(frame), 'run')}"
            if busy := int((others > OTHER_WORK_LIMIT).sum()):
                work.append(f"up to {others.max():.0%} of the machine's time in {busy} of {of} of {name}")
            if lost := int(self.disturbed[name].sum()):
                windows.append(f"in {lost} of {of} of {name}")
        clauses = ["OTHER WORK took " + " and ".join(work)] if work else []
        clauses += ["every throughput window was disturbed " + " and ".join(windows)] if windows else []
        text = "; ".join(clauses)
        return text and f"{text[0].upper()}{text[1:]}: measure again when the machine is quiet."

    def alike(self, column: str, base: Array, head: Array) -> tuple[Array, Array, list[str]]:
        """Return the values whose word in a column of ALIKE is the one that most rounds of both sides have.

        The third result is the reason why a common case has none, or empty.
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
        for index in np.flatnonzero(shared.max(-1, initial=0) == 0):
            if all(count[index].any() for count in counts):
                words = [", ".join(("unknown", *words_of)[i] for i in np.flatnonzero(count[index])) for count in counts]
                reasons[index] = f"{clause} {words[0]} in base, {words[1]} in head"
                kept[0][index], kept[1][index] = base[index], head[index]
        return kept[0], kept[1], reasons

    def _states(self, name: str, column: str) -> Array:
        codes: dict[Any, float] = {state: float(code) for code, state in enumerate(ALIKE[column][0])}
        words = self.measured[name][column].astype("object")
        if column == "process":
            words = words.fillna("fresh")  # as all were before it was on record
        return self._matrix(name, words.map(codes).fillna(-1.0).to_numpy(np.float64))

    def missing(self) -> dict[str, str]:
        """Return the cases that base measured and head did not, with head's reason; failed ones are not among them."""
        last = self.frames["head"].drop_duplicates("case", keep="last")
        reasons = {row.case: f"{row.status}: {row.reason}" for row in last.itertuples()}
        explained = {*self.index, *self._failing("head")["case"]}
        cases = [case for case in self.measured["base"]["case"].unique() if case not in explained]
        return {str(case): reasons.get(case, "") for case in cases}

    def new(self) -> list[str]:
        """Return the cases that head measured and base did not."""
        return [str(case) for case in self.measured["head"]["case"].unique() if case not in self.index]

    def nowhere(self) -> list[str]:
        """Return the cases that neither side measured: skipped or failed."""
        measured = {*self.measured["base"]["case"], *self.measured["head"]["case"]}
        every = dict.fromkeys(str(case) for frame in self.frames.values() for case in frame["case"].unique())
        return [case for case in every if case not in measured]

    def failed(self) -> list[Failed]:
        """Return the cases that base measured without a failure and that failed in head, if only in one round.

        So did one that base measured in some rounds, and head in none.
        """
        sound = set(self.measured["base"]["case"]) - (set(self._failing("base")["case"]) & set(self.index))
        rounds = self.frames["head"].groupby("case", observed=True).size()
        failed = []
        for case, rows in self._failing("head").groupby("case", observed=True, sort=False):
            if case in sound:
                last = rows.iloc[-1]
                failed.append(Failed(str(case), len(rows), int(rounds[case]), last["status"], str(last["reason"])))
        return failed

    def _failing(self, name: str) -> DataFrame:
        frame = self.frames[name]
        return frame[frame["status"].isin(FAILING)]
