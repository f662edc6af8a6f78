"""oneDNN in 8 bits, step by step: each from its own integers, against the exact value of what it declares."""

from collections import Counter
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.backends import mkldnn
from torch.profiler import ProfilerActivity, profile

from resnet.calibration import Calibration
from resnet.model import ResNet
from resnet.quant.check import check_declaration, check_steps
from resnet.quant.steps import QuantizedRunner
from resnet.variants import prepare

DESIGNS = [
    *("resnet18", "resnet50", "resnet101", "resnet152", "resnet18v1", "resnet50v1", "resnet50v2"),
    *("resnet18-A", "resnet50-C", "resnet18-none", "resnet50v2-A", "resnet18v2-C", "resnet18v2-none"),
]


@pytest.fixture(autouse=True)
def _without_gradients(without_gradients: None) -> None:
    """As a runner is to be called."""


def pictures(size: int) -> Tensor:
    return torch.randn(size, 3, 32, 32, generator=torch.Generator().manual_seed(size))


def checked(model: ResNet, batch: Tensor, keep_wide: tuple[str, ...] = ()) -> QuantizedRunner:
    """A runner whose steps are exact, and whose taps show the call's own bits."""
    calibration = Calibration(pictures(4), "minmax", keep_wide)
    runner = prepare("library-fused", model, batch, "int8", "stream", calibration)
    x = runner.place(batch)
    logits, taps = runner(x).clone(), runner.taps(x)
    assert torch.equal(taps.logits, logits)
    assert torch.equal(runner(x), logits)
    for row in range(len(batch)):
        check_steps(runner.steps, batch[row : row + 1], taps, row)
    return runner


def check_declared(runner: QuantizedRunner, model: ResNet, batch: Tensor, keep_wide: tuple[str, ...] = ()) -> None:
    exact = deepcopy(model).double()(batch[:1].double())
    check_declaration(runner.steps, "int8", keep_wide, model, batch[:1], exact)


@pytest.mark.parametrize("name", DESIGNS)
def test_every_step_of_every_design_is_exact(name, build) -> None:
    runner = checked(build(name), pictures(1))
    facts = runner.details["quantized"]
    assert (facts["steps"], facts["wide"], facts["checked"]) == (len(runner.steps) - 1, [], "taps")


@pytest.mark.parametrize("name", ["resnet18", "resnet50v2"])
def test_every_picture_of_a_batch_is_exact(name, build) -> None:
    check_declared(checked(build(name), pictures(3)), build(name), pictures(3))


WIDE = {
    "resnet18": ("conv1", "layer1.0.conv2", "layer2.0.downsample.0", "fc"),
    "resnet18v2-A": ("layer1.0.conv1", "layer2.0.conv2"),
}


@pytest.mark.parametrize("name", WIDE)
def test_layers_that_are_kept_wide_are_in_float_between_the_same_codes(name, build) -> None:
    runner = checked(build(name), pictures(2), WIDE[name])
    check_declared(runner, build(name), pictures(2), WIDE[name])
    facts = runner.details["quantized"]
    assert tuple(facts["wide"]) == WIDE[name] == tuple(facts["why_wide"])
    whole = checked(build(name), pictures(2)).details["quantized"]
    assert facts["layers"] == whole["layers"] - len(WIDE[name])
    assert facts["disk_bytes"] > whole["disk_bytes"]
    assert runner.steps[0].reads == ("input",)


def test_nothing_but_the_pictures_is_in_float_and_no_weight_is_packed_again(build, capfd) -> None:
    """20 convolutions, the mean and a product, with all sums, ReLUs and roundings in them, and the pictures' own."""
    runner = prepare("library-fused", build("resnet18"), pictures(1), "int8", "stream")
    x = runner.place(pictures(1))
    runner(x)
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        runner(x)
    calls = Counter(event.name for event in trace.events())
    assert calls["onednn::qconv2d_pointwise"] + calls["onednn::qlinear_pointwise"] == 22
    assert {name for name in calls if name.endswith(("_", "mul"))} == {
        *("aten::mul", "aten::add_", "aten::round_", "aten::clamp_", "aten::bitwise_xor_", "aten::copy_")
    }
    assert calls["aten::add_"] == calls["aten::mul"] == 1
    assert not {"aten::relu", "aten::conv2d", "aten::mean", "aten::max_pool2d", "aten::add"} & set(calls)
    capfd.readouterr()
    with mkldnn.verbose(mkldnn.VERBOSE_ON):
        runner(x)
    kinds = Counter(line.split(",")[5] for line in capfd.readouterr().out.splitlines() if ",exec,cpu," in line)
    assert kinds == {"convolution": 21, "matmul": 1}


def test_each_part_names_the_layers_that_it_computes(build) -> None:
    model = build("resnet50v2")
    network = prepare("library-fused", model, pictures(1), "int8", "stream")._forward
    parts = [name for name, _ in network.named_children()]
    assert network.computes("input codes") == ()  # a conversion, which has a row of its own
    computed = [module for part in parts for module in network.computes(part)]
    layers = [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
    assert set(layers) < set(computed)
    assert len(set(computed)) == len(computed)
