"""The convolutions of a network, and how a user names them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.errors import ArgumentError
from bench.ops.layers import choose_layers, conv_layers, floors_us
from resnet.archs import Spec
from resnet.floors import Ceilings
from resnet.model import ResNet


@pytest.mark.parametrize("model", ["resnet18", "resnet50", "resnet50v1", "resnet18v2", "resnet50v2", "resnet34-A"])
def test_the_layers_are_the_models_convolutions(model: str) -> None:
    with torch.device("meta"):
        network = ResNet(Spec.parse(model)).eval()
        x = torch.empty(2, 3, 64, 64)
    seen: dict[str, tuple[object, ...]] = {}

    def record(name: str, conv: nn.Conv2d, args: tuple[torch.Tensor, ...]) -> None:
        seen[name] = (tuple(args[0].shape), conv.out_channels, conv.kernel_size, conv.stride[0], conv.padding)

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda conv, args, name=name: record(name, conv, args))
    network(x)
    found = {
        name: ((s.n, s.c_in, s.h, s.w), s.c_out, s.kernel, s.stride, (s.padding, s.padding))
        for item in conv_layers(model, 2, 64, "fp32")
        for name, s in ((name, item.layer) for name in item.names)
    }
    assert found == seen


def test_what_follows_a_convolution_is_its_layers() -> None:
    layers = {name: item.layer for item in conv_layers("resnet50", 1, 64, "fp16") for name in item.names}
    assert (layers["conv1"].relu, layers["layer1.0.conv3"].residual, layers["layer1.0.conv3"].relu) == (True,) * 3
    assert (layers["layer1.0.downsample.0"].residual, layers["layer1.0.downsample.0"].relu) == (False, False)
    v2 = {name: item.layer for item in conv_layers("resnet50v2", 1, 64, "fp16") for name in item.names}
    assert (v2["layer1.0.conv3"].residual, v2["layer1.0.conv3"].relu) == (True, False)  # the next block reads the sum
    assert v2["layer1.0.conv2"].relu


def test_a_word_is_a_key_a_glob_or_a_place() -> None:
    layers = conv_layers("resnet18", 1, 32, "fp32")
    assert choose_layers(layers, ["all"]) == layers
    (one,) = choose_layers(layers, ["layer1.1.conv2"])
    assert one.names == ("layer1.0.conv2", "layer1.1.conv2")
    assert choose_layers(layers, [one.key]) == [one]
    assert {item.layer.kernel for item in choose_layers(layers, ["-1x1-", "7x7"])} == {(1, 1), (7, 7)}
    assert len(choose_layers(layers, ["layer2.*"])) == 4
    assert len(choose_layers(layers, ["fp32-n1-8x8x64-3x3-s1-p1-k64"])) == 2  # with the residual and without
    with pytest.raises(ArgumentError, match=r"layer1\.0\.conv9 \(did you mean layer1\.0\.conv.*; there are conv1"):
        choose_layers(layers, ["layer1.0.conv9"])


def test_the_floor_is_of_the_convolution_with_its_sum() -> None:
    ceilings = Ceilings("a machine", {"fp32": 1e15}, 1e9, None, 0.0, "measured")  # so that bytes alone count
    layers = conv_layers("resnet18", 1, 32, "fp32")
    by_name = dict(zip((item.names[0] for item in layers), floors_us(layers, "resnet18", 32, ceilings), strict=True))
    # 64 channels of 8 x 8 in, out, and of the residual; 64 x 64 x 3 x 3 weights and 64 biases; 4 bytes each at 1 GB/s
    weights, activation = 4 * (64 * 64 * 9 + 64), 4 * 64 * 8 * 8
    assert by_name["layer1.0.conv1"] == pytest.approx((weights + 2 * activation) / 1e3)
    assert by_name["layer1.0.conv2"] == pytest.approx((weights + 3 * activation) / 1e3)
    assert floors_us(layers[:1], "resnet18", 32, None) == [None]
