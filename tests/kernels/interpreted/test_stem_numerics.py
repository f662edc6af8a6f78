"""The fused stem against float64 on small odd shapes, and that its pool selects exactly: cost rule as beside it."""

from dataclasses import replace
from math import prod

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kernels import stem
from kernels.config import Config, Layer
from kernels.launch import Operands
from kernels.pack import TORCH_TYPES, pack
from kernels.stem import conv_bias_relu_pool, widen


def cut(layer: Layer, m: int = 32, n: int = 32, strip: int = 2) -> Config:
    return Config("ptr", m, n, stem.window(layer)[0], 4, 1, group_m=strip)


def cost(layer: Layer, config: Config) -> int:
    return prod(stem.grid_of(layer, config)) * (2 * config.group_m + 1) * layer.kernel[0]


def given_to(layer: Layer, seed: int = 0, bias: float = 0.0) -> Operands:
    generator = torch.Generator().manual_seed(seed)
    dtype = TORCH_TYPES[layer.dtype]
    weight = torch.randn(layer.c_out, layer.c_in, *layer.kernel, generator=generator)
    weight /= (layer.c_in * prod(layer.kernel)) ** 0.5
    packed = pack(weight, torch.randn(layer.c_out, generator=generator) + bias, dtype, tf32=layer.dtype == "tf32")
    x = torch.randn(layer.n, layer.c_in, layer.h, layer.w, generator=generator)
    wide = widen(packed, layer.stride, layer.padding)
    return Operands(x.to(dtype, memory_format=torch.channels_last), wide.weight, wide.bias)


