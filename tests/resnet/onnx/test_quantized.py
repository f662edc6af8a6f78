from dataclasses import replace

import onnx
import pytest
from torch import Tensor

from resnet.onnx.quantized import float_operations
from resnet.quant.check import Refused, check_steps
from tests.resnet.eight_bits import check_runner

NAME = "resnet18-digits"  # a quarter of the channels
WIDE = ("conv1", "layer1.0.conv2", "layer2.0.downsample.0", "fc")


@pytest.fixture(autouse=True)
def _without_gradients(without_gradients: None) -> None:
    """As a runner is to be called."""


@pytest.mark.parametrize("kind", [(NAME,), ("resnet18v2-A-digits",), (NAME, *WIDE)], ids=" ".join)
def test_every_step_is_exact_and_the_taps_are_of_the_timed_session(kind, quantized, build, batch: Tensor) -> None:
    check_runner(quantized(*kind), build(kind[0]), batch)


def test_a_wrong_scale_is_seen_in_its_step(quantized, batch: Tensor) -> None:
    runner = quantized(NAME)
    taps, steps = runner.taps(runner.place(batch)), list(runner.steps)
    index = next(i for i, step in enumerate(steps) if step.name == "layer2.1.conv1")
    (term,) = steps[index].terms
    scale = term.weight.scale.clone()
    scale[3] *= 1.01
    steps[index] = replace(steps[index], terms=(replace(term, weight=replace(term.weight, scale=scale)),))
    with pytest.raises(Refused, match=r"layer2\.1\.conv1 is wrong: a code of channel 3"):
        check_steps(steps, batch[:1], taps, 0)


def test_the_record_says_what_is_in_float(quantized) -> None:
    """ONNX Runtime would put a float convolution between two grids in 8 bits by itself."""
    details = quantized(NAME).details["quantized"]
    assert details | {"wide": [], "calibrate": "minmax", "pictures": 4} == details
    assert details["float_operations"] == ["ReduceMean avgpool"]
    assert 700_000 < details["disk_bytes"] < 900_000  # of 703,000 parameters
    preactivated = quantized("resnet18v2-A-digits").details["quantized"]["float_operations"]
    assert {"BatchNormalization layer1.0.preact_bn", "ReduceMean avgpool"} < {*preactivated}
    mixed = quantized(NAME, *WIDE).details["quantized"]
    assert mixed["wide"] == list(WIDE)
    operations = [name.split() for name in mixed["float_operations"]]
    assert [layer for operation, layer in operations if operation in ("Conv", "Gemm")] == list(WIDE)


def test_a_convolution_left_in_float_is_refused(quantized) -> None:
    """As the quantizer's default, signed activations, leaves 11 of 20."""
    declared = onnx.load(str(quantized(NAME)._file.path))
    with pytest.raises(RuntimeError, match=r"left 21 convolutions or products in float.*pip install"):
        float_operations(declared.graph, declared)
