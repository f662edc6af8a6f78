"""Records of one sweep, and the ceilings of the machine that made them."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

import bench.report.rows
from bench.records.record import Record
from bench.roofline.ceilings import path_of, save_ceilings
from bench.roofline.floors import measured_ceilings
from tests.bench.report.shown import CEILINGS, Make


@pytest.fixture
def records(record: Make) -> list[Record]:
    return [
        record("resnet50/eager/fp32/b1/i224/stream", ms=60),
        record("resnet50/eager/bf16/b1/i224/stream", ms=30),
        record("resnet50/compile-max/bf16/b1/i224/stream", ms=15),
        record("resnet50/onnxruntime/fp16/b1/i224/stream", ms=20),
        record("resnet50/eager/fp32/b8/i224/stream", ms=400),
        record("resnet50/compile-max/bf16/b8/i224/stream", ms=80, round=0),
        record("resnet50/compile-max/bf16/b8/i224/stream", ms=90, round=1),
        record("resnet50/compile-max/bf16/b8/i224/stream", ms=100, round=2),
        record("resnet50/compile/bf16/b8/i224/stream", status="wrong", reason="not a number"),
        record("resnet50/eager/tf32/b1/i224/stream", status="skipped", reason="no tensor cores"),
        record("resnet50/eager/tf32/b8/i224/stream", status="skipped", reason="no tensor cores"),
    ]


@pytest.fixture
def measured(here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the ceilings of this machine's CPU, where tables look for them."""
    cpu = here | {"gpu": {"none": "a test"}}
    save_ceilings(CEILINGS, path_of(cpu, tmp_path))
    monkeypatch.setattr(bench.report.rows, "measured_ceilings", partial(measured_ceilings, folder=tmp_path))
    return tmp_path
