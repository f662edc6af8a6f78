"""A folder of the sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.report.page.sweeps import Make, stored, sweep


@pytest.fixture
def swept(tmp_path: Path, record: Make) -> Path:
    return stored(tmp_path / "swept", sweep(record))
