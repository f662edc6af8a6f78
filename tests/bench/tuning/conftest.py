"""Tuners whose child is played."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.tuning.trials import TrialStore
from bench.tuning.tuner import Tuner
from tests.bench.tuning.played import GPU, NETWORK, VERSIONS, FakeChild


@pytest.fixture
def tuner(tmp_path: Path) -> Callable[..., Tuner]:
    def make(child: FakeChild, **rest: Any) -> Tuner:
        store = TrialStore(tmp_path / "table.json")
        given = {"cap": 6, "ask": child, "now": child.now, "versions": VERSIONS, "networks": [NETWORK]} | rest
        return Tuner(GPU, store=store, **given)

    return make
