"""The kernels' records as the tables of docs/KERNELS.md."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.static import markdown
from bench.static.kernels import Accepted, Entry
from bench.static.predictions import Prediction
from kernels.compiled.facts import KernelFacts
from tests.bench.static.test_predictions import MIDDLE, OTHER, measured, network, prediction

__all__ = ["prediction"]  # a fixture


def test_the_table_says_what_is_not_measured_and_how_far_the_goals_are(prediction: Prediction) -> None:
    text = markdown.predictions_markdown(prediction, measured(MIDDLE, OTHER))
    assert "| 3x3, 64 to 64 | 4 |" in text
    assert "| 40.0 |" in text
    assert "not measured" in text
    assert "which is no measurement" in text
    assert "Batch 128: the goal is 39,000 images/s, the model has " in text
    assert "the outcome is not measured." in text
    whole = markdown.predictions_markdown(prediction, measured(*network(128).layers, us=1e6 * 128 / 6 / 39_000))
    assert "the outcome is 39,000." in whole


def test_what_is_emitted_is_a_row_for_each_kernel_of_the_network() -> None:
    facts = KernelFacts(
        registers=128, stack=0, spill_stores=0, shared=65536, shared_limit=232_448, occupancy=3, tensor={"HGMMA": 8},
        async_loads=24, bulk_loads=0, bulk_stores=0, set_registers=0, pdl=0, code=4096, warps=8,
        operand_a="shared", wait_depth=1, overwrites=0, barrier=True, product=True,
    )  # fmt: skip
    small = "ptr-64x64x64-w4-s3-k1-g8/resnet50/fp16-n32-7x7x512-3x3-s1-p1-k512-relu"
    large = "ptr-128x64x64-w4-s3-k1-g8/resnet50/fp16-n32-56x56x64-3x3-s1-p1-k64-relu"
    other = "ptr-64x64x64-w4-s3-k1-g8/resnet50/fp16-n1-7x7x512-3x3-s1-p1-k512-relu"
    entries = [
        Entry(90, "conv", (small, other), facts),
        Entry(90, "conv", (large,), replace(facts, stack=8, spill_stores=2, overwrites=3, operand_a="registers")),
        Entry(80, "conv", (large,), facts),
    ]
    text = markdown.kernels_markdown(Accepted(entries, "3.7.1", "0123456789", "2026-11-24"))
    first, second = [line for line in text.splitlines() if "`conv`" in line]
    assert first.startswith("| 56x56x64-3x3-s1-p1-k64-relu | `conv` ptr-128x64x64-w4-s3-k1-g8 | 128 | 8 bytes of stack")
    assert second.startswith("| 7x7x512-3x3-s1-p1-k512-relu | `conv` ptr-64x64x64-w4-s3-k1-g8 | 128 | none | 64 | 3 |")
    assert "| 8 HGMMA | registers | 1 | 3 | yes | a24 | 4 |" in first
    assert "| 8 HGMMA | shared | 1 | 0 | yes | a24 | 4 |" in second
    assert "Triton 3.7.1, commit 0123456789, 2026-11-24" in text
    assert (
        "Of all 3 kernels of the record 1 overwrite or lack the barrier; of 3 with wgmma and 8 warps 3 have it" in text
    )


def test_a_page_whose_record_cannot_be_read_says_which(tmp_path: Path) -> None:
    for name in ("accepted.json", "predictions.json"):
        with pytest.raises(StoreError, match=name):
            markdown.section(tmp_path, f"results/kernels/{name}")
