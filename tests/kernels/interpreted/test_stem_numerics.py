"""The fused stem against float64 on small odd shapes, and that its pool selects exactly: cost rule as beside it."""

from dataclasses import replace
from math import prod

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kernels import Config, Layer, conv_bias_relu_pool, pack, stem, widen
from kernels.launch import Operands, empty_output, launch_layer
from kernels.space import stem as stem_space
from kernels.space.tiling import stem_grid


def cut(layer: Layer, m: int = 32, n: int = 32, strip: int = 2) -> Config:
    return Config("ptr", m, n, layer.window[0], 4, 1, group_m=strip)


def cost(layer: Layer, config: Config) -> int:
    return prod(stem_grid(layer, config)) * (2 * config.group_m + 1) * layer.kernel[0]


def run(layer: Layer, config: Config, operands: Operands) -> Tensor:
    out = empty_output(layer, "cpu").fill_(torch.nan)
    launch_layer(layer, config, operands, out)
    return out


def of(n: int, h: int, w: int, c: int, k: int, *window: object, dtype: str = "fp16", relu: bool = True) -> Layer:
    return Layer(n, h, w, c, k, *window, relu=relu, dtype=dtype, pool=True)


SEVEN = ((7, 7), 2, 3)
STEM = of(2, 15, 13, 3, 32, *SEVEN, dtype="fp32")
CASES = {
    "the stem": (STEM, {}),
    "the stem, fp16": (replace(STEM, dtype="fp16"), {}),
    "the stem, tf32": (replace(STEM, dtype="tf32"), {}),
    "no ReLU": (replace(STEM, relu=False), {}),
    "even sizes": (of(1, 16, 22, 3, 32, *SEVEN), {}),
    "odd columns and rows of the convolution": (of(2, 17, 18, 3, 32, *SEVEN), {}),
    "tiles across images": (of(3, 8, 21, 3, 16, *SEVEN, dtype="fp32"), {"m": 16, "n": 16}),
    "a strip each": (of(1, 23, 7, 3, 16, *SEVEN, relu=False), {"m": 16, "n": 16, "strip": 1}),
    "strips that do not divide": (of(1, 22, 9, 3, 16, *SEVEN), {"m": 16, "n": 16, "strip": 4}),
    "channel tails": (of(1, 9, 9, 3, 37, *SEVEN, dtype="fp32"), {"n": 32, "strip": 1}),
    "1 channel, 3x3 at stride 1": (of(2, 9, 7, 1, 24, (3, 3), 1, 1), {}),
    "4 channels, 5x5 at stride 3": (of(2, 19, 17, 4, 16, (5, 5), 3, 2), {"n": 16}),
    "15 channels": (of(1, 9, 8, 15, 16, (3, 3), 2, 1, relu=False), {"n": 16}),
    "1x1, stride over its window": (of(2, 11, 9, 5, 16, (1, 1), 2, dtype="fp32"), {"n": 16}),
    "no square window": (of(1, 12, 9, 3, 16, (3, 7), 2, 3), {"n": 16}),
    "no padding": (of(1, 15, 16, 3, 16, (7, 7), 2), {"n": 16}),
    "one pixel": (of(2, 1, 1, 3, 16, *SEVEN, relu=False), {"n": 16}),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_float64(name, check) -> None:
    layer, sizes = CASES[name]
    config = cut(layer, **sizes)
    assert cost(layer, config) <= 200
    assert stem_space.rejection_reason(layer, config, 90) is None
    check(layer, config)


@st.composite
def layers(draw) -> tuple[Layer, Config]:
    kernel = (draw(st.sampled_from([1, 3, 5, 7])), draw(st.sampled_from([1, 2, 3, 7])))
    stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    layer = of(
        *(draw(st.integers(1, 3)), draw(st.integers(7, 19)), draw(st.integers(7, 19)), draw(st.integers(1, 6))),
        *(draw(st.integers(1, 40)), kernel, stride, padding),
        relu=draw(st.booleans()),
        dtype=draw(st.sampled_from(["fp32", "fp16"])),
    )
    sizes = draw(st.sampled_from([16, 32, 64])), draw(st.sampled_from([16, 32])), draw(st.integers(1, 6))
    return layer, cut(layer, *sizes)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(layers())
def test_any_stem_agrees_with_float64(check, drawn) -> None:
    layer, config = drawn
    assume(cost(layer, config) <= 120)
    check(layer, config)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("size", [(16, 16), (17, 13)])
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
    want = F.max_pool2d(F.pad(F.relu(y) if relu else y, (1, 1, 1, 1)), 3, 2)
    assert y.abs().max() < 2048
    assert (want < 0).any() != relu
    assert torch.equal(run(layer, cut(layer), operands).float(), want)


@pytest.mark.parametrize("size", [(16, 16), (17, 13)])
def test_the_border_of_the_pool_is_zeros(size, operands, check) -> None:
    """All activations are far below zero, so a zero wins where a window has one, and nowhere else."""
    layer = replace(STEM, h=size[0], w=size[1], relu=False)
    given = operands(layer)
    given.bias.sub_(50)
    got = check(layer, cut(layer), given=given)
    border = torch.zeros(got.shape[2:], dtype=torch.bool)
    border[0], border[:, 0] = True, True
    border[-1] |= bool(layer.out_h % 2)
    border[:, -1] |= bool(layer.out_w % 2)
    assert (got[..., border] == 0).all()
    assert (got[..., ~border] < -30).all()
    assert check(replace(layer, relu=True), cut(layer), given=given).abs().max() == 0


def test_strips_and_tiles_make_the_same_bits(operands) -> None:
    layer = of(2, 23, 11, 3, 32, *SEVEN, relu=False)
    given = operands(layer)
    want = run(layer, cut(layer), given)
    for sizes in ((16, 32, 2), (64, 32, 6), (16, 16, 5)):
        assert torch.equal(run(layer, cut(layer, *sizes), given), want)


def test_64_bit_offsets_make_the_same_numbers(operands) -> None:
    given, config = operands(STEM), cut(STEM)
    narrow = stem.stem_launch(STEM, config)
    assert not narrow.constants["WIDE"]
    out = empty_output(STEM, "cpu").fill_(torch.nan)
    wide = replace(narrow, constants={**narrow.constants, "WIDE": True})
    wide.enqueue(given.x, given.weight, given.bias, None, out, STEM.n)
    assert torch.equal(out, run(STEM, config, given))
    assert stem.stem_launch(replace(STEM, n=2**24), config).constants["WIDE"]


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_an_infinity_stays_with_its_neighbours(operands) -> None:
    """As stem.py says: pixels that share a widened window get it too, other rows and other images do not."""
    layer = of(2, 24, 24, 3, 16, *SEVEN, dtype="fp32")
    given = operands(layer)
    want = run(layer, cut(layer), given)
    given.x[0, :, 12, 12] = torch.inf
    got = run(layer, cut(layer), given)
    assert torch.equal(got[1], want[1])
    same = (got[0] == want[0]).all(0)
    # a pooled pixel needs rows and columns 4p-5 to 4p+5 of the image, and its widened windows are 4q-8 to 4q+6
    reached = [[-5 <= 12 - 4 * p <= 5 and -8 <= 12 - 4 * q <= 6 for q in range(6)] for p in range(6)]
    assert same[~torch.tensor(reached)].all()
    assert not same[3, 3]


@pytest.mark.parametrize("config", [None, cut(STEM, strip=3)])
def test_the_op_is_the_kernel(config, monkeypatch, channels_last) -> None:
    seen, real = [], stem.calls
    monkeypatch.setattr(stem, "calls", lambda layer, config, *rest: seen.append(config) or real(layer, config, *rest))
    conv = nn.Conv2d(3, 24, 7, 2, 3)
    packed = widen(pack(conv.weight, conv.bias))
    x = channels_last(2, 3, 15, 13)
    got = conv_bias_relu_pool(x, packed, config=config)
    out = torch.empty_like(got).fill_(torch.nan)
    assert conv_bias_relu_pool(x, packed, out=out, config=config) is out
    want = F.max_pool2d(F.relu(conv(x)), 3, 2, 1).detach()
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    assert torch.equal(got, out)
    assert len(seen) == 2
    assert config is None or seen == [config, config]


def test_bf16_is_computed_by_aten(monkeypatch, channels_last) -> None:
    """The interpreter would multiply it wrong, and silently."""
    monkeypatch.setattr(stem, "calls", None)
    conv = nn.Conv2d(3, 16, 7, 2, 3)
    x = channels_last(1, 3, 9, 9, dtype=torch.bfloat16)
    got = conv_bias_relu_pool(x, widen(pack(conv.weight, conv.bias, torch.bfloat16)))
    want = F.max_pool2d(F.relu(conv.bfloat16().float()(x.float())), 3, 2, 1).detach()
    torch.testing.assert_close(got.float(), want, atol=2**-8, rtol=2**-7)
