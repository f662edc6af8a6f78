"""What forbids comparing two sets of records: differences in machine, software, input and settings.

Facts that are in no column of the frame are read from one record of each environment, plan, input and seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import ArgumentError, RecordError
from bench.machine.provenance import unreadable
from bench.records.columns import TRANSIENT, row_maker
from bench.records.record import Record
from bench.records.same import COMPARE, FREE, Field
from bench.records.store import FILE

if TYPE_CHECKING:
    from pandas import DataFrame, Series

FIELDS = {row.word: row for row in COMPARE.fields}  # by the words of `--allow`
# An upgrade of torch changes these together, so that --allow takes one word for them.
IMPLIED = {"torch": ("cuda", "triton")}
KEY = ("environment", "plan_digest", "input", "seed")  # records equal in these agree in what is in no column
UNREPORTED = ("gpu.clock_reasons",)  # changes from moment to moment
SampleRecords = dict[tuple[Any, ...], Record]


@dataclass(frozen=True)
class FieldDifference:
    """A field that differs between two sides: the values of each, and the number of common cases that it concerns."""

    field: str
    base: str
    head: str
    cases: int

    def __str__(self) -> str:
        return f"{self.field}: {self.base} in base, {self.head} in head"

    def row(self) -> dict[str, Any]:
        return asdict(self)


def parse_allowed(words: Iterable[str]) -> set[str]:
    """Return the fields that words of `--allow` mean. Raises ArgumentError for a word that is no field."""
    fields: set[str] = set()
    for word in words:
        if word not in FIELDS:
            raise ArgumentError(f"unknown field {word!r}; allowed: {', '.join(FIELDS)}")
        fields |= {word, *IMPLIED.get(word, ())}
    return fields


def allow_words(fields: Iterable[str]) -> list[str]:
    """Return the fewest words of `--allow` that allow these fields."""
    names = list(fields)
    implied = {other for word in names for other in IMPLIED.get(word, ())}
    return [word for word in names if word not in implied]


def differing_fields(
    base: DataFrame, head: DataFrame, base_records: SampleRecords, head_records: SampleRecords
) -> list[FieldDifference]:
    """Return the fields that differ in cases of both sides, in the order of FIELDS.

    A field that one side does not know does not differ. A side with two values of a field differs from any other, as
    its rounds were not measured alike.
    """
    differing = []
    records = _common_settings(base_records, head_records)
    columns = ["case", *{*KEY, *(row.column for row in FIELDS.values() if row.column)}]
    base, head = (frame[columns].drop_duplicates() for frame in (base, head))
    for name, row in FIELDS.items():
        base_values, head_values = (_field_values(*side, row) for side in zip((base, head), records, strict=True))
        if (
            not base_values.notna().any()
            or not head_values.notna().any()
            or _count_values(base_values, head_values) <= 1
        ):
            continue
        cases = _differing_cases(base["case"], base_values, head["case"], head_values)
        if len(cases):
            texts = (
                _first_values(base_values[base["case"].isin(cases)]),
                _first_values(head_values[head["case"].isin(cases)]),
            )
            differing.append(FieldDifference(name, *_without_common_settings(*texts), len(cases)))
    return differing


def _common_settings(*sides: SampleRecords) -> tuple[SampleRecords, ...]:
    """Return the records with the settings that all of them have, as older ones lack some, and without FREE ones."""
    setting_names = [set(record.settings) for side in sides for record in side.values()]
    common = set.intersection(*setting_names).difference(FREE) if setting_names else set()
    return tuple(
        {
            key: replace(record, settings={name: record.settings[name] for name in common})
            for key, record in side.items()
        }
        for side in sides
    )


def _count_values(base_values: Series[Any], head_values: Series[Any]) -> int:
    return len({*base_values.dropna().unique(), *head_values.dropna().unique()})


def _differing_cases(
    base_cases: Series[Any], base_values: Series[Any], head_cases: Series[Any], head_values: Series[Any]
) -> list[str]:
    """Return the cases that have more than one value between the two sides."""
    import pandas as pd

    both = pd.concat(
        [
            pd.DataFrame({"case": base_cases.to_numpy(), "value": base_values.to_numpy(dtype=object)}),
            pd.DataFrame({"case": head_cases.to_numpy(), "value": head_values.to_numpy(dtype=object)}),
        ]
    )
    counts = both.dropna().drop_duplicates().groupby("case").size()
    return [str(case) for case in counts.index[counts > 1]]


def _field_values(frame: DataFrame, records: SampleRecords, row: Field) -> Series[Any]:
    """Return a field of each row as text; NA where the record does not have it."""
    import pandas as pd

    if row.column:
        return frame[row.column].astype("object").map(_to_text, na_action="ignore")
    keys = _row_keys(frame)
    texts = {key: _to_text(row.of(record)) for key, record in records.items()}
    return pd.Series([texts.get(key) for key in keys], index=frame.index, dtype="object")


def _row_keys(frame: DataFrame) -> list[tuple[Any, ...]]:
    values = frame[list(KEY)].astype("object")
    return list(values.where(values.notna(), None).itertuples(index=False, name=None))


def _to_text(value: Any) -> str | None:
    if value is None or unreadable(value):
        return None
    if isinstance(value, dict):
        return ", ".join(f"{key}={entry}" for key, entry in sorted(value.items())) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_values(series: Series[Any]) -> str:
    """Return the first three values of a side, and the number of others."""
    texts = [str(value) for value in series.dropna().unique()]
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _without_common_settings(base: str, head: str) -> tuple[str, str]:
    """Return two lists of settings without those that are in both."""
    base_settings, head_settings = (text.split(", ") for text in (base, head))
    if "=" not in base + head:
        return base, head
    only_base = [setting for setting in base_settings if setting not in head_settings]
    only_head = [setting for setting in head_settings if setting not in base_settings]
    return ", ".join(only_base) or "none", ", ".join(only_head) or "none"


def read_sample_records(folder: str | Path, frame: DataFrame) -> SampleRecords:
    """Return one record of each environment, plan, input and seed that the rows of a folder have.

    Lines are read until there is one of each, as a rule the first line alone. A Parquet file gives none, as it has
    columns alone.
    """
    path = Path(folder)
    file = path / FILE if path.is_dir() else path
    wanted = set(_row_keys(frame.drop_duplicates(list(KEY))))
    records: SampleRecords = {}
    if file.suffix != ".jsonl":
        return records
    key_of = row_maker(list(KEY))
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not wanted - records.keys():
                break
            _add_if_wanted(records, wanted, line, key_of)
    return records


def _add_if_wanted(
    records: SampleRecords, wanted: set[tuple[Any, ...]], line: str, key_of: Callable[[Record], list[Any]]
) -> None:
    try:
        record = Record.parse(line)
        key = tuple(key_of(record))
    except RecordError:
        return  # bench.load has warned of it
    if key in wanted and key not in records:
        records[key] = record


def other_differences(base_records: SampleRecords, head_records: SampleRecords) -> list[str]:
    """Describe what else differs in the environment: it forbids no comparison, but may explain its outcome."""
    base_facts, head_facts = (_environment_facts(side) for side in (base_records, head_records))
    compared = [path.removeprefix("environment.") for row in FIELDS.values() for path in row.paths]
    unreported = {*compared, *(f"gpu.{name}" for name in TRANSIENT), *UNREPORTED}
    texts = []
    for name in sorted(base_facts.keys() & head_facts.keys()):
        if (
            name not in unreported
            and not name.startswith(("variables.", "git."))
            and base_facts[name] != head_facts[name]
        ):
            texts.append(f"{name} ({', '.join(sorted(base_facts[name]))}; {', '.join(sorted(head_facts[name]))})")
    return texts


def _environment_facts(side: SampleRecords) -> dict[str, set[str]]:
    facts: dict[str, set[str]] = {}
    for record in side.values():
        for name, value in _flatten(record.environment, ""):
            if value is not None and not unreadable(value):
                facts.setdefault(name, set()).add(str(value))
    return facts


def _flatten(value: Any, name: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(name, value)]
    return [pair for key, inner in value.items() for pair in _flatten(inner, f"{name}.{key}".lstrip("."))]
