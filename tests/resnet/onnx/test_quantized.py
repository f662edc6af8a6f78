import copy

import onnx
import pytest
import torch
from torch import Tensor

from resnet.onnx.quantized import float_operations
from resnet.quant.steps import Step

WIDE = ("conv1", "layer1.0.conv2", "layer2.0.downsample.0", "fc")
KINDS = [("resnet18",), ("resnet18v2-A",), ("resnet18", *WIDE)]


@pytest.fixture(autouse=True)
def _without_gradients(without_gradients: None) -> None:
    """As a runner is to be called."""


def distances(steps: tuple[Step, ...], activations: dict[str, Tensor], x: Tensor) -> dict[str, float]:
    """Return by step how far its codes are from the unrounded ones of its own inputs, or its numbers relatively."""
    values, result = {"input": x.double()}, {}
    for step in steps:
        exact, tapped = step.value(values), activations[step.name]
        if step.output is None:
            values[step.name] = tapped.double()
            result[step.name] = float((tapped - exact).abs().max() / exact.abs().max())
        else:
            values[step.name] = step.output.values(tapped)
            result[step.name] = float((tapped.double() - step.output.places(exact)).abs().max())
    return result


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_every_step_is_within_half_a_code_of_its_declared_value(kind, quantized, batch: Tensor) -> None:
    runner = quantized(*kind)
    taps = runner.taps(runner.place(batch))
    steps = runner.steps
    assert [*taps.activations] == [step.name for step in steps]
    found = distances(steps, taps.activations, batch)
    assert not [step.name for step in steps if found[step.name] > (0.501 if step.output else 1e-6)]


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_the_tapped_logits_are_those_of_the_timed_session_to_the_bit(kind, quantized, batch: Tensor) -> None:
    runner = quantized(*kind)
    x = runner.place(batch)
    assert torch.equal(runner(x), runner.taps(x).logits)


def test_a_wrong_scale_is_seen_in_its_step_alone(quantized, batch: Tensor) -> None:
    runner = quantized("resnet18")
    taps = runner.taps(runner.place(batch))
    steps = list(runner.steps)
    index = next(i for i, step in enumerate(steps) if step.name == "layer2.1.conv1")
    weight = copy.copy(steps[index].weights[0])
    scale = weight.scale.clone()
    scale[3] *= 1.01
    object.__setattr__(steps[index].terms[0], "weight", type(weight)(weight.module, weight.codes, scale))
    found = distances(tuple(steps), taps.activations, batch)
    assert [name for name, distance in found.items() if distance > 0.501] == ["layer2.1.conv1"]


def test_the_record_says_what_is_in_8_bits_and_what_is_not(quantized) -> None:
    details = quantized("resnet18").details["quantized"]
    counts = {"steps": 31, "layers": 21, "wide": [], "checked": "taps", "calibrate": "minmax", "pictures": 4}
    assert details | counts == details
    assert details["float_operations"] == ["ReduceMean avgpool"]
    assert 11e6 < details["disk_bytes"] < 12e6
    preactivated = quantized("resnet18v2-A").details["quantized"]["float_operations"]
    assert {"BatchNormalization layer1.0.preact_bn", "ReduceMean avgpool"} < {*preactivated}


def test_layers_kept_wide_stay_in_float_in_the_session(quantized) -> None:
    """ONNX Runtime would put a float convolution between two grids in 8 bits by itself."""
    runner = quantized("resnet18", *WIDE)
    details = runner.details["quantized"]
    assert details | {"wide": list(WIDE), "layers": 17} == details
    operations = [name.split() for name in details["float_operations"]]
    assert [layer for operation, layer in operations if operation in ("Conv", "Gemm")] == list(WIDE)


def test_a_convolution_left_in_float_is_refused(quantized) -> None:
    """As the quantizer's default, signed activations, leaves 11 of 20."""
    declared = onnx.load(str(quantized("resnet18")._file.path))
    with pytest.raises(RuntimeError, match=r"left 21 convolutions or products in float.*pip install"):
        float_operations(declared.graph, declared)
