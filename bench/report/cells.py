"""Columns and views of tables, and how a value is written in a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench.records.baseline import Against
from bench.records.fields import Quantized
from bench.records.quality import Share
from bench.records.same import in_words, not_usual
from bench.report.answer import Contest, times
from bench.report.rows import Row
from bench.text import VERDICT_MARKS, digits, half_width_percent

MIB = 1 << 20
NONE = "-"


@dataclass(frozen=True)
class Column:
    """A column of a table: `value` is what --json has under `key`; `show` formats a value that is not None."""

    title: str
    key: str
    value: Callable[[Row], Any]
    show: Callable[[Any], str] = str
    text: bool = False  # words, aligned to the left
    mark: Callable[[Row], str] = lambda row: ""  # behind a value, with what the meaning says

    def cell(self, row: Row) -> str:
        value = self.value(row)
        if isinstance(value, float) and abs(value) >= 1e15:  # no measurement: not shown with all its digits
            return digits(value)
        return NONE if value is None else self.show(value) + self.mark(row)


@dataclass(frozen=True)
class View:
    """The columns of a table and their meaning: clauses `title, title: text`, of which a table has those it needs.

    `marks` has by title what a mark in a cell means.
    """

    columns: tuple[Column, ...]
    meaning: str
    marks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    wrapped: tuple[str, ...] = ()  # titles of columns that are broken into lines where the others need the room
    sparse: bool = False  # a column without any value is left out

    def of(self, rows: Sequence[Row]) -> View:
        """Return the view as a table of these rows has it."""
        wrapped = ("variant",) if any(row.choices for row in rows) else self.wrapped
        if not self.sparse or not rows:
            return replace(self, wrapped=wrapped)
        columns = tuple(one for one in self.columns if any(one.value(row) is not None for row in rows))
        return replace(self, columns=columns, wrapped=wrapped)

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(column.title for column in self.columns)

    def cells(self, row: Row) -> tuple[str, ...]:
        return tuple(column.cell(row) for column in self.columns)


def ms(value: float) -> str:
    return digits(value / 1e6)


def mib(value: float) -> str:
    return f"{value / MIB:.0f}"


def noise(row: Row) -> tuple[float, float | None] | None:
    return None if row.noise is None else (row.noise, row.noise_target)


def half_width(pair: tuple[float, float | None]) -> str:
    """Format the half-width in percent; where it is wider than the target, with the target: 7.3>5."""
    reached, target = pair
    return half_width_percent(reached) + (f">{100 * target:g}" if target and target < reached <= 1 else "")


def times_eager(against: Against) -> str:
    """Return the ratio to eager, with its half-width and with marks of a baseline in fp32, or of the other launch."""
    if against.case == against.baseline:
        return "1.00"
    marks = ("" if against.same_precision else "*") + ("" if against.same_launch else "^")
    return times(against.ratio).replace("±>100%", "±?") + marks  # so that it fits the column


def times_float32(against: Against) -> str:
    """Return the ratio to fp32, with its half-width and with marks of eager's fp32, or of the other launch."""
    if against.case == against.baseline:
        return "1.00"
    half, marks = against.ratio.half_width, ("" if against.same_variant else "*") + ("" if against.same_launch else "^")
    width = "" if half is None else "±?" if half > 1 else f"±{100 * half:.0f}%"
    return f"{against.ratio.value:.2f}{width}{marks}"


def percent_share(share: Share, places: int | None = None) -> str:
    """Return a share in percent with the longer half of its 95 % interval, `83±5`; decimals as in prose."""
    places = share.places if places is None else places
    return f"{100 * share.value:z.{places}f}±{100 * share.half:.{places}f}"


def percent_rms(rms: float) -> str:
    """Return a relative difference in percent, with two digits down to a hundredth of one."""
    return f"{100 * rms:.2g}" if rms >= 5e-5 else "0"


EIGHT_BIT_MARKS = {
    "-": "so many layers are kept out of the 8 bits",
    "u": "checked unit by unit, not by the integers of the timed network",
}


def eight_bit_marks(quantized: Quantized) -> str:
    """Return `-2` where two layers stay out of the 8 bits, and `u` where they were checked unit by unit."""
    wide, units = len(quantized.get("wide", ())), quantized.get("checked") == "units"
    return f"-{wide}" * bool(wide) + "u" * units


def marks_of(contests: Sequence[Contest]) -> dict[Row, str]:
    """Return the mark of each row that is the fastest of its contest, is as fast as that, or may be."""
    marks: dict[Row, str] = {}
    for contest in contests:
        if mark := VERDICT_MARKS.get(contest.verdict):
            marks |= dict.fromkeys(contest.candidates, mark)
    return marks


def disturbed(row: Row) -> str:
    return "!" * row.is_disturbed


def choices_behind(row: Row) -> str:
    """Return what tells a row from others of its case and is not as usual, to be put behind its variant."""
    words = in_words(not_usual(row.traits)).replace("calibrate ", "").replace("calibration-", "")
    return f", {words.replace(',', ', ').replace(',  ', ', ')}" if words else ""