def run(layer: Layer, config: Config, operands: Operands) -> Tensor:
    """On poisoned memory with a guard behind it, which must be left alone."""
    like = stem.output(layer, "cpu")
    memory = torch.full((like.numel() + 64,), torch.nan, dtype=like.dtype)
    out = memory[: like.numel()].view(like.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
    stem.launch(layer, config, operands, out)
    assert memory[like.numel() :].isnan().all()
    return out


def check(layer: Layer, config: Config, allowed, bias: float = 0.0) -> Tensor:
    operands = given_to(layer, bias=bias)
    want = stem.reference(layer, operands, torch.float64)
    got = run(layer, config, operands)
    error = float((got.double() - want).abs().max())
    assert error <= allowed(layer, want), (
        f"{layer.key} by {config}: {error:.3g} off, {allowed(layer, want):.3g} allowed"
    )
    return got


STEM = Layer(2, 15, 13, 3, 32, (7, 7), 2, 3)
CASES = {
    "the stem": (STEM, {}),
    "no ReLU": (replace(STEM, relu=False), {}),
    "even sizes": (Layer(1, 16, 22, 3, 32, (7, 7), 2, 3), {}),
    "odd columns and rows of the convolution": (Layer(2, 17, 18, 3, 32, (7, 7), 2, 3), {}),
    "tiles across images": (Layer(3, 8, 21, 3, 16, (7, 7), 2, 3), {"m": 16, "n": 16}),
    "a strip each": (Layer(1, 23, 7, 3, 16, (7, 7), 2, 3, relu=False), {"m": 16, "n": 16, "strip": 1}),
    "strips that do not divide": (Layer(1, 22, 9, 3, 16, (7, 7), 2, 3), {"m": 16, "n": 16, "strip": 4}),
    "channel tails": (Layer(1, 9, 9, 3, 37, (7, 7), 2, 3), {"n": 32, "strip": 1}),
    "1 channel, 3x3 at stride 1": (Layer(3, 9, 7, 1, 24, (3, 3), 1, 1), {}),
    "4 channels, 5x5 at stride 3": (Layer(2, 19, 17, 4, 16, (5, 5), 3, 2), {"n": 16}),
    "15 channels": (Layer(1, 9, 8, 15, 16, (3, 3), 2, 1, relu=False), {"n": 16}),
    "1x1, stride over its window": (Layer(2, 11, 9, 5, 16, (1, 1), 2), {"n": 16}),
    "no square window": (Layer(1, 12, 9, 3, 16, (3, 7), 2, 3), {"n": 16}),
    "no padding": (Layer(1, 15, 16, 3, 16, (7, 7), 2), {"n": 16}),
    "one pixel": (Layer(2, 1, 1, 3, 16, (7, 7), 2, 3, relu=False), {"n": 16}),
}


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16"])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_float64(name, dtype, allowed) -> None:
    layer, sizes = CASES[name]
    layer = replace(layer, dtype=dtype)
    config = cut(layer, **sizes)
    assert cost(layer, config) <= 200
    assert stem.unfit(layer, config, 90) is None
    check(layer, config, allowed)


@st.composite
def layers(draw) -> tuple[Layer, Config]:
    kernel = (draw(st.sampled_from([1, 3, 5, 7])), draw(st.sampled_from([1, 2, 3, 7])))
    stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    layer = Layer(
        *(draw(st.integers(1, 3)), draw(st.integers(7, 23)), draw(st.integers(7, 23)), draw(st.integers(1, 6))),
        *(draw(st.integers(1, 40)), kernel, stride, padding),
        relu=draw(st.booleans()),
        dtype=draw(st.sampled_from(["fp32", "fp16"])),
    )
    sizes = draw(st.sampled_from([16, 32, 64])), draw(st.sampled_from([16, 32])), draw(st.integers(1, 6))
    return layer, cut(layer, *sizes)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(layers())
def test_any_stem_agrees_with_float64(allowed, drawn) -> None:
    layer, config = drawn
    assume(cost(layer, config) <= 200)
    check(layer, config, allowed)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("size", [(16, 16), (15, 13), (17, 22)])
def test_the_pool_selects_exactly(relu, size) -> None:
    """Sums of integers below 2048 are exact at fp16 in any order, and so is what is left to do."""
    layer = replace(STEM, n=2, h=size[0], w=size[1], relu=relu, dtype="fp16")
    generator = torch.Generator().manual_seed(0)

    def integers(*shape: int) -> Tensor:
        return torch.randint(-3, 4, shape, generator=generator).float()

    weight, bias, x = integers(32, 3, 7, 7), integers(32) - 40, integers(2, 3, *size)
    wide = widen(pack(weight, bias, torch.float16))
    operands = Operands(x.half().contiguous(memory_format=torch.channels_last), wide.weight, wide.bias)
    y = F.conv2d(x, weight, bias, 2, 3)
    want = F.max_pool2d(F.relu(y) if relu else y, 3, 2, 1)
    assert y.abs().max() < 2048
    assert torch.equal(run(layer, cut(layer), operands).float(), want)


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_padding_of_the_pool_is_no_value(dtype, allowed) -> None:
    """All activations are far below zero: a padding of zero would win along the border."""
    got = check(replace(STEM, relu=False, dtype=dtype), cut(STEM), allowed, bias=-50.0)
    assert got.max() < -30
    assert check(replace(STEM, dtype=dtype), cut(STEM), allowed, bias=-50.0).abs().max() == 0


def test_strips_and_tiles_make_the_same_bits() -> None:
    layer = Layer(2, 23, 19, 3, 32, (7, 7), 2, 3, dtype="fp16")
    operands = given_to(layer)
    want = run(layer, cut(layer), operands)
    for sizes in ((16, 32, 2), (64, 32, 6), (32, 16, 3), (16, 16, 5)):
        assert torch.equal(run(layer, cut(layer, *sizes), operands), want)


def test_64_bit_offsets_make_the_same_numbers() -> None:
    operands, config = given_to(STEM), cut(STEM)
    narrow = stem.stem_launch(STEM, config)
    assert not narrow.constants["WIDE"]
    out = stem.output(STEM, "cpu").fill_(torch.nan)
    wide = replace(narrow, constants={**narrow.constants, "WIDE": True})
    wide.run(operands.x, operands.weight, operands.bias, out, STEM.n)
    assert torch.equal(out, run(STEM, config, operands))
    assert stem.stem_launch(replace(STEM, n=2**24), config).constants["WIDE"]


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_an_infinity_stays_with_its_neighbours() -> None:
    """As stem.py says: pixels that share a widened window get it too, other rows and other images do not."""
    layer = Layer(2, 24, 24, 3, 16, (7, 7), 2, 3, dtype="fp32")
    operands = given_to(layer)
    want = run(layer, cut(layer), operands)
    operands.x[0, :, 12, 12] = torch.inf
    got = run(layer, cut(layer), operands)
    assert torch.equal(got[1], want[1])
    same = (got[0] == want[0]).all(0)
    # a pooled pixel needs rows and columns 4p-5 to 4p+5 of the image, and its widened windows are 4q-8 to 4q+6
    reached = [[-5 <= 12 - 4 * p <= 5 and -8 <= 12 - 4 * q <= 6 for q in range(6)] for p in range(6)]
    assert same[~torch.tensor(reached)].all()
    assert not same[3, 3]


@pytest.mark.parametrize("config", [None, cut(STEM, strip=3)])
def test_the_op_is_the_kernel(config, monkeypatch) -> None:
    seen, real = [], stem.launch
    monkeypatch.setattr(stem, "launch", lambda layer, config, *rest: (seen.append(config), real(layer, config, *rest)))
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 24, 7, 2, 3)
    packed = widen(pack(conv.weight, conv.bias))
    x = torch.randn(2, 3, 15, 13).contiguous(memory_format=torch.channels_last)
    got = conv_bias_relu_pool(x, packed, config=config)
    out = torch.empty_like(got).fill_(torch.nan)
    assert conv_bias_relu_pool(x, packed, out=out, config=config) is out
    want = F.max_pool2d(F.relu(conv(x)), 3, 2, 1).detach()
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    assert torch.equal(got, out)
    assert len(seen) == 2
    assert config is None or seen == [config, config]


def test_bf16_is_not_interpreted(monkeypatch) -> None:
    monkeypatch.setattr(stem, "launch", None)
    x = torch.randn(1, 3, 9, 9).to(torch.bfloat16, memory_format=torch.channels_last)
    conv_bias_relu_pool(x, widen(pack(torch.randn(16, 3, 7, 7), None, torch.bfloat16)))


@pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations
def test_the_interpreted_op_compiles_and_exports() -> None:
    torch.manual_seed(0)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.packed = widen(pack(torch.randn(16, 3, 7, 7), torch.randn(16)))

        def forward(self, x):
            return conv_bias_relu_pool(x, self.packed)

    net, x = Network(), torch.randn(2, 3, 15, 13).contiguous(memory_format=torch.channels_last)
    want = net(x)
    assert torch.equal(torch.compile(net, fullgraph=True)(x), want)
    assert torch.equal(torch.export.export(net, (x,)).module()(x), want)
