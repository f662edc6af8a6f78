"""A sweep over the cheats, each through a real process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.plans.plan import ONCE, Settings, parse_plan
from bench.records.record import Record
from bench.records.store import Store
from bench.runs.process import ask
from bench.runs.sweep import Sweep
from resnet.variants import VARIANTS
from tests import cheats


def records(names: Iterable[str], folder: Path, machine: dict[str, Any]) -> dict[str, Record]:
    """The records of these cheats on this machine, by name."""
    before = dict(VARIANTS)
    cheats.plant()
    try:
        text = f"""
why = "Cheats."
[[group]]
why = "Every cheat."
model = "resnet18"
variant = {list(names)}
precision = "fp32"
batch = 2
image = 32
"""
        settings = Settings(**(ONCE | {"samples": 6, "throughput_s": 0.01, "steal": 1.0}))  # type: ignore[arg-type]
        plan = replace(parse_plan(text, "cheats", "cheats"), settings=settings)
        sweep = Sweep(plan, Store(folder), machine, source="noise", ask=partial(ask, module="tests.cheats.worker"))
        return {record.case.variant: record for record in sweep.run()}
    finally:
        VARIANTS.clear()  # type: ignore[attr-defined]
        VARIANTS.update(before)  # type: ignore[attr-defined]


def assert_caught(name: str, record: Record) -> None:
    """A record with the right reason from the right moment, and no speed."""
    assert record.status == "wrong", record.reason
    assert (cheats.CHEATS | cheats.ON_GPU)[name] in record.reason
    assert not record.latency_ns
    assert not record.throughput
    when = dict.fromkeys(("turns-bad", "remembers", "memoizes"), "after timing").get(name, "before timing")
    assert record.reason.startswith(when)
