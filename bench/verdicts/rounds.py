"""The two sides of a comparison: which cases both have, and their numbers as matrices of cases by rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.records.record import STATUSES
from bench.verdicts.metrics import Metric
from bench.verdicts.rule import Array

if TYPE_CHECKING:
    from pandas import DataFrame

Mask = NDArray[np.bool_]
NAMES = ("base", "head")
FAILING = tuple(status for status in STATUSES if status not in ("ok", "skipped", "throttled"))
# The share of a round's samples, and of a side's rounds, that may fall to throttling before there is no verdict.
THROTTLED = 0.2
CACHES = ("fresh", "cold", "partly", "warm", "unused")


@dataclass(frozen=True)
class Failed:
    """A case that failed in head, in `rounds` of its `of` rounds, and not in base."""

    case: str
    rounds: int
    of: int
    status: str
    reason: str


class Sides:
    """Base and head, frames of `bench.load`. `common`: the cases that both measured, or that throttled there."""

    def __init__(self, base: DataFrame, head: DataFrame) -> None:
        self.all = dict(zip(NAMES, (base, head), strict=True))
        self.run = {name: frame[frame["status"].isin(("ok", "throttled"))] for name, frame in self.all.items()}
        shared = set(self.run["head"]["case"])
        self.common = [str(case) for case in self.run["base"]["case"].unique() if case in shared]
        self.place = {case: place for place, case in enumerate(self.common)}
        numbers = [frame["round"].to_numpy(np.int64) for frame in self.run.values()]
        self.rounds = np.unique(np.concatenate(numbers))
        self.rows = {name: self._rows(frame) for name, frame in self.run.items()}
        self.there = {name: self._matrix(name, np.ones(len(frame))) == 1 for name, frame in self.run.items()}
        self.fallen = {name: self._fallen(name) for name in NAMES}
        self.interleaved = self._interleaved()

    def _rows(self, frame: DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64], Mask]:
        """Of each row its case's place, its round's, and whether the case is common."""
        place = frame["case"].map(self.place).to_numpy(np.float64, na_value=np.nan)
        number = np.searchsorted(self.rounds, frame["round"].to_numpy(np.int64))
        return np.nan_to_num(place, nan=0).astype(np.int64), number, np.isfinite(place)

    def _matrix(self, name: str, column: Array) -> Array:
        """A column of a side as [common cases, rounds]; NaN where it has no such round."""
        place, number, known = self.rows[name]
        made = np.full((len(self.common), len(self.rounds)), np.nan)
        made[place[known], number[known]] = column[known]
        return made

    def _fallen(self, name: str) -> Mask:
        frame = self.run[name]
        kept, lost = (frame[column].fillna(0).to_numpy(np.float64) for column in ("samples", "dropped"))
        much = (frame["status"] == "throttled").to_numpy(bool) | (lost > THROTTLED * (kept + lost))
        return self._matrix(name, much.astype(np.float64)) == 1

    def _interleaved(self) -> Mask:
        """Of each case, whether every round was over on both sides before the next began on either."""
        starts = []
        for name in NAMES:
            times = self.run[name]["started"]
            seconds = times.astype("datetime64[us, UTC]").astype("int64").to_numpy(np.float64) / 1e6
            starts.append(self._matrix(name, np.where(times.isna().to_numpy(), np.nan, seconds)))
        first, last = np.minimum(*starts), np.maximum(*starts)  # NaN where a side lacks the round
        made = np.zeros(len(self.common), dtype=bool)
        for place in range(len(made)):
            both = np.isfinite(first[place])
            turns = last[place][both][:-1] <= first[place][both][1:]
            made[place] = len(turns) and turns.all()
        return made

    def number(self, name: str, metric: Metric) -> Array:
        """A metric of a side as [common cases, rounds], in its unit; NaN for what is not there or fell."""
        frame = self.run[name]
        columns = [frame[column].to_numpy(np.float64, na_value=np.nan) for column in metric.columns]
        made = self._matrix(name, np.sum(columns, axis=0) / metric.scale)
        if metric.timed:
            made[self.fallen[name]] = np.nan
        return made

    def throttled(self) -> list[str]:
        """Of each common case: why throttling forbids a verdict on its times; empty where it does not."""
        told = [""] * len(self.common)
        for name in NAMES:
            fell, of = self.fallen[name].sum(-1), self.there[name].sum(-1)
            for place in np.flatnonzero(fell > THROTTLED * of):
                told[place] = f"{fell[place]} of {of[place]} rounds throttled in {name}"
        return told

    def alike_caches(self, base: Array, head: Array) -> tuple[Array, Array, list[str]]:
        """Cold starts where the compile caches were found alike: in the state that most rounds of both sides have.

        With, of each common case, why there are none.
        """
        states = [self._matrix(name, self._states(name)) for name in NAMES]
        counts = [
            np.stack([((state == code) & np.isfinite(side)).sum(-1) for code in range(-1, len(CACHES))], -1)
            for state, side in zip(states, (base, head), strict=True)
        ]
        shared = np.minimum(*counts)
        chosen = shared.argmax(-1)[:, None] - 1
        kept = [np.where(state == chosen, side, np.nan) for state, side in zip(states, (base, head), strict=True)]
        told = [""] * len(self.common)
        for place in np.flatnonzero(shared.max(-1, initial=0) == 0):
            if all(count[place].any() for count in counts):
                found = [", ".join(("unknown", *CACHES)[i] for i in np.flatnonzero(count[place])) for count in counts]
                told[place] = f"compile caches were {found[0]} in base, {found[1]} in head"
                kept[0][place], kept[1][place] = base[place], head[place]
        return kept[0], kept[1], told

    def _states(self, name: str) -> Array:
        codes: dict[Any, float] = {state: float(code) for code, state in enumerate(CACHES)}
        words = self.run[name]["caches"].astype("object")
        return words.map(codes).fillna(-1.0).to_numpy(np.float64)

    def missing(self) -> dict[str, str]:
        """The cases that base measured and head did not, with what head says of them; failed ones are elsewhere."""
        head = self.all["head"].drop_duplicates("case", keep="last").set_index("case")
        failing = set(self._failing("head")["case"])
        found = {}
        for case in self.run["base"]["case"].unique():
            if case not in self.place and case not in failing:
                found[str(case)] = (
                    f"{head.loc[case, 'status']}: {head.loc[case, 'reason']}" if case in head.index else ""
                )
        return found

    def new(self) -> list[str]:
        return [str(case) for case in self.run["head"]["case"].unique() if case not in self.place]

    def nowhere(self) -> list[str]:
        """The cases that neither side measured: skipped or failed."""
        measured = {*self.run["base"]["case"], *self.run["head"]["case"]}
        every = dict.fromkeys(str(case) for frame in self.all.values() for case in frame["case"].unique())
        return [case for case in every if case not in measured]

    def failed(self) -> list[Failed]:
        """The cases that base measured without a failure and that failed in head, if only in one round."""
        good = set(self.run["base"]["case"]) - set(self._failing("base")["case"])
        rounds = self.all["head"].groupby("case", observed=True).size()
        found = []
        for case, rows in self._failing("head").groupby("case", observed=True, sort=False):
            if case in good:
                last = rows.iloc[-1]
                found.append(Failed(str(case), len(rows), int(rounds[case]), last["status"], str(last["reason"])))
        return found

    def _failing(self, name: str) -> DataFrame:
        frame = self.all[name]
        return frame[frame["status"].isin(FAILING)]
