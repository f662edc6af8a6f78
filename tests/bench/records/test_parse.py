"""Lines parsed by several processes."""

import json
import random
import sys
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from bench.errors import RecordError
from bench.records import parse
from bench.records.frame import Damage, load
from bench.records.record import TAIL, Record
from kernels.cards.reading import load_json
from tests.bench.records.written import quick, write

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "RANGE_BYTES", 3000)
    monkeypatch.setattr(parse, "HELPER_BYTES", 3000)
    monkeypatch.setattr(parse, "cores", lambda: 2)


real_one = sys.executable


@pytest.mark.parametrize("interpreter", [real_one, "/bin/false", "/nowhere/python"])
def test_helpers_change_nothing_and_may_die(
    tmp_path: Path, small_ranges: None, monkeypatch: pytest.MonkeyPatch, interpreter: str
) -> None:
    """With helpers that work, that die at once, and that cannot be started."""
    draw = random.Random(0)
    lines: list[Record | str] = [quick(round=k, latency_ns=[draw.randrange(10**9)] * (k % 70)) for k in range(40)]
    lines.insert(20, "{")
    folder = write(tmp_path / "r", *lines)
    file = folder / "records.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(parse, "cores", lambda: 1)
        with pytest.warns(Damage, match="jsonl:21: left out"):
            alone = load(folder, samples=True)
    ranges = parse._ranges(file, 0, file.stat().st_size)
    assert len(ranges) > 4
    assert [start for start, _ in ranges[1:]] == [stop for _, stop in ranges[:-1]]
    here: list[int] = []
    real = parse.parse_lines
    monkeypatch.setattr(parse, "parse_lines", lambda *given: here.append(1) or real(*given))  # type: ignore[func-returns-value]
    monkeypatch.setattr(parse, "PYTHON", (interpreter, "-P"))
    with pytest.warns(Damage, match="jsonl:21: left out"):
        assert_frame_equal(load(folder, samples=True), alone)
    assert len(here) == (0 if interpreter == real_one else 2 * len(ranges))  # once for the rows, once for samples
    assert alone["round"].tolist() == list(range(40))


def reading(line: str, whole: bool) -> Record | str:
    """The record of a line, parsed as a whole or as ever; or why there is none."""
    try:
        return Record.from_json(load_json(line)) if whole else Record.parse(line)
    except json.JSONDecodeError:
        return "not a whole record (JSONDecodeError)"
    except RecordError as error:
        return str(error)
    except ValueError as error:
        return f"not a whole record ({error})"


def test_what_records_of_a_sweep_have_alike_is_parsed_once_and_no_line_reads_otherwise() -> None:
    """Lines that begin, end, nest or repeat the fields behind TAIL as no writer does; each twice, for the cache."""
    good = (GOLDEN / "schema6.jsonl").read_text().splitlines()[0]
    head, tail = good.split(TAIL)
    fields = json.loads(good)
    lines = [
        good,
        good[:-1],
        good[:-40],
        f"{good}}}",
        f"{head}{TAIL}{tail[:-1]}",
        f"{head}{TAIL}{{}}}}",
        f"{head}}}{TAIL}{tail}",
    ]
    lines += [
        json.dumps(fields, sort_keys=True),
        json.dumps(fields, indent=1),
        json.dumps(dict(reversed(fields.items()))),
    ]
    lines += [
        good.replace('"reason":""', f'"reason":{json.dumps(TAIL + tail)}'),
        f"{head[:-1]}{TAIL}{tail}",
        f'{{"a":1{TAIL}{tail}',
    ]
    lines += [f'{head},"details":{{"x":1{TAIL}{tail}}}', f'{head},"details":{{"x":1{TAIL}{tail},"seed":5}}']
    lines += [
        f'{head}{TAIL}{{}},"seed":-1,"seed":4}}',
        f'{head}{TAIL}{{}},"seed":null}}',
        f'{head}{TAIL}{{}},"later":1}}',
    ]
    lines += [f'{head}{TAIL}{{}},"schema":9}}', f'{head},"seed":"x"{TAIL}{tail}', f'{head},"wall_s":"x"{TAIL}{tail}']
    lines += [
        f'{head}{TAIL}{{"threads":"x"}}}}',
        f'{head},"wall_s":"x"{TAIL}{{"threads":"x"}}}}',
        f'{head}{TAIL}{{}},"case":"x"}}',
    ]
    values = [
        *("18446744073709551615", "-9223372036854775808", "1e400", "-0", "-0.0", "NaN", "Infinity", "1.", "[1,]"),
        "9" * 5000,
    ]
    values += ['"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', '"\t"', '{"a":1,"a":2}', "[" * 70 + "]" * 70]
    # the ends of 64 bits, which orjson makes floats past, and a field of larger numbers
    ends = ["-9223372036854775809", "-9223372036854775808.0", "-9223372036854774784.0", f"1{'0' * 30}"]
    lines += [f'{head},"details":{{"x":{value}}}{TAIL}{tail}' for value in values + ends]
    lines += [f'{head},"latency_stop":{{"asked":{value}}}{TAIL}{tail}' for value in ends]
    lines += [f'{head},"gate":{{"x":{{"rms_multiple":{value}}}}}{TAIL}{tail}' for value in ends]
    told = [reading(line, whole=True) for line in lines]
    assert [isinstance(one, Record) for one in told[-8:]] == [False, False, True, False, False, False, False, True]
    for _ in range(2):
        assert repr([reading(line, whole=False) for line in lines]) == repr(told)  # with the types of numbers
    assert 8 < sum(isinstance(one, str) for one in told) < len(told) - 8
    one, other = (Record.parse(good.replace('"round":2', f'"round":{k}')) for k in range(2))
    assert one.environment is other.environment
    assert one.cold is not other.cold
