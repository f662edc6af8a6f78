"""Layers: names put to operations, sums that stand beside the whole, real cases on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import resnet
from bench.machine.environment import ROOT
from bench.plans.case import Case
from bench.plans.plan import Settings
from bench.roofline import layers
from bench.runs.job import LayersJob
from bench.worker.gate import Truth
from bench.worker.layers import parts as layer_parts
from bench.worker.layers import times as layer_times
from bench.worker.layers.onnx_nodes import node_layers
from bench.worker.measure.clock import HostClock
from bench.worker.reference import EXACT, references
from resnet.archs import Spec
from resnet.cost import operations
from resnet.floors import Ceilings, floors
from resnet.fold import fold
from resnet.fused.parts import computed, modules_of
from resnet.fused.program import program
from resnet.model import ResNet
from resnet.variants import library_fused

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
    owner = layers.owners(operations(spec, 2, 64, "fp32"))
    return {found for group in names for name in group if (found := layers._resolved(name, owner))}


def wanted(spec: str) -> set[str]:
    return {operation.name for operation in operations(spec, 2, 64, "fp32")}


@pytest.mark.parametrize("spec", SPECS)
def test_every_module_that_computes_belongs_to_an_operation_and_every_operation_has_one(spec: str) -> None:
    model = on_meta(spec)
    owner = layers.owners(operations(spec, 2, 64, "fp32"))
    leaves = [name for name, part in model.named_modules() if not list(part.children())]
    blocks = [name for name, part in model.named_modules() if hasattr(part, "downsample")]
    assert all(layers._resolved(name, owner) for name in leaves)
    assert covered([(name,) for name in leaves + blocks], spec) == wanted(spec)
    assert layers._resolved("layer1", owner) is None
    assert layers._resolved("", owner) is None


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
    made = program(fold(on_meta(spec)), SHAPE)  # type: ignore[arg-type]
    by_step = [modules_of(step) for step in made.steps]
    names = [computed(f"steps.{place}", by_step) for place in range(len(made.steps))]
    assert covered(names, spec) == wanted(spec)
    assert names[0] == ("conv1", "maxpool")
    assert names[-1] == ("avgpool", "fc")
    assert computed("steps.0.conv", by_step) == names[0]


@given(st.lists(st.sets(st.integers(0, 12), min_size=1), max_size=12))
def test_merged_sets_share_no_member_and_lose_none(sets: list[set[int]]) -> None:
    found = layers.merged([{str(member) for member in one} for one in sets])
    members = [member for one in found for member in one]
    assert len(members) == len(set(members))
    assert set(members) == {str(member) for one in sets for member in one}
    assert all(any({str(member) for member in one} <= whole for whole in found) for one in sets)


def part(name: str, ns: list[float], *modules: str) -> dict[str, Any]:
    return {"name": name, "modules": modules, "ns": ns, "kernels": [{"name": f"k_{name}", "us": 1.0, "count": 1}]}


def told(parts: list[dict[str, Any]], whole: list[int], **rest: Any) -> dict[str, Any]:
    about = {
        "whole_ns": whole,
        "timed_ns": whole,
        "gpu_ns": [],
        "device": "cpu",
        "how": "hooks",
        "note": "",
        "details": {},
    }
    return about | {"parts": parts} | rest


CASE = Case.parse("resnet18/eager/fp32/b1/i64/stream")


def test_a_layer_has_the_norms_and_the_relu_behind_it_and_a_block_its_sum() -> None:
    parts = [
        part("conv1", [5000.0] * 7, "conv1"),
        part("bn1", [1000.0] * 7, "bn1"),
        part("layer1.0", [300.0] * 7, "layer1.0"),
        part("layer1.0.relu2", [200.0] * 7, "layer1.0.relu2"),
        part("", [90.0] * 7, ""),
    ]
    found = layers.put_together(CASE, told(parts, [8000] * 7), None)
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
    found = layers.put_together(CASE, told(stalling, [10_000] * 9), None)
    assert found["sum_us"] == 2.0
    assert found["error_us"] >= 8.0  # most executions took 10 us in these two
    slowed = layers.put_together(CASE, told([part("fc", [1000.0] * 9, "fc")], [2000] * 9, timed_ns=[5000] * 9), None)
    assert slowed["error_us"] == 3.0


def test_a_kernel_of_no_known_layer_has_a_row_and_no_floor() -> None:
    parts = [part("triton_poi_fused_3", [1000.0] * 7), part("conv", [2000.0] * 7)]
    found = layers.put_together(CASE, told(parts, [4000] * 7, note="compiled"), ceilings())
    assert [(row["name"], row["operations"], row["floor_us"]) for row in found["rows"]] == [
        ("triton_poi_fused_3", [], None),
        ("conv", [], None),
    ]
    assert found["sum_us"] == 3.0


def test_a_profiler_that_saw_nothing_is_an_error_with_a_question() -> None:
    with pytest.raises(layers.NotTimed, match="may this process read its counters"):
        layers.put_together(CASE, told([], [1] * 7), None)


def ceilings() -> Ceilings:
    return Ceilings("a machine", {"fp32": 1e11}, 1e10, None, 0.0, "measured")


def test_a_rows_floor_is_that_of_one_kernel_for_all_it_computes() -> None:
    network = operations("resnet18", 1, 64, "fp32")
    rows = [part(o.name, [1e6] * 7, o.name) for o in network if ".conv2" not in o.name and not o.name.endswith(".add")]
    blocks = [o.name.removesuffix(".add") for o in network if o.name.endswith(".add")]
    rows += [part(f"{block}.conv2", [1e6] * 7, f"{block}.conv2", f"{block}.add") for block in blocks]
    found = layers.put_together(CASE, told(rows, [10**8] * 7), ceilings())
    expected = {floor.names: floor for floor in floors(network, ceilings(), "conv")}
    assert {tuple(row["operations"]) for row in found["rows"]} == set(expected)
    for row in found["rows"]:
        floor = expected[tuple(row["operations"])]
        assert row["floor_us"] == pytest.approx(floor.seconds * 1e6)
        assert row["bound"] == floor.bound
    assert found["floor_us"] == pytest.approx(sum(floor.seconds for floor in expected.values()) * 1e6)


def test_cases_are_compared_by_what_both_can_tell_apart_the_largest_difference_first() -> None:
    apart = [part("c", [3000.0] * 7, "layer1.0.conv2"), part("a", [1000.0] * 7, "layer1.0.add")]
    apart += [part("fc", [500.0] * 7, "fc"), part("conv1", [700.0] * 7, "conv1")]
    joined = [part("s", [2500.0] * 7, "layer1.0.conv2", "layer1.0.add"), part("h", [600.0] * 7, "fc", "avgpool")]
    one, other = (layers.put_together(CASE, told(parts, [9000] * 7), None) for parts in (apart, joined))
    first, second = layers.compared(one, other)  # conv1 is not in both
    assert first["operations"] == ["layer1.0.conv2", "layer1.0.add"]
    assert (first["us"], first["against_us"], first["difference_us"]) == (4.0, 2.5, 1.5)
    assert first["percent"] == pytest.approx(60)
    assert first["sure"]
    assert (second["name"], second["difference_us"]) == ("fc", pytest.approx(-0.1))
    noisy = layers.put_together(CASE, told([part("fc", [100.0, 900.0] * 7, "fc")], [9000] * 14), None)
    (difference,) = layers.compared(noisy, one)
    assert not difference["sure"]


def test_what_an_inner_part_takes_is_not_the_outer_ones() -> None:
    stamps = [(0, ""), (10, "a"), (15, "a.b"), (35, None), (40, None), (42, "a"), (50, None), (60, None)]
    assert layer_parts.own_times(stamps) == {"": 10 + 2 + 10, "a": 5 + 5 + 8, "a.b": 20}


class Node:
    def __init__(self, name: str, op_type: str, inputs: str, output: str) -> None:
        self.name, self.op_type, self.input, self.output = name, op_type, inputs.split(), [output]


class Graph:
    node = (
        Node("c", "Conv", "images reorder conv1.bias", "y"),
        Node("p", "MaxPool", "y", "x"),
        Node("b", "BatchNormalization", "x layer1.0.preact_bn.weight layer1.0.preact_bn.bias", "n"),
        Node("r", "Relu", "n", "a"),
        Node("c1", "Conv", "a w0 layer1.0.conv1.bias", "u"),
        Node("c2", "FusedConv", "u w1 Cast_layer1.0.conv2.bias x", "v"),
        Node("s", "MaxPool", "v", "z"),
        Node("c3", "Conv", "z w2 layer2.0.conv2.bias", "q"),
        Node("add", "Add", "z q", "t"),
        Node("m", "ReduceMean", "t", "f"),
        Node("g", "Gemm", "f fc.weight fc.bias", "logits"),
    )


def test_a_node_is_known_by_the_parameters_it_reads_or_by_the_node_before() -> None:
    found = node_layers(Graph)
    assert found["c"] == ("conv1",)
    assert found["p"] == ("maxpool",)
    assert found["b"] == found["r"] == ("layer1.0.preact_bn",)
    assert found["c1"] == ("layer1.0.conv1",)
    assert found["c2"] == found["s"] == ("layer1.0.conv2", "layer1.0.add")
    assert found["add"] == ("layer2.0.add",)
    assert (found["m"], found["g"]) == (("avgpool",), ("fc",))


@pytest.fixture(scope="module")
def job() -> Callable[[str], tuple[LayersJob, Truth]]:
    """A case's job and the truth of its answers, on noise."""

    def make(name: str) -> tuple[LayersJob, Truth]:
        case, settings = Case.parse(name), Settings(buffers=2)
        paths = references(case.model, case.image, 3 * case.batch, [case.precision], "cpu", 0, "noise")
        exact, plain = (np.load(paths[key])[: 3 * case.batch] for key in (EXACT, case.precision))
        truth = Truth(case.precision, case.batch, exact, plain.astype(np.float64))
        return LayersJob(case, settings, "cpu", 0, "noise", paths), truth

    return make


