"""Layers: names put to operations, and sums that stand beside the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.plans.case import Case
from bench.roofline import layers, pairs
from resnet.archs import Spec
from resnet.cost import operations
from resnet.floors import described_floors
from resnet.fold import fold
from resnet.fused.program import ProgramNetwork, build_program
from resnet.model import ResNet
from resnet.variants import library_fused
from tests.bench.roofline.told import CASE, ceilings, consistent, part, told

SPECS = [
    "resnet18",
    "resnet50",
    "resnet50v1",
    "resnet50v2",
    "resnet18-A",
    "resnet50v2-C",
    "resnet18v2-A",
    "resnet34-none",
]
SHAPE = (2, 3, 64, 64)


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return ResNet(Spec.parse(name)).eval()


def covered(names: list[tuple[str, ...]], spec: str) -> set[str]:
    owner = layers.operation_by_module(operations(spec, 2, 64, "fp32"))
    return {found for group in names for name in group if (found := layers.enclosing_operation(name, owner))}


def wanted(spec: str) -> set[str]:
    return {operation.name for operation in operations(spec, 2, 64, "fp32")}


@pytest.mark.parametrize("spec", SPECS)
def test_every_module_that_computes_belongs_to_an_operation_and_every_operation_has_one(spec: str) -> None:
    model = on_meta(spec)
    owner = layers.operation_by_module(operations(spec, 2, 64, "fp32"))
    leaves = [name for name, part in model.named_modules() if not list(part.children())]
    blocks = [name for name, part in model.named_modules() if hasattr(part, "downsample")]
    assert all(layers.enclosing_operation(name, owner) for name in leaves)
    assert covered([(name,) for name in leaves + blocks], spec) == wanted(spec)
    assert layers.enclosing_operation("layer1", owner) is None
    assert layers.enclosing_operation("", owner) is None


@pytest.mark.parametrize("spec", SPECS)
def test_the_vendor_librarys_modules_are_put_to_the_models(spec: str) -> None:
    model = on_meta(spec)
    network = library_fused.LibraryNetwork(fold(model), lambda conv: nn.Identity(), nn.Identity())  # type: ignore[arg-type]
    rows = {name: network.computes(name) for name, _ in network.named_modules()}
    assert covered(list(rows.values()), spec) == wanted(spec)
    last = "layer1.0.conv2" if "18" in spec or "34" in spec else "layer1.0.conv3"
    assert rows["blocks.0.last"] == (last, "layer1.0.add")
    assert rows["blocks.1.inner.0"] == ("layer1.1.conv1",)


@pytest.mark.parametrize("spec", SPECS)
def test_our_own_steps_are_put_to_the_models_modules(spec: str) -> None:
    made = build_program(fold(on_meta(spec)), SHAPE)  # type: ignore[arg-type]
    network = ProgramNetwork(made)
    names = [network.computes(f"steps.{place}") for place in range(len(made.steps))]
    assert covered(names, spec) == wanted(spec)
    assert names[0] == ("conv1", "maxpool")
    assert names[-1] == ("avgpool", "fc")
    assert network.computes("steps.0.conv") == names[0]


@given(st.lists(st.sets(st.integers(0, 12), min_size=1), max_size=12))
def test_merged_sets_share_no_member_and_lose_none(sets: list[set[int]]) -> None:
    found = layers.merge_overlapping([{str(member) for member in one} for one in sets])
    members = [member for one in found for member in one]
    assert len(members) == len(set(members))
    assert set(members) == {str(member) for one in sets for member in one}
    assert all(any({str(member) for member in one} <= whole for whole in found) for one in sets)


def test_kernels_of_one_name_are_one_with_a_count() -> None:
    one = part("conv1", [5000.0] * 7, "conv1")
    one["kernels"] = [{"name": name, "us": us, "count": 1} for name, us in (("a", 1.0), ("b", 2.0), ("a", 3.0))]
    found = layers.assemble_layers(CASE, told([one], [8000] * 7), None)
    assert found["rows"][0]["kernels"] == [{"name": "a", "us": 4.0, "count": 2}, {"name": "b", "us": 2.0, "count": 1}]


def test_a_layer_has_the_norms_and_the_relu_behind_it_and_a_block_its_sum() -> None:
    parts = [
        part("conv1", [5000.0] * 7, "conv1"),
        part("bn1", [1000.0] * 7, "bn1"),
        part("layer1.0", [300.0] * 7, "layer1.0"),
        part("layer1.0.relu2", [200.0] * 7, "layer1.0.relu2"),
        part("", [90.0] * 7, ""),
    ]
    found = layers.assemble_layers(CASE, told(parts, [8000] * 7), None)
    assert [(row["name"], row["us"]) for row in found["rows"]] == [("conv1", 6.0), ("layer1.0.add", 0.5)]
    assert found["rows"][0]["kernels"] == [
        {"name": "k_conv1", "us": 1.0, "count": 1},
        {"name": "k_bn1", "us": 1.0, "count": 1},
    ]
    assert (found["sum_us"], found["outside_us"], found["whole_us"]) == (6.5, 1.5, 8.0)
    assert found["error_us"] == 0
    assert found["floor_us"] is None
    assert found["rows"][0]["share"] == 0.75


def test_the_stated_error_holds_what_the_timing_added_and_what_stalled() -> None:
    stalling = [part("conv1", [1000.0, 1000.0, 9000.0] * 3, "conv1"), part("fc", [9000.0, 1000.0, 1000.0] * 3, "fc")]
    found = layers.assemble_layers(CASE, told(stalling, [10_000] * 9), None)
    assert found["sum_us"] == 2.0
    assert found["error_us"] >= 8.0  # most executions took 10 us in these two
    slowed = layers.assemble_layers(CASE, told([part("fc", [1000.0] * 9, "fc")], [2000] * 9, timed_ns=[5000] * 9), None)
    assert slowed["error_us"] == 3.0


def test_a_kernel_of_no_known_layer_has_a_row_and_no_floor() -> None:
    parts = [part("triton_poi_fused_3", [1000.0] * 7), part("conv", [2000.0] * 7)]
    found = layers.assemble_layers(CASE, told(parts, [4000] * 7, note="compiled"), ceilings())
    assert [(row["name"], row["operations"], row["floor_us"]) for row in found["rows"]] == [
        ("triton_poi_fused_3", [], None),
        ("conv", [], None),
    ]
    assert found["sum_us"] == 3.0


def test_a_profiler_that_saw_nothing_is_an_error_with_a_question() -> None:
    with pytest.raises(layers.WorkError, match="may this process read its counters"):
        layers.assemble_layers(CASE, told([], [1] * 7), None)


def test_a_rows_floor_is_that_of_one_kernel_for_all_it_computes() -> None:
    network = operations("resnet18", 1, 64, "fp32")
    rows = [part(o.name, [1e6] * 7, o.name) for o in network if ".conv2" not in o.name and not o.name.endswith(".add")]
    blocks = [o.name.removesuffix(".add") for o in network if o.name.endswith(".add")]
    rows += [part(f"{block}.conv2", [1e6] * 7, f"{block}.conv2", f"{block}.add") for block in blocks]
    found = layers.assemble_layers(CASE, told(rows, [10**8] * 7), ceilings())
    expected = {floor.names: floor for floor in described_floors("resnet18", 1, 64, "fp32", {}, ceilings())}
    assert {tuple(row["operations"]) for row in found["rows"]} == set(expected)
    for row in found["rows"]:
        floor = expected[tuple(row["operations"])]
        assert row["floor_us"] == pytest.approx(floor.seconds * 1e6)
        assert row["bound"] == floor.bound
    assert found["floor_us"] == pytest.approx(sum(floor.seconds for floor in expected.values()) * 1e6)


def test_a_row_has_the_work_of_one_kernel_and_the_file_the_rates_of_its_roofs() -> None:
    parts = [part("a", [1000.0] * 7, "layer1.0.conv2", "layer1.0.add"), part("p", [500.0] * 7, "maxpool")]
    parts += [part("k", [500.0] * 7)]
    measured = layers.assemble_layers(CASE, told(parts, [9000] * 7), ceilings())
    pool, conv, kernel = measured["rows"]
    network = {operation.name: operation for operation in operations("resnet18", 1, 64, "fp32")}
    one, add = network["layer1.0.conv2"], network["layer1.0.add"]
    assert conv["flops"] == one.needed
    # its result goes into the sum without a way through memory
    assert conv["bytes"] == one.weights + sum(one.reads) + add.reads[1] + add.written
    assert (pool["flops"], pool["bytes"] > 0, kernel["flops"], kernel["bytes"]) == (0, True, None, None)
    assert measured["ceilings"]["flops"] == {"fp32": 1e11}
    assert measured["ceilings"]["bandwidth"] == 1e10


def test_cases_are_compared_by_what_both_can_tell_apart_the_largest_difference_first() -> None:
    apart = [part("c", [3000.0] * 7, "layer1.0.conv2"), part("a", [1000.0] * 7, "layer1.0.add")]
    apart += [part("fc", [500.0] * 7, "fc"), part("conv1", [700.0] * 7, "conv1")]
    joined = [part("s", [2500.0] * 7, "layer1.0.conv2", "layer1.0.add"), part("h", [600.0] * 7, "fc", "avgpool")]
    one, other = (layers.assemble_layers(CASE, told(parts, [9000] * 7), None) for parts in (apart, joined))
    first, second = pairs.compare_layers(one, other)  # conv1 is not in both
    assert first["operations"] == ["layer1.0.conv2", "layer1.0.add"]
    assert (first["us"], first["against_us"], first["difference_us"]) == (4.0, 2.5, 1.5)
    assert first["percent"] == pytest.approx(60)
    assert first["sure"]
    assert (second["name"], second["difference_us"]) == ("fc", pytest.approx(-0.1))
    noisy = layers.assemble_layers(CASE, told([part("fc", [100.0, 900.0] * 7, "fc")], [9000] * 14), None)
    (difference,) = pairs.compare_layers(noisy, one)
    assert not difference["sure"]


def test_the_parts_of_a_model_from_outside_are_put_to_its_counted_kernels() -> None:
    size = 10**4
    groups = [["a", 10**6, 0, [[-1, size]], size], ["b", 10**6, 0, [[0, size], [-1, size]], size]]
    groups += [["fc", 10**6, 10, [[1, size]], 10]]
    modules = {"a": ["a"], "relu": ["a"], "relu#2": ["b"], "b": ["b"], "fc": ["fc"], "gates": []}
    names = ["a", "relu", "b", "relu#2", "gates", "stage", "", "fc"]
    parts = [part(name or "root", [1000.0] * 7, name) for name in names]
    about = {"network": {"groups": groups}, "modules": modules}
    case = Case.parse("toys:net/eager/fp32/b2/i64/stream")
    found = layers.assemble_layers(case, told(parts, [9000] * 7, **about), ceilings())
    # a stage and the root do no work of their own; which kernel the gates' work is in is not known
    assert [(row["name"], row["us"]) for row in found["rows"]] == [("a", 2), ("b", 2), ("fc", 1), ("gates", 1)]
    floors = [2e6 / 1e11, 2 * 4 * 3 * size / 1e10, 2e6 / 1e11]  # the second is bound by its bytes
    assert [row["floor_us"] for row in found["rows"]] == [*(pytest.approx(1e6 * floor) for floor in floors), None]
    assert found["floor_us"] == pytest.approx(1e6 * sum(floors))
    uncounted = told(parts, [9000] * 7, network={"uncounted": "no"})
    uncounted["parts"] += [part("kernel", [1000.0] * 7)]
    assert [row["name"] for row in layers.assemble_layers(case, uncounted, ceilings())["rows"]] == ["kernel"]


@pytest.mark.gpu
@pytest.mark.timed
@pytest.mark.parametrize("case", ["eager/fp16", "library-fused/fp16", "fused/fp16", "per-layer/fp16", "compile/fp16"])
@pytest.mark.parametrize("launch", ["stream", "graph"])
def test_layers_on_a_gpu_sum_to_less_than_the_whole(case: str, launch: str, here: dict[str, Any]) -> None:
    parsed = Case.parse(f"resnet18/{case}/b32/i224/{launch}")
    found = layers.measure_layers(parsed, here, 10, "noise")
    assert 0 < found["sum_us"] < found["whole_us"] + found["error_us"]
    if parsed.variant.startswith("compile"):
        assert found["note"]
        return
    assert not found["note"]
    consistent(found, parsed)
