"""Layers in 8 bits, interpreted: int8 against integer sums bit for bit, e4m3 within one of its steps."""

from dataclasses import replace
from math import prod

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import Config, Layer
from kernels.kinds import reference
from kernels.launch import Operands, empty_output, launch_layer
from kernels.packing import TORCH_TYPES, Packed, unpack
from kernels.space.fit import incompatibility_reason
from kernels.stem import widen


def ptr(m: int = 32, n: int = 32, k: int = 32, **others: int) -> Config:
    return Config("ptr", m, n, k, 4, 3, **others)


def tma(box: tuple[int, int, int], n: int = 32, k: int = 32, **others: int) -> Config:
    return Config("tma", prod(box), n, k, 4, 3, box, **others)


WIDE = {"dtype": "fp16", "reads": "int8", "writes": "int8"}
CASES = {
    "3x3": (Layer(2, 9, 7, 32, 64, (3, 3), 1, 1), ptr(64, 64)),
    "3x3 stride 2, odd size, residual": (Layer(2, 9, 7, 32, 64, (3, 3), 2, 1, residual=True), ptr()),
    "1x1, residual": (Layer(3, 7, 5, 64, 96, (1, 1), residual=True), ptr()),
    "1x1 stride 2, no ReLU": (Layer(2, 9, 8, 32, 64, (1, 1), 2, relu=False), ptr()),
    "prime sizes": (Layer(1, 11, 7, 37, 61, (3, 3), 1, 1, residual=True, relu=False), ptr()),
    "few channels": (Layer(1, 8, 9, 5, 16, (3, 3), 1, 1), ptr()),
    "depth split": (Layer(1, 7, 7, 128, 64, (3, 3), 1, 1, residual=True), ptr(64, 64, split_k=5)),
    "projection, stride 2": (Layer(1, 8, 7, 40, 64, (1, 1), second=(15, 14, 24, 2)), ptr()),
    "projection after 3x3, split": (Layer(1, 8, 7, 32, 64, (3, 3), 1, 1, second=(8, 7, 32, 1)), ptr(split_k=3)),
    "bulk 3x3, tails": (Layer(3, 9, 7, 48, 80, (3, 3), 1, 1, residual=True), tma((4, 4, 8), 64)),
    "bulk 3x3 stride 2": (Layer(3, 10, 6, 32, 64, (3, 3), 2, 1, residual=True), tma((2, 4, 4))),
    "bulk projection, split": (Layer(2, 8, 8, 32, 64, (1, 1), second=(16, 16, 48, 2)), tma((2, 4, 8), 64, split_k=2)),
    "kept wide": (Layer(1, 8, 7, 40, 64, (3, 3), 1, 1, residual=True, **WIDE), ptr()),
}


def draw(layer: Layer, seed: int = 0) -> Operands:
    """Codes as in a network: of either sign, behind a ReLU where there is a residual; sums of some 60 codes."""
    generator = torch.Generator().manual_seed(seed)

    def codes(*shape: int, spread: float = 40.0) -> Tensor:
        return (torch.randn(*shape, generator=generator) * spread).clamp(-127, 127)

    def activation(n: int, h: int, w: int, c: int) -> Tensor:
        x = codes(n, h, w, c)
        x = x.round() if layer.in_dtype == "int8" else x
        return x.to(TORCH_TYPES[layer.in_dtype]).permute(0, 3, 1, 2)

    o = Operands.empty(replace(layer, pool=False), "cpu")
    o.weight.zero_()
    for view in unpack(o.weight, layer):
        spread = 0.3 if layer.dtype == "fp16" else 40.0
        view.copy_(
            codes(*view.shape, spread=spread).round() if layer.dtype == "int8" else codes(*view.shape, spread=spread)
        )
    x = activation(layer.n, layer.h, layer.w, layer.c_in)
    residual = activation(layer.n, layer.out_h, layer.out_w, layer.c_out) if layer.residual else None
    x2 = activation(layer.n, *layer.second[:3]) if layer.second else None
    factors = torch.rand(layer.factors, generator=generator) + 0.5
    size = (prod(layer.kernel) * layer.c_in + layer.c_in2) ** 0.5 * 40
    factors[: layer.c_out] *= 60 / size / (0.3 if layer.dtype == "fp16" else 40)
    factors[layer.c_out + 1 :] = torch.randint(1, 5, (max(layer.factors - layer.c_out - 1, 0),), generator=generator)
    bias = torch.randn(layer.c_out, generator=generator) * 10
    return replace(o, x=x, residual=residual, x2=x2, factors=factors, bias=bias)


