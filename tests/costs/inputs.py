"""What the commands of the costs read: plans of few cases that measure next to nothing, and made-up records."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.machine.provenance import ROOT

SWEEP = ROOT / "results/cpu-quick"
# one execution a measurement, so that what is left is what the tool does around it
PLAN = """why = "What a case costs beside its measurement."

[measure]
warmup_s = 0.0
warmup_limit_s = 0.0
latency_s = 0.0
latency_limit_s = 0.0
throughput_s = 0.0
samples = 1
flush_batch = 0

[[group]]
name = "costs"
why = "The smallest network and picture."
model = "resnet18"
image = 32
precision = "fp32"
variant = "{variant}"
batch = {batches}
"""


def _write_plan(variant: str, batches: list[int], folder: Path, size: int) -> None:
    folder.mkdir(parents=True)
    (folder / "plan.toml").write_text(PLAN.format(variant=variant, batches=batches))


def plan(variant: str, cases: int = 1) -> Callable[[Path, int], None]:
    """Return what writes `plan.toml`, of so many cases of a variant, which differ in their batch."""
    return partial(_write_plan, variant, [*range(1, cases + 1)])


def two_sweeps(folder: Path, size: int) -> None:
    """Copy this checkout's quick sweep twice, so that one can be compared with the other."""
    for name in ("base", "head"):
        shutil.copytree(SWEEP, folder / name)


def sweep(folder: Path, size: int) -> None:
    """Write a results folder of so many made-up records, as two plans wrote them."""
    from tests.speed.scale import lines

    folder.mkdir(parents=True)
    with (folder / "records.jsonl").open("w") as file:
        file.writelines(lines(size))


def nightly(folder: Path, size: int) -> None:
    """Write a store of so many made-up commits, with the cases of the quick sweep at each."""
    from tests.speed.stores import write_nightly

    write_nightly(folder, size)
