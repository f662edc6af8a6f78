"""A line with a field of another type costs itself, and no reader raises: told, with the field and what belongs."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.records.record import SCHEMA, Record, RecordError

GOLDEN = Path(__file__).parent / "golden"
LINES = [
    line for version in range(1, SCHEMA + 1) for line in (GOLDEN / f"schema{version}.jsonl").read_text().split("\n")
]
GOOD = [json.loads(line) for line in LINES if line]
OTHERS: list[Any] = [None, True, -1, 0, 2.5, float("nan"), float("inf"), 2**70, "", "x", [], [1], ["x"], {}, {"a": 1}]


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in parsed JSON; of a list the first place alone."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*at, key)
        yield from paths(one, (*at, key))


def changed(data: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(data)
    place = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return made


CHANGES = [(place, path) for place, data in enumerate(GOOD) for path in paths(data)]


def reason_of(line: str) -> str:
    """Why a line is no record; empty if it is one."""
    try:
        Record.parse(line)
    except RecordError as error:
        return str(error)
    return ""


def test_every_field_that_is_of_another_type_is_named() -> None:
    """Each field of each golden record, as each of OTHERS: it is a record still, or the reason says which field."""
    refused = 0
    for place, path in CHANGES:
        for value in OTHERS:
            line = json.dumps(changed(GOOD[place], path, value))
            reason = reason_of(line)
            if reason:
                refused += 1
                if path[0] not in ("case", "schema", "latency_ns", "gpu_ns", "flushed_ns", "flushed_gpu_ns"):
                    assert reason.startswith(path[0]), (path, value, reason)
                    assert " is " in reason
                    assert "belongs" in reason
    assert refused > len(CHANGES) * len(OTHERS) / 2
