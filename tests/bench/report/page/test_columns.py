"""Rows as columns: what the page reads back is what was put in, but for what was none."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bench.report.page.data import pack
from tests.bench.report.page.sweeps import unpacked

TEXTS = st.text("aé<\u2028", max_size=3)
VALUES = st.none() | st.booleans() | TEXTS | st.integers() | st.lists(st.integers(), max_size=3)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES), max_size=12))
def test_rows_read_back_without_what_is_none(rows: list[dict[str, Any]]) -> None:
    read = unpacked(json.loads(json.dumps(pack(rows))))
    expected = [{key: value for key, value in row.items() if value is not None} for row in rows]
    assert read == expected
    assert json.dumps(read, sort_keys=True) == json.dumps(expected, sort_keys=True)  # 1 is not true


def test_words_that_are_repeated_stand_once() -> None:
    rows = [{"variant": "library-fused" if number % 2 else "eager", "batch": number} for number in range(100)]
    assert json.dumps(pack(rows)).count("library-fused") == 1
