"""A line with a field of another type costs itself, told with the field and what belongs there; no reader raises."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.cli import app
from bench.records.record import SCHEMA, Record, RecordError
from bench.records.store import Store

GOLDEN = Path(__file__).parent / "golden"
FILES = [GOLDEN / f"schema{version}.jsonl" for version in range(1, SCHEMA + 1)]
GOOD = [json.loads(line) for file in FILES for line in file.read_text().splitlines()]
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


RICH = (3, 4, len(GOOD) - 4)  # places of records that have most fields filled, one of each version
CHANGES = [(place, path) for place in RICH for path in paths(GOOD[place])]


def reason(data: dict[str, Any]) -> str:
    """Why parsed JSON is no record; empty of one that is."""
    try:
        Record.parse(json.dumps(data))
    except RecordError as error:
        return str(error)
    return ""


def test_every_field_that_is_of_another_type_is_named() -> None:
    """Each field of each golden record, as each of OTHERS: it is a record still, or the reason says which field."""
    refused = 0
    for place, path in CHANGES:
        for value in OTHERS:
            why = reason(changed(GOOD[place], path, value))
            refused += bool(why)
            # fewer samples than ranges of them tell of is said of the ranges
            if why and path[0] not in ("case", "schema", "latency_ns", "gpu_ns", "flushed_ns", "flushed_gpu_ns"):
                assert why.startswith(path[0]), (path, value, why)
                assert " is " in why, why
                assert "belongs" in why, why
    assert refused > len(CHANGES) * len(OTHERS) / 2


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("latency_ns",), [5, -5], "latency_ns[1] is -5, where a whole number of 1 or more belongs"),
        (("latency_ns",), [True], "latency_ns[0] is true, where a whole number of 1 or more belongs"),
        (("environment",), None, "environment is null, where an object belongs"),
        (("gate", "before", "rms"), float("nan"), "gate.before.rms is NaN, where a number of 0 or more belongs"),
        (
            ("environment", "cpu", "quota"),
            "four",
            'environment.cpu.quota is "four", where "unreadable:" and why belongs',
        ),
        (("throttled", "latency"), [[3, 99]], "throttled.latency is [3, 99], where a range of the 10 samples belongs"),
    ],
)
def test_what_is_wrong_is_said(path: tuple[Any, ...], value: Any, why: str) -> None:
    assert reason(changed(json.loads(FILES[-1].read_text().splitlines()[0]), path, value)) == why


def test_lines_that_are_left_out_are_counted(tmp_path: Path) -> None:
    lines = [GOOD[0], GOOD[1] | {"environment": None}, GOOD[1] | {"attempts": None}]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = Store(tmp_path)
    assert len(store.read()) == 1
    assert store.damage[0] == f"{store.file}:2: left out: environment is null, where an object belongs"
    assert store.damage[-1] == f"{store.file}: 2 lines are left out, 1 are read"


@pytest.mark.filterwarnings("ignore::bench.records.frame.Damage")
@settings(deadline=None, max_examples=8)
@given(change=st.sampled_from(CHANGES), value=st.sampled_from(OTHERS))
def test_no_command_raises(tmp_path_factory: pytest.TempPathFactory, change: Any, value: Any) -> None:
    """Whatever one field holds, a command ends as commands do."""
    folder, base = (tmp_path_factory.mktemp(name) for name in ("head", "base"))
    place, path = change
    lines = [json.dumps(line) for line in (*GOOD, changed(GOOD[place], path, value))]
    for where, written in ((folder, lines), (base, lines[:-1])):
        (where / "records.jsonl").write_text("".join(line + "\n" for line in written))
    commands = [["report", folder], ["report", folder, "--view", "energy"], ["recommend", folder], ["history", folder]]
    commands += [["compare", base, folder], ["export", "bencher", folder]]
    for words in commands:
        error = CliRunner().invoke(app, list(map(str, words))).exception
        assert error is None or isinstance(error, SystemExit | OSError), (words[0], path, value, error)


def test_a_field_that_no_record_has_is_named() -> None:
    with pytest.raises(RecordError, match="no record has the field 'later'"):
        Record.from_json(GOOD[0] | {"later": 1})