def integer_reference(layer: Layer, o: Operands) -> Tensor:
    """The codes of int8, from sums of int64 and float32 operations in the declared order."""
    weight, weight2 = unpack(o.weight, layer)
    sums = F.conv2d(o.x.long(), weight.long(), stride=layer.stride, padding=layer.padding)
    if o.x2 is not None and layer.second is not None:
        times = o.factors[layer.c_out + 1 :].long()
        sums += times[:, None, None] * F.conv2d(o.x2.long(), weight2.long(), stride=layer.second[3])
    y = sums.float() * o.factors[: layer.c_out, None, None] + o.bias[:, None, None]
    if o.residual is not None:
        y = y + o.residual.float() * o.factors[layer.c_out]
    return (y.relu() if layer.relu else y).clamp(-128, 127).round().to(torch.int8)


def launched(layer: Layer, config: Config, o: Operands) -> Tensor:
    out = empty_output(layer, "cpu")
    out.view(torch.uint8).fill_(0x55)
    launch_layer(layer, config, o, out)
    return out


@pytest.mark.parametrize("name", [name for name in CASES if name != "kept wide"])
def test_int8_is_integer_arithmetic(name) -> None:
    layer, config = CASES[name]
    layer = replace(layer, dtype="int8")
    assert incompatibility_reason(layer, config) is None
    o = draw(layer)
    want = integer_reference(layer, o)
    assert torch.equal(launched(layer, config, o), want)
    assert (want == 127).any()  # clamped somewhere, and not everywhere
    assert len(want.unique()) > 100
    exact = reference(layer, o, torch.float64)
    assert float((want.double() - exact.clamp(-128, 127)).abs().max()) < 0.5001


@pytest.mark.parametrize("name", ["3x3 stride 2, odd size, residual", "projection after 3x3, split", "bulk 3x3, tails"])
def test_e4m3_is_within_half_a_step(name) -> None:
    layer, config = CASES[name]
    layer = replace(layer, dtype="fp8")
    o = draw(layer)
    got, exact = launched(layer, config, o).double(), reference(layer, o, torch.float64).clamp(-448, 448)
    steps = torch.ldexp(torch.ones_like(exact), torch.frexp(exact.abs().clamp(min=2.0**-6)).exponent - 4)
    assert float(((got - exact).abs() / steps).max()) < 0.501
    assert torch.equal(got[exact.abs() < 2**-10].abs(), torch.zeros_like(got[exact.abs() < 2**-10]))


def test_a_wide_layer_reads_and_writes_codes() -> None:
    layer, config = CASES["kept wide"]
    o = draw(layer)
    got, exact = launched(layer, config, o).double(), reference(layer, o, torch.float64).clamp(-128, 127)
    assert float((got - exact).abs().max()) < 0.501
    assert len(got.unique()) > 100


@pytest.mark.parametrize("writes", ["int8", "fp8"])
def test_a_stem_pools_codes(writes) -> None:
    layer = Layer(2, 15, 13, 3, 16, (7, 7), 2, 3, pool=True, writes=writes)
    o = draw(layer)
    packed = Packed(o.weight, o.bias, layer.c_in, layer.kernel, 0, layer.dtype)
    o = replace(o, weight=widen(packed, layer.stride, layer.padding).weight)
    got = launched(layer, Config("ptr", 16, 16, layer.window[0], 4, 1, group_m=2), o).double()
    exact = reference(layer, o, torch.float64).clamp(-448, 448 if writes == "fp8" else 127)
    steps = torch.ldexp(torch.ones_like(exact), torch.frexp(exact.abs().clamp(min=2.0**-6)).exponent - 4)
    assert float(((got - exact).abs() / (steps if writes == "fp8" else 1)).max()) < 0.501
    assert len(got.unique()) > 30


def test_a_head_averages_codes_exactly() -> None:
    layer = Layer(2, 7, 5, 64, 40, (1, 1), relu=False, mean=True, reads="int8")
    generator = torch.Generator().manual_seed(0)
    o = Operands.empty(layer, "cpu")
    o.x.copy_(torch.randint(-128, 128, o.x.shape, generator=generator))
    o.weight.copy_(torch.randn(o.weight.shape, generator=generator) / 8)
    o.bias.zero_()
    assert o.factors is not None
    o.factors.fill_(0.03)
    got = launched(layer, ptr(), o)
    means = (o.x.long().sum((2, 3)).float() / 35 * o.factors).half()
    want = means.double() @ unpack(o.weight, layer)[0].flatten(1).double().T
    assert float((got.double() - want).abs().max()) <= 2.0**-11 * float(want.abs().max())
    assert torch.equal(reference(layer, o, torch.float64), want)