def consistent(found: dict[str, Any], case: Case) -> None:
    """Rows, what is in none and the whole add up, and no execution had more in its parts than it took."""
    assert found["sum_us"] == pytest.approx(sum(row["us"] for row in found["rows"]))
    assert found["sum_us"] + found["outside_us"] == pytest.approx(found["whole_us"])
    assert abs(found["whole_us"] - found["timed_us"]) <= found["error_us"]
    network = {operation.name for operation in operations(case.model, case.batch, case.image, case.precision)}
    names = [name for row in found["rows"] for name in row["operations"]]
    assert len(names) == len(set(names))
    assert set(names) == network
    # what they sum to is not more than the same executions took, but for the stated error
    assert found["sum_us"] <= found["timed_us"] + found["error_us"]


def test_the_vendor_librarys_layers_are_timed_and_sum_to_the_whole(
    job: Callable[[str], tuple[LayersJob, Truth]], tmp_path: Path
) -> None:
    asked, truth = job("resnet18/library-fused/fp32/b1/i64/stream")
    stages: list[str] = []
    answer = layer_times.layer_times(
        replace(asked, executions=8, trace=str(tmp_path / "trace.json")), truth, stages.append
    )
    assert answer["status"] == "ok"
    assert stages == ["build", "prepare", "gate", "whole", "parts", "whole"]
    assert len(answer["whole_ns"]) == len(answer["timed_ns"]) == 8
    for number, whole in enumerate(answer["timed_ns"]):
        assert sum(one["ns"][number] for one in answer["parts"]) <= whole
    found = layers.put_together(asked.case, answer, ceilings())
    consistent(found, asked.case)
    by_name = {row["name"]: row for row in found["rows"]}
    assert by_name["layer1.0.conv2"]["operations"] == ["layer1.0.conv2", "layer1.0.add"]
    assert "mkldnn::_convolution_pointwise_" in [kernel["name"] for kernel in by_name["layer1.0.conv2"]["kernels"]]
    names = {event["name"] for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]}
    assert {"bench execution", "layer blocks.0.last", "mkldnn::_convolution_pointwise"} <= names


