"""oneDNN in 8 bits, step by step: each from its own integers, against the exact value of what it declares."""

from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.backends import mkldnn
from torch.profiler import ProfilerActivity, profile

from resnet.calibration import Calibration
from resnet.quant.steps import QuantizedRunner
from resnet.variants import prepare
from tests.resnet.eight_bits import check_runner

# a quarter of the channels: (model, batch, layers that stay wide)
NETWORKS = [
    *(("resnet18-digits", 3, ()), ("resnet50v2-digits", 3, ()), ("resnet50v1-digits", 1, ())),
    *((f"resnet18{name}-digits", 1, ()) for name in ("-A", "-none", "v2-C", "v2-none")),
    ("resnet18-digits", 2, ("conv1", "layer1.0.conv2", "layer2.0.downsample.0", "fc")),
    ("resnet18v2-A-digits", 2, ("layer1.0.conv1", "layer2.0.conv2")),
]


@pytest.fixture(autouse=True)
def _without_gradients(without_gradients: None) -> None:
    """As a runner is to be called."""


def pictures(size: int) -> Tensor:
    return torch.randn(size, 3, 32, 32, generator=torch.Generator().manual_seed(size))


def prepared(model, size: int, wide: tuple[str, ...] = ()) -> QuantizedRunner:
    return prepare("library-fused", model, pictures(size), "int8", "stream", Calibration(pictures(4), "minmax", wide))  # type: ignore[return-value]


@pytest.mark.parametrize(("name", "size", "wide"), NETWORKS)
def test_every_step_is_exact(name, size, wide, build) -> None:
    runner = prepared(build(name), size, wide)
    counts = check_runner(runner, build(name), pictures(size))
    facts = runner.details["quantized"]
    assert tuple(facts["wide"]) == wide == tuple(facts["why_wide"])
    convolutions = sum(isinstance(layer, torch.nn.Conv2d) for layer in build(name).modules())
    assert counts["layers"] == convolutions + 1 - len(wide)
    if wide:
        assert facts["disk_bytes"] > prepared(build(name), 1).details["quantized"]["disk_bytes"]


def test_nothing_but_the_pictures_is_in_float_and_no_weight_is_packed_again(build, capfd) -> None:
    """20 convolutions, the mean and a product, with all sums, ReLUs and roundings in them, and the pictures' own."""
    runner = prepared(build("resnet18"), 1)
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
    model = build("resnet50v2-digits")
    network = prepared(model, 1)._forward  # type: ignore[attr-defined]
    parts = [name for name, _ in network.named_children()]
    assert network.computes("input codes") == ()  # a conversion, which has a row of its own
    computed = [module for part in parts for module in network.computes(part)]
    layers = [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
    assert set(layers) < set(computed)
    assert len(set(computed)) == len(computed)
