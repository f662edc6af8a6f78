"""Sweeps whose child is played."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.plans.plan import Plan
from bench.records.store import Store
from bench.runs.sweep import Sweep
from tests.bench.runs.played import PLAN


@pytest.fixture
def sweep(tmp_path: Path, here: dict[str, Any]) -> Callable[..., Sweep]:
    def make(child: Any, plan: Plan = PLAN, folder: str = "out", **rest: Any) -> Sweep:
        return Sweep(plan, Store(tmp_path / folder), rest.pop("env", here), ask=child, **rest)

    return make
