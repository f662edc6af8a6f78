"""A row's floor: of its own machine's ceilings, and of no other's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.report.exported import report_as_json
from bench.report.rows import rows_from_records
from resnet.floors import Ceilings, described_floors
from tests.bench.report.shown import CARD, CEILINGS, Make, floor_cells


def floor_s(
    model: str, batch: int, image: int, precision: str, ceilings: Ceilings, fusion: str = "conv", **network: int
) -> float:
    """The floor of a network in seconds."""
    return sum(floor.seconds for floor in described_floors(model, batch, image, precision, network, ceilings, fusion))


def test_a_time_stands_beside_its_floor_on_its_own_machine(record: Make, here: dict[str, Any], measured: Path) -> None:
    cpu = {"environment": here | {"gpu": {"none": "a test"}}}
    row = rows_from_records([record("resnet50/eager/fp32/b8/i224/stream", ms=1000, **cpu)])[0]
    floor = floor_s("resnet50", 8, 224, "fp32", CEILINGS)
    assert floor == pytest.approx(8 * 7.93e9 / 2e11, rel=0.02)  # 8.18 GFLOP with padding; few layers are bound by bytes
    shown = floor_cells(row)
    assert (shown["floor"], shown["% of roof"]) == (f"{1e3 * floor:.1f}", f"{100 * floor:.0f}%")
    assert row.floor_ns("block") == pytest.approx(1e9 * floor_s("resnet50", 8, 224, "fp32", CEILINGS, "block"))
    told = report_as_json(list(row.records))["rows"][0]
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
        (row,) = rows_from_records([record(name, **other)])
        assert row.ceilings is None
        assert floor_cells(row)["% of roof"] == "-"
        both = rows_from_records([record(name, round=0, environment=facts), record(name, round=1, **other)])
        assert [row.ceilings for row in both if row.records[-1].round == 1] == [None]
    (row,) = rows_from_records([record("resnet50/onnxruntime/fp16/b8/i224/stream", environment=facts)])
    assert row.ceilings is not None
    assert floor_cells(row)["% of roof"] == "-"


def test_a_damaged_file_of_ceilings_leaves_the_table_standing(
    record: Make, here: dict[str, Any], measured: Path
) -> None:
    (file,) = measured.iterdir()
    file.write_text("{")
    facts = {"environment": here | {"gpu": {"none": "a test"}}}
    assert (
        floor_cells(rows_from_records([record("resnet50/eager/fp32/b8/i224/stream", **facts)])[0])["% of roof"] == "-"
    )


def test_a_network_of_other_classes_has_the_floor_of_its_own(
    record: Make, here: dict[str, Any], measured: Path
) -> None:
    cpu = {"environment": here | {"gpu": {"none": "a test"}}}
    own = record("resnet18/eager/fp32/b1/i224/stream", network={"num_classes": 10, "in_channels": 1}, **cpu)
    floor = floor_s("resnet18", 1, 224, "fp32", CEILINGS, num_classes=10, in_channels=1)
    assert floor < floor_s("resnet18", 1, 224, "fp32", CEILINGS)
    assert rows_from_records([own])[0].floor_ns("conv") == pytest.approx(1e9 * floor)


def test_a_model_from_outside_has_the_floor_of_what_was_counted_of_it_and_no_other(
    record: Make, here: dict[str, Any], measured: Path
) -> None:
    cpu = {"environment": here | {"gpu": {"none": "a test"}}}
    name, size = "toys:net/eager/fp32/b4/i32/stream", 10**6
    # [name, FLOPs, elements of weights, [[source, elements]], elements written] of one image
    groups = [["a", 10**9, 10, [[-1, size]], size], ["b", 0, 0, [[0, size], [-1, size]], size]]
    (row,) = rows_from_records([record(name, ms=100, network={"groups": groups}, **cpu)])
    seconds = 4e9 / 2e11 + 4 * 4 * 3 * size / 2e10  # the first is bound by its FLOPs, the second by its bytes
    assert row.floor_ns("conv") == pytest.approx(1e9 * seconds)
    shown = floor_cells(row)
    assert (shown["% of roof"], shown["block"], shown["block %"]) == (f"{1e3 * seconds:.0f}%", "-", "-")
    (uncounted,) = rows_from_records([record(name, network={"uncounted": "no meta kernel"}, **cpu)])
    assert floor_cells(uncounted)["% of roof"] == "-"


def test_layers_that_are_kept_wide_have_the_floor_of_the_precision_they_run_in(record: Make) -> None:
    machine = replace(CEILINGS, flops={"fp32": 2e11, "int8": 8e11})
    name, wide = "resnet50/onnxruntime/int8/b8/i224/stream", {"quantized": {"wide": ["conv1", "fc"]}}
    rows = [rows_from_records([record(name, **more)])[0] for more in ({}, wide)]
    plain, kept = ({floor.names: floor for floor in replace(row, ceilings=machine).floors("conv")} for row in rows)
    assert kept["conv1",].seconds == 4 * plain["conv1",].seconds
    assert {names for names in plain if kept[names] != plain[names]} == {("conv1",), ("fc",)}
    assert replace(rows[1], ceilings=replace(machine, flops={"int8": 8e11})).floors("conv") == (), "no rate of fp32"
