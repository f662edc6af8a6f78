"""The differences that forbid comparing two sets of records: in machine, software, input and settings.

Facts that are in no column of the frame are read from one record of each environment, plan, input and seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.errors import ArgumentError
from bench.machine.provenance import unreadable
from bench.plans.case import Case
from bench.records.columns import TRANSIENT, row_maker
from bench.records.quality import is_eight_bits
from bench.records.record import Record, read_each
from bench.records.same import CALIBRATION, COMPARE, FREE
from bench.records.store import FILE

FIELDS = {row.word: row for row in COMPARE}  # by the words of `--allow`
# An upgrade of torch changes these together, so that --allow takes one word for them.
IMPLIED = {"torch": ("cuda", "triton")}
KEY = ("environment", "plan_digest", "input", "seed", "choices")  # records equal in these agree in what is in no column
UNREPORTED = ("gpu.clock_reasons",)  # changes from moment to moment
Lists = Mapping[str, list[Any]]  # columns of the frame by name; None for what a record does not have
SampleRecords = dict[tuple[Any, ...], Record]


@dataclass(frozen=True)
class FieldDifference:
    """A field that differs between two sides in cases that both have, with the values of each."""

    field: str
    base: str
    head: str

    def __str__(self) -> str:
        return f"{self.field}: {self.base} in base, {self.head} in head"


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
    base: Lists, head: Lists, base_records: SampleRecords, head_records: SampleRecords
) -> list[FieldDifference]:
    """Return the fields that differ in cases of both sides, in the order of FIELDS.

    A field that one side does not know does not differ. A side with two values of a field differs from any other, as
    its rounds were not measured alike.
    """
    columns = list(dict.fromkeys(["case", *KEY, *(field.column for field in FIELDS.values() if field.column)]))
    rows = [
        (side, dict(zip(columns, row, strict=True)))
        for side, lists in (("base", base), ("head", head))
        for row in dict.fromkeys(zip(*(lists[name] for name in columns), strict=True))
    ]
    both = {"base": base_records, "head": head_records}
    free = FREE if any(is_eight_bits(Case.parse(row["case"])) for _, row in rows) else (*FREE, *CALIBRATION)
    records = _common_settings({(side, *key): record for side in both for key, record in both[side].items()}, free)
    differing = []
    for name, field in FIELDS.items():
        values, of_case = [], defaultdict[str, set[str]](set)
        for side, row in rows:
            record = records.get((side, *(row[column] for column in KEY)))
            text = _to_text(row[field.column] if field.column else record and field.of(record))
            if text is not None:
                values.append((side, row["case"], text))
                of_case[row["case"]].add(text)
        cases = {case for case, texts in of_case.items() if len(texts) > 1}
        if cases and len({side for side, _, _ in values}) > 1:
            texts_of = [[text for one, case, text in values if one == side and case in cases] for side in both]
            differing.append(FieldDifference(name, *_without_common_settings(*map(_first_values, texts_of))))
    return differing


def _common_settings(records: SampleRecords, free: Iterable[str]) -> SampleRecords:
    """Return the records with the settings that all of them have, as older ones lack some, and without `free` ones."""
    names = [set(record.settings) for record in records.values()]
    common = set.intersection(*names).difference(free) if names else set()
    return {
        key: replace(record, settings={name: record.settings[name] for name in common})
        for key, record in records.items()
    }


def _to_text(value: Any) -> str | None:
    if value is None or unreadable(value):
        return None
    if isinstance(value, dict):
        texts = {key: str(entry).replace(", ", ",") or "none" for key, entry in value.items()}
        return ", ".join(f"{key}={text}" for key, text in sorted(texts.items())) or "none"
    return (f"{value:g}" if isinstance(value, float) else str(value)) or None  # of what failed, too early to be known


def _first_values(values: Iterable[str]) -> str:
    """Return the first three values of a side, and the number of others."""
    texts = list(dict.fromkeys(values))
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _without_common_settings(base: str, head: str) -> tuple[str, str]:
    """Return two lists of settings without those that are in both."""
    base_settings, head_settings = (text.split(", ") for text in (base, head))
    if "=" not in base + head:
        return base, head
    only_base = [setting for setting in base_settings if setting not in head_settings]
    only_head = [setting for setting in head_settings if setting not in base_settings]
    return ", ".join(only_base) or "none", ", ".join(only_head) or "none"


def read_sample_records(folder: str | Path, side: Lists) -> SampleRecords:
    """Return one record of each environment, plan, input and seed that the rows of a folder have.

    Lines are read until there is one of each, as a rule the first line alone. A Parquet file gives none, as it has
    columns alone.
    """
    path = Path(folder)
    file = path / FILE if path.is_dir() else path
    wanted = set(zip(*(side[name] for name in KEY), strict=True))
    records: SampleRecords = {}
    if file.suffix != ".jsonl":
        return records
    key_of = row_maker(list(KEY))
    for _, record in read_each(file):  # bench.load has warned of lines that are none
        if not wanted:
            break
        if isinstance(record, Record) and (key := tuple(key_of(record))) in wanted:
            wanted.remove(key)
            records[key] = record
    return records


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
