"""Lines parsed by several processes."""

import random
import sys
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from bench.records import parse
from bench.records.frame import Damage, load
from bench.records.record import Record
from tests.bench.records.written import quick, write


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "RANGE_BYTES", 3000)
    monkeypatch.setattr(parse, "RANGES_A_HELPER", 1)
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
