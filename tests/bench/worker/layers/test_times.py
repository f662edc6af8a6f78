"""Real cases timed on a CPU, whole and in parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import resnet
from bench.plans.case import Case
from bench.plans.plan import Settings
from bench.roofline import layers
from bench.runs.job import LayersJob, reference_job
from bench.worker.layers import times as layer_times
from bench.worker.layers.parts import Setup
from bench.worker.measure.clock import Clock
from bench.worker.reference import write_references
from resnet.variants import VARIANTS
from tests.bench.roofline.told import ceilings, consistent, told


@pytest.fixture(scope="module")
def job() -> Callable[[str], LayersJob]:
    """A case's job, on noise."""

    def make(name: str) -> LayersJob:
        case, settings = Case.parse(name), Settings(buffers=2)
        answer = write_references(reference_job([case], settings, "cpu", 0, "noise"), print)
        return LayersJob(case, settings, "cpu", 0, "noise", answer["paths"])

    return make


def test_the_vendor_librarys_layers_are_timed_and_sum_to_the_whole(
    job: Callable[[str], LayersJob], tmp_path: Path
) -> None:
    asked = job("resnet18/library-fused/fp32/b1/i64/stream")
    stages: list[str] = []
    answer = layer_times.time_layers(replace(asked, executions=8, trace=str(tmp_path / "trace.json")), stages.append)
    assert answer["status"] == "ok"
    assert stages == ["build", "prepare", "gate", "whole", "parts", "whole"]
    assert len(answer["whole_ns"]) == len(answer["timed_ns"]) == 8
    for number, whole in enumerate(answer["timed_ns"]):
        assert sum(one["ns"][number] for one in answer["parts"]) <= whole
    found = layers.assemble_layers(asked.case, answer, ceilings())
    consistent(found, asked.case)
    by_name = {row["name"]: row for row in found["rows"]}
    assert by_name["layer1.0.conv2"]["operations"] == ["layer1.0.conv2", "layer1.0.add"]
    assert "mkldnn::_convolution_pointwise_" in [kernel["name"] for kernel in by_name["layer1.0.conv2"]["kernels"]]
    names = {event["name"] for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]}
    assert {"bench execution", "layer blocks.0.last", "mkldnn::_convolution_pointwise"} <= names


def test_the_nodes_of_onnxruntime_are_layers_and_their_trace_loads(
    job: Callable[[str], LayersJob], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    asked = job("resnet18/onnxruntime/fp32/b1/i64/stream")
    answer = layer_times.time_layers(
        replace(asked, executions=7, trace=str(tmp_path / "trace.json")), lambda stage: None
    )
    found = layers.assemble_layers(asked.case, answer, ceilings())
    assert found["how"] == "onnxruntime"
    consistent(found, asked.case)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    nodes = [event["name"].removesuffix("_kernel_time") for event in events if event["cat"] == "Node"]
    assert sum(len(one["kernels"]) for one in answer["parts"]) == len(nodes)  # of one execution
    assert {one["name"] for one in answer["parts"]} <= {*nodes, "conversions"}


TOY = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.relu, self.fc = nn.ReLU(), nn.Linear(8, 10)

    def forward(self, x):
        y = self.relu(self.a(x))
        return self.fc(self.relu(self.b(y) + y).mean((2, 3)))
"""


def test_a_model_from_outside_has_a_floor_beside_each_part_and_a_part_for_each_call_of_a_module(
    job: Callable[[str], LayersJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_layers.py").write_text(TOY)
    monkeypatch.chdir(tmp_path)
    asked = job("toy_layers:Net/eager/fp32/b1/i32/stream")
    answer = layer_times.time_layers(replace(asked, executions=3), lambda stage: None)
    assert answer["status"] == "ok"
    assert answer["modules"] == {name: [name] for name in "ab"} | {
        "relu": ["a"],
        "relu#2": ["b"],
        "": ["mean"],  # its sum runs in the kernel of b
        "fc": ["fc"],
    }
    assert {"relu", "relu#2"} < {name for one in answer["parts"] for name in one["modules"]}
    found = layers.assemble_layers(asked.case, answer, ceilings())
    assert [row["operations"] for row in found["rows"]] == [["a"], ["b"], ["mean"], ["fc"]]
    assert found["floor_us"] == pytest.approx(sum(row["floor_us"] for row in found["rows"]))


def test_a_wrong_answer_has_no_times(job: Callable[[str], LayersJob], tmp_path: Path) -> None:
    asked = job("resnet18/eager/fp32/b1/i64/stream")
    other = dict(asked.reference)
    for name, path in asked.reference.items():
        if path.endswith(".npy"):  # logits
            other[name] = str(tmp_path / f"{name}.npy")
            np.save(other[name], np.load(path) + 1)
    answer = layer_times.time_layers(replace(asked, executions=2, reference=other), lambda stage: None)
    assert answer["status"] == "wrong"
    assert "parts" not in answer


@pytest.mark.parametrize("variant", ["fused", "per-layer"])
def test_our_own_steps_are_timed_where_the_ops_are_atens(variant: str) -> None:
    pytest.importorskip("triton")
    case = Case.parse(f"resnet18v2/{variant}/fp32/b1/i32/stream")
    model, batch = resnet.build(case.model, source="noise"), resnet.pictures(1, 32, source="noise")
    from importlib import import_module

    run = import_module(f"resnet.variants.{VARIANTS[variant].module}").prepare(model, batch, "fp32", "stream")
    timed = layer_times.time_parts(variant, run, Setup([run.place(batch)], Clock(), 7))
    found = layers.assemble_layers(case, told(timed.parts, timed.ns), ceilings())
    consistent(found, case)
    by_name = {row["name"]: row["operations"] for row in found["rows"]}
    assert by_name["conv1"] == ["conv1", "maxpool"]
    assert set(by_name["layer2.0.conv2"]) == {"layer2.0.conv2", "layer2.0.downsample.0", "layer2.0.add"}
    assert by_name["fc"] == ["avgpool", "fc"]
