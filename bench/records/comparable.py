"""Whether two sets of records may be compared: what differs of machine, software, input and settings.

What a row of the frame does not hold is read from one record of each environment and plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import ArgumentError, RecordError
from bench.machine.provenance import unreadable
from bench.records.columns import PASSING, values
from bench.records.record import Record
from bench.records.same import COMPARE, FREE, Field
from bench.records.store import FILE

if TYPE_CHECKING:
    from pandas import DataFrame, Series

FIELDS = {row.word: row for row in COMPARE.fields}  # by the words of `--allow`
# That --allow takes one word for what an upgrade changes together.
WITH = {"torch": ("cuda", "triton")}
KEY = ("environment", "plan_digest", "input", "seed")  # of records that share what is not in the frame
QUIET = ("gpu.clock_reasons",)  # not told as differing: passing, or why one compares at all
Facts = dict[tuple[Any, ...], Record]


@dataclass(frozen=True)
class Difference:
    """A field that is not the same on both sides, with the values of each, in so many of the common cases."""

    field: str
    base: str
    head: str
    cases: int

    def __str__(self) -> str:
        return f"{self.field}: {self.base} in base, {self.head} in head"

    def row(self) -> dict[str, Any]:
        return asdict(self)


def allowed(words: Iterable[str]) -> set[str]:
    """The fields that words of `--allow` mean. Raises ArgumentError for one that is no field."""
    found: set[str] = set()
    for word in words:
        if word not in FIELDS:
            raise ArgumentError(f"unknown field {word!r}; allowed: {', '.join(FIELDS)}")
        found |= {word, *WITH.get(word, ())}
    return found


def words(fields: Iterable[str]) -> list[str]:
    """The words of `--allow` that allow these fields, no more than are needed."""
    given = list(fields)
    implied = {other for word in given for other in WITH.get(word, ())}
    return [word for word in given if word not in implied]


def differences(base: DataFrame, head: DataFrame, base_facts: Facts, head_facts: Facts) -> list[Difference]:
    """The fields that differ in cases of both sides, in the order of FIELDS; what neither tells, or one, is no field.

    A side that holds two values of a field differs from anything: its rounds are not of one kind.
    """
    found = []
    known = _common_settings(base_facts, head_facts)
    columns = ["case", *{*KEY, *(row.column for row in FIELDS.values() if row.column)}]
    base, head = (frame[columns].drop_duplicates() for frame in (base, head))
    for name, row in FIELDS.items():
        ours, theirs = (_values(*side, row) for side in zip((base, head), known, strict=True))
        if not ours.notna().any() or not theirs.notna().any() or _kinds(ours, theirs) <= 1:
            continue
        cases = _differing(base["case"], ours, head["case"], theirs)
        if len(cases):
            told = _words(ours[base["case"].isin(cases)]), _words(theirs[head["case"].isin(cases)])
            found.append(Difference(name, *_shortened(*told), len(cases)))
    return found


def _common_settings(*sides: Facts) -> tuple[Facts, ...]:
    """Without the settings that some of the records do not know, being older, and those that say nothing of the how."""
    every = [set(record.settings) for side in sides for record in side.values()]
    common = set.intersection(*every).difference(FREE) if every else set()
    return tuple(
        {
            key: replace(record, settings={name: record.settings[name] for name in common})
            for key, record in side.items()
        }
        for side in sides
    )


def _kinds(ours: Series[Any], theirs: Series[Any]) -> int:
    return len({*ours.dropna().unique(), *theirs.dropna().unique()})


def _differing(base_cases: Series[Any], ours: Series[Any], head_cases: Series[Any], theirs: Series[Any]) -> list[str]:
    """The cases with more than one value between the two sides; those of one side alone are none."""
    import pandas as pd

    both = pd.concat(
        [
            pd.DataFrame({"case": base_cases.to_numpy(), "value": ours.to_numpy(dtype=object)}),
            pd.DataFrame({"case": head_cases.to_numpy(), "value": theirs.to_numpy(dtype=object)}),
        ]
    )
    counts = both.dropna().drop_duplicates().groupby("case").size()
    return [str(case) for case in counts.index[counts > 1]]


def _values(frame: DataFrame, facts: Facts, row: Field) -> Series[Any]:
    """A field of each row, as a word; NA where it is not known."""
    import pandas as pd

    if row.column:
        return frame[row.column].astype("object").map(_word, na_action="ignore")
    keys = _keys(frame)
    known = {key: _word(row.of(record)) for key, record in facts.items()}
    return pd.Series([known.get(key) for key in keys], index=frame.index, dtype="object")


def _keys(frame: DataFrame) -> list[tuple[Any, ...]]:
    made = frame[list(KEY)].astype("object")
    return list(made.where(made.notna(), None).itertuples(index=False, name=None))


def _word(value: Any) -> str | None:
    if value is None or unreadable(value):
        return None
    if isinstance(value, dict):
        return ", ".join(f"{key}={entry}" for key, entry in sorted(value.items())) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(series: Series[Any]) -> str:
    """The values of a side, the first three of them."""
    found = [str(value) for value in series.dropna().unique()]
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _shortened(base: str, head: str) -> tuple[str, str]:
    """Of two lists of settings, what differs between them."""
    ours, theirs = (text.split(", ") for text in (base, head))
    if "=" not in base + head:
        return base, head
    short = (", ".join(part for part in one if part not in other) for one, other in ((ours, theirs), (theirs, ours)))
    one, other = short
    return one or "none", other or "none"


def facts(folder: str | Path, frame: DataFrame) -> Facts:
    """One record of each environment, plan, input and seed that the rows of a folder have, as plain data.

    Lines are read until all are found, as a rule the first. Nothing for a Parquet file, whose columns are all it has.
    """
    path = Path(folder)
    file = path / FILE if path.is_dir() else path
    wanted = set(_keys(frame.drop_duplicates(list(KEY))))
    found: Facts = {}
    if file.suffix != ".jsonl":
        return found
    key = values(list(KEY))
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not wanted - found.keys():
                break
            _add(found, wanted, line, key)
    return found


def _add(found: Facts, wanted: set[tuple[Any, ...]], line: str, key: Callable[[Record], list[Any]]) -> None:
    try:
        record = Record.parse(line)
        its = tuple(key(record))
    except RecordError:
        return  # bench.load has told of it
    if its in wanted and its not in found:
        found[its] = record


def told(base: Facts, head: Facts) -> list[str]:
    """What else of the environment differs, with values: it forbids no comparison, but may explain its outcome."""
    ours, theirs = (_flat_all(side) for side in (base, head))
    refused = [path.removeprefix("environment.") for row in FIELDS.values() for path in row.paths]
    quiet = {*refused, *(f"gpu.{name}" for name in PASSING), *QUIET}
    found = []
    for name in sorted(ours.keys() & theirs.keys()):
        if name not in quiet and not name.startswith(("variables.", "git.")) and ours[name] != theirs[name]:
            found.append(f"{name} ({', '.join(sorted(ours[name]))}; {', '.join(sorted(theirs[name]))})")
    return found


def _flat_all(side: Facts) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for record in side.values():
        for name, value in _flat(record.environment, ""):
            if value is not None and not unreadable(value):
                found.setdefault(name, set()).add(str(value))
    return found


def _flat(value: Any, name: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(name, value)]
    return [pair for key, inner in value.items() for pair in _flat(inner, f"{name}.{key}".lstrip("."))]
