"""Parts that are timed: what is whose, and the operators of code without layers."""

from __future__ import annotations

from statistics import median

import pytest
import torch

import resnet
from bench.worker.layers import parts as layer_parts
from bench.worker.layers import times as layer_times
from bench.worker.measure.clock import Clock
from resnet.calibration import Calibration


def test_what_an_inner_part_takes_is_not_the_outer_ones() -> None:
    stamps = [(0, ""), (10, "a"), (15, "a.b"), (35, None), (40, None), (42, "a"), (50, None), (60, None)]
    assert layer_parts.exclusive_times(stamps) == {"": 10 + 2 + 10, "a": 5 + 5 + 8, "a.b": 20}


def test_code_without_layers_is_its_operators_in_order() -> None:
    weight = torch.rand(64, 64)
    setup = layer_parts.Setup([torch.rand(64, 64)], Clock(), 7)
    timed = layer_parts.in_order(lambda x: torch.relu(x @ weight), setup, layer_times.COMPILED_NOTE)
    assert [part["name"] for part in timed.parts] == ["aten::matmul", "aten::relu"]
    assert all(len(part["ns"]) == 7 and part["modules"] == [] for part in timed.parts)
    assert "aten::mm" in [kernel["name"] for kernel in timed.parts[0]["kernels"]]
    assert sum(median(part["ns"]) for part in timed.parts) < max(timed.ns)


@pytest.mark.parametrize("variant", ["library-fused", "openvino"])
def test_what_converts_pictures_to_codes_is_a_part_of_no_layer(variant: str) -> None:
    if variant == "openvino":
        pytest.importorskip("openvino")
    model, batch = resnet.build("resnet18"), resnet.pictures(1, 32)
    run = resnet.prepare(variant, model, batch, "int8", "stream", Calibration(batch))
    with torch.no_grad():
        timed = layer_times.time_parts(variant, run, layer_parts.Setup([run.place(batch)], Clock(), 2))
    (conversions,) = [part for part in timed.parts if part["name"] == "conversions"]
    assert conversions["modules"] == []
    assert min(conversions["ns"]) > 0
    layers = {module for part in timed.parts for module in part["modules"]}
    assert {"conv1", "maxpool", "layer1.0.conv1", "layer4.1.conv2", "avgpool", "fc"} <= layers
