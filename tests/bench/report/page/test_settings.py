"""Machines apart, and the headline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.report.page.data import gather
from bench.report.page.settings import headline
from bench.report.rows import rows_from_records
from tests.bench.report.page.sweeps import Make, another, stored, sweep


def test_the_headline_names_the_way_that_wins_and_its_range(record: Make) -> None:
    assert headline(rows_from_records(sweep(record))) == (
        "compile-max/bf16 runs 2 models fastest (batch 1, 8): 2.00 times the images per second of the best eager."
    )
    assert "No case was measured" in headline([])
    mixed = [
        record("resnet18/eager/fp32/b1/i224/stream", ms=1),
        record("resnet18/compile/fp32/b1/i224/stream", ms=2),
        record("resnet18/eager/fp32/b8/i224/stream", ms=2),
        record("resnet18/compile/fp32/b8/i224/stream", ms=1),
        record("resnet18/compile/fp32/b9/i224/stream", ms=1),
    ]
    assert headline(rows_from_records(mixed)).startswith("compile/fp32 runs resnet18 fastest in 2 of 3 comparisons")


def test_records_of_two_machines_never_share_a_chart(tmp_path: Path, record: Make, here: dict[str, Any]) -> None:
    other = another(here, cpu=here["cpu"] | {"name": "another processor"})
    two = stored(tmp_path / "b", [record("resnet18/eager/fp32/b1/i224/stream", environment=other)])
    data = gather([stored(tmp_path / "a", sweep(record)), two])
    assert len(data.settings) == 2
    assert "another processor" in data.settings[1].label
    assert [row["setting"] for row in data.cases].count(1) == 1