def test_the_nodes_of_onnxruntime_are_layers_and_their_trace_loads(
    job: Callable[[str], tuple[LayersJob, Truth]], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    asked, truth = job("resnet18/onnxruntime/fp32/b1/i64/stream")
    answer = layer_times.layer_times(
        replace(asked, executions=7, trace=str(tmp_path / "trace.json")), truth, lambda stage: None
    )
    found = layers.put_together(asked.case, answer, ceilings())
    assert found["how"] == "onnxruntime"
    consistent(found, asked.case)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    nodes = [event["name"].removesuffix("_kernel_time") for event in events if event["cat"] == "Node"]
    assert sorted(one["name"] for one in answer["parts"]) == sorted(nodes)  # of one execution


def test_a_wrong_answer_has_no_times(job: Callable[[str], tuple[LayersJob, Truth]]) -> None:
    asked, truth = job("resnet18/eager/fp32/b1/i64/stream")
    wrong = Truth(truth.precision, truth.batch, truth.exact + 1, truth.plain + 1)
    answer = layer_times.layer_times(replace(asked, executions=2), wrong, lambda stage: None)
    assert answer["status"] == "wrong"
    assert "parts" not in answer


@pytest.mark.parametrize("variant", ["fused", "mixed"])
def test_our_own_steps_are_timed_where_the_ops_are_atens(variant: str) -> None:
    pytest.importorskip("triton")
    case = Case.parse(f"resnet18v2/{variant}/fp32/b1/i32/stream")
    model, batch = resnet.build(case.model, source="noise"), resnet.pictures(1, 32, source="noise")
    from importlib import import_module

    run = import_module(f"resnet.variants.{variant}").prepare(model, batch, "fp32", "stream")
    inputs = [run.place(batch)]
    timed = layer_times._timed(variant, run, model, inputs, HostClock(), 7, "")
    parts = [{"name": p.name, "modules": p.modules, "ns": p.ns, "kernels": p.kernels} for p in timed.parts]
    found = layers.put_together(case, told(parts, timed.ns), ceilings())
    consistent(found, case)
    by_name = {row["name"]: row["operations"] for row in found["rows"]}
    assert by_name["conv1"] == ["conv1", "maxpool"]
    assert set(by_name["layer2.0.conv2"]) == {"layer2.0.conv2", "layer2.0.downsample.0", "layer2.0.add"}
    assert by_name["fc"] == ["avgpool", "fc"]


def test_code_without_layers_is_its_operators_in_order() -> None:
    weight = torch.rand(64, 64)
    timed = layer_parts.in_order(
        lambda x: torch.relu(x @ weight), [torch.rand(64, 64)], HostClock(), 7, "", layer_times.COMPILED_NOTE
    )
    assert [one.name for one in timed.parts] == ["aten::matmul", "aten::relu"]
    assert all(len(one.ns) == 7 and one.modules == () for one in timed.parts)
    assert "aten::mm" in [kernel["name"] for kernel in timed.parts[0].kernels]
    assert sum(median(one.ns) for one in timed.parts) < max(timed.ns)


OWNERS = """
import torch, resnet, sys
from bench.worker.layers.marks import Marks
from resnet.fold import fold
from resnet.fused.network import FusedNetwork
from resnet.fused.parts import computed, modules_of
from resnet.fused.program import program
made = program(fold(resnet.build("resnet18v2", source="noise")), (1, 3, 32, 32))
network = FusedNetwork(made, "fp32", torch.device("cpu"))
found = network.owners
assert len(found) == 1 + len(network.calls) > len(made.steps), len(found)
assert list(dict.fromkeys(found)) == list(range(len(made.steps)))
for place, step in enumerate(made.steps[1:-1], 1):
    last = max(at for at, owner in enumerate(found) if owner == place)
    out = network.values[step.name].data_ptr()
    written = network.calls[last - 1].args[1]
    assert any(torch.is_tensor(value) and value.data_ptr() == out for value in written), step.name

# the marks around them, with launches that do nothing
marked = []
marks = Marks.__new__(Marks)
network.first, network.calls = (lambda x: None), [lambda: None] * len(network.calls)
marks.root, marks.owners, marks.within = network, [f"steps.{place}" for place in found], {}
kept = network.calls
with marks.around(lambda name: marked.append(name), lambda name: marked.append(None)):
    network(torch.empty(1, 3, 32, 32).to(memory_format=torch.channels_last))
assert network.calls is kept
assert marked == ["", *(name for owner in marks.owners for name in (owner, None)), None]
"""


def test_each_launch_of_our_network_is_put_to_the_step_whose_result_it_writes() -> None:
    """With the interpreter a network is made of launches on a CPU, too; it is not run."""
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", OWNERS], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_two_cases_side_by_side(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    eager, ort = (f"resnet18/{variant}/fp32/b1/i64/stream" for variant in ("eager", "onnxruntime"))
    kept, trace = tmp_path / "layers.json", tmp_path / "trace.json"
    options = ("-n", "7", "--input", "noise", "-o", str(kept), "--trace", str(trace))
    done = bench("layers", ort, "--against", eager, *options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines[:-2])) <= 80  # the last two are paths
    assert "\x1b" not in done.stdout
    found = json.loads(kept.read_text())
    assert (found["layers"], found["case"], found["against"]["case"]) == (layers.SCHEMA, ort, eager)
    for one in (found, found["against"]):
        consistent(one, Case.parse(one["case"]))
    assert (found["how"], found["against"]["how"]) == ("onnxruntime", "hooks")
    shown = [line.split()[0] for line in lines]
    differences = [abs(row["difference_us"]) for row in found["compared"]]
    assert differences == sorted(differences, reverse=True)
    assert all(row["name"] in shown for row in found["compared"])
    assert sum(row["us"] for row in found["compared"]) == pytest.approx(found["sum_us"])
    assert sum(row["against_us"] for row in found["compared"]) == pytest.approx(found["against"]["sum_us"])
    assert len(json.loads(trace.read_text())["traceEvents"]) > 20


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["resnet18/eagr/fp32/b1/i64/stream"], 2, "did you mean eager?"),
        (["resnet18/eager/fp32/bmax/i64/stream"], 2, "times one batch"),
        (["resnet18/eager/fp32/b1/i64/stream", "--trace", "/no/such/folder/t.json"], 2, "there is no folder"),
        (["resnet18/fused/fp16/b1/i64/stream"], 3, "cannot run"),
    ],
)
def test_what_cannot_be_timed_is_refused_in_a_sentence(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.cli import main

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(sys, "argv", ["bench", "layers", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.gpu
@pytest.mark.timed
@pytest.mark.parametrize("case", ["eager/fp16", "library-fused/fp16", "fused/fp16", "mixed/fp16", "compile/fp16"])
@pytest.mark.parametrize("launch", ["stream", "graph"])
def test_layers_on_a_gpu_sum_to_less_than_the_whole(case: str, launch: str, here: dict[str, Any]) -> None:
    parsed = Case.parse(f"resnet18/{case}/b32/i224/{launch}")
    found = layers.layers(parsed, here, 10, "noise")
    assert 0 < found["sum_us"] < found["whole_us"] + found["error_us"]
    if parsed.variant.startswith("compile"):
        assert found["note"]
        return
    assert not found["note"]
    consistent(found, parsed)
