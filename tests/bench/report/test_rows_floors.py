"""A row's floor: of its own machine's ceilings, and of no other's."""

from pathlib import Path
from typing import Any

import pytest

from bench.report.rows import rows
from bench.report.views import as_json
from resnet.floors import network_floors
from tests.bench.report.shown import CARD, CEILINGS, Make, floor_cells


def floor_s(*network: Any) -> float:
    """The floor of a network in seconds."""
    return sum(floor.seconds for floor in network_floors(*network))


def test_a_time_stands_beside_its_floor_on_its_own_machine(record: Make, here: dict[str, Any], measured: Path) -> None:
    cpu = {"environment": here | {"gpu": {"none": "a test"}}}
    row = rows([record("resnet50/eager/fp32/b8/i224/stream", ms=1000, **cpu)])[0]
    floor = floor_s("resnet50", 8, 224, "fp32", CEILINGS)
    assert floor == pytest.approx(8 * 8.18e9 / 2e11, rel=0.02)  # few of its layers are bound by bytes
    shown = floor_cells(row)
    assert (shown["floor"], shown["% of roof"]) == (f"{1e3 * floor:.1f}", f"{100 * floor:.0f}%")
    assert row.floor_ns("block") == pytest.approx(1e9 * floor_s("resnet50", 8, 224, "fp32", CEILINGS, "block"))
    told = as_json(list(row.records))["rows"][0]
    assert told["roof_share"] == pytest.approx(floor)
    assert told["block_floor_ns"] < told["floor_ns"]


def test_ceilings_of_another_machine_or_precision_are_never_used(
    record: Make, here: dict[str, Any], measured: Path
) -> None:
    name, facts = "resnet50/eager/fp32/b8/i224/stream", here | {"gpu": {"none": "a test"}}
    more_cores = facts | {"cpu": facts["cpu"] | {"cores": 999}}
    card = facts | {"gpu": CARD, "torch_cuda": "12.8"}
    others: list[dict[str, Any]] = [
        {"environment": more_cores},
        {"environment": card, "device": "cuda"},
        {"environment": facts, "device": "cuda"},
        {"environment": {}},
    ]
    for other in others:
        (row,) = rows([record(name, **other)])
        assert row.ceilings is None
        assert floor_cells(row)["% of roof"] == "-"
        mixed = rows([record(name, round=0, environment=facts), record(name, round=1, **other)])[0]
        assert mixed.ceilings is None
    (row,) = rows([record("resnet50/onnxruntime/fp16/b8/i224/stream", environment=facts)])
    assert row.ceilings is not None
    assert floor_cells(row)["% of roof"] == "-"


def test_a_damaged_file_of_ceilings_leaves_the_table_standing(
    record: Make, here: dict[str, Any], measured: Path
) -> None:
    (file,) = measured.iterdir()
    file.write_text("{")
    facts = {"environment": here | {"gpu": {"none": "a test"}}}
    assert floor_cells(rows([record("resnet50/eager/fp32/b8/i224/stream", **facts)])[0])["% of roof"] == "-"
