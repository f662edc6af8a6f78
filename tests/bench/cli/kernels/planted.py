"""Kernels that nobody should choose, and the command that is to find them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from bench.cli import app
from bench.machine.environment import ROOT
from kernels.cards.cards import CARDS

Rows = list[dict[str, Any]]

SPILLING = "resnet18/fp16-n1-7x7x512-3x3-s1-p1-k512-relu"
LARGE = "resnet18/fp16-n1-7x7x512-3x3-s1-p1-k512-residual-relu"
REFUSED = "resnet18/fp16-n1-14x14x256-3x3-s1-p1-k256-relu"
EXACT = "resnet50/fp32-n32-7x7x512-3x3-s1-p1-k512-relu"
# What nobody should choose: 256 sums a thread, four times the shared memory there is, a depth that no instruction has.
BAD = {
    (SPILLING, 80): "ptr-128x256x32-w4-s2-k1-g8",
    (LARGE, 90): "tma-1.8.8x256x64-w8-s8-k1-g8-serial",
    (REFUSED, 80): "ptr-64x64x8-w4-s3-k1-g8",
}


def bench(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "kernels", *words],
        cwd=folder, env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def invoke(*words: str) -> Result:
    """The same in this process, children and all."""
    return CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, ["kernels", *words])


def write_table(path: Path, chosen: dict[tuple[str, int], str]) -> None:
    """A table of configurations, for every GPU that is asked about."""
    rest = {"chosen": "measured", "us": 1.0, "when": "2026-11-23T00:00:00+00:00", "triton": "3.7.1"}
    entries = [
        {"gpu": gpu, "layer": use.partition("/")[2], "config": config, **rest}
        for (use, arch), config in chosen.items()
        for gpu in (card.name for card in CARDS if card.arch == arch)
    ]
    path.write_text(json.dumps({"schema": 1, "entries": entries}))


def of(rows: Rows, use: str, arch: int) -> dict[str, Any]:
    """The convolution itself, of the first card that has a row: where its depth is split there is a reduction, too."""
    kernels = ("conv", "conv_tma")
    found, *_ = [
        row
        for row in rows
        if row["arch"] == arch and row["kernel"] in kernels and any(use in other for other in row["uses"])
    ]
    return found


def flat(done: Result) -> str:
    return " ".join(done.output.split())


def less(use: str, arch: int, **facts: Any) -> Callable[[Rows], None]:
    """An accepted record in which a kernel was better."""
    return lambda rows: of(rows, use, arch)["facts"].update(facts)


def compiled(use: str, arch: int) -> Callable[[Rows], None]:
    def edit(rows: Rows) -> None:
        of(rows, use, arch).pop("failed")
        of(rows, use, arch)["facts"] = of(rows, SPILLING, 90)["facts"]

    return edit
