"""Average and fully connected layer against float64 on small odd shapes, in one kernel and in two."""

from dataclasses import replace
from math import ceil

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kernels import head
from kernels.config import Config, Layer, channel_tiles, row_tiles, steps
from kernels.head import pack_linear, pool_linear
from kernels.launch import Operands
from kernels.pack import TORCH_TYPES

ONE = Config("ptr", 1, 16, 64, 4, 2)
TWO = Config("ptr", 16, 32, 32, 4, 2)
SPLIT = replace(TWO, split_k=2)
BULK = Config("tma", 16, 32, 32, 4, 2, box=(1, 1, 16))


def given_to(layer: Layer) -> Operands:
    generator = torch.Generator().manual_seed(0)
    dtype, c = TORCH_TYPES[layer.dtype], layer.c_in

    def values(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    packed = pack_linear(values(layer.c_out, c) / c**0.5, values(layer.c_out), dtype, layer.dtype == "tf32")
    x = values(layer.n, c, layer.h, layer.w).to(dtype, memory_format=torch.channels_last)
    scale, shift = (values(c).abs() + 0.5, values(c)) if layer.prologue else (None, None)
    return Operands(x, packed.weight, packed.bias, scale=scale, shift=shift)


def check(layer: Layer, config: Config, allowed) -> Tensor:
    operands = given_to(layer)
    memory = torch.full((layer.n * layer.c_out + 64,), torch.nan, dtype=TORCH_TYPES[layer.dtype])
    out = memory[: layer.n * layer.c_out].view(layer.n, layer.c_out)
    head.launch(layer, config, operands, out)
    assert memory[out.numel() :].isnan().all()
    want = head.reference(layer, operands, torch.float64)
    error = float((out.double() - want).abs().max())
    # the averages of two kernels are rounded between them, as a prologue's results are: a unit more
    bound = allowed(replace(layer, prologue=config.block_m > 1), want)
    assert error <= bound, f"{layer.key} by {config}: {error:.3g} off, {bound:.3g} allowed"
    return out


def fc(*sizes: int, **others: object) -> Layer:
    n, h, w, c, classes = sizes
    return Layer(n, h, w, c, classes, (1, 1), relu=False, **others)


CASES = {
    "one": (fc(2, 7, 7, 128, 48), ONE),
    "one, tails, prologue": (fc(3, 7, 5, 70, 37, prologue=True), ONE),
    "one, more pixels than a block": (fc(1, 9, 11, 37, 20, prologue=True), ONE),
    "one, one pixel, few channels": (fc(2, 1, 1, 5, 3), ONE),
    "two": (fc(3, 7, 7, 128, 64), TWO),
    "two, tails, prologue": (fc(3, 7, 5, 70, 37, prologue=True), TWO),
    "two, depth split": (fc(2, 7, 7, 128, 64), SPLIT),
    "two, more pixels than a block": (fc(2, 13, 8, 37, 20), TWO),
    "two, few channels": (fc(17, 3, 2, 5, 3), TWO),
    "two, bulk copies": (fc(3, 7, 5, 72, 40, prologue=True), BULK),
}


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_float64(name, dtype, allowed) -> None:
    layer, config = CASES[name]
    layer = replace(layer, dtype="tf32" if dtype == "fp32" and config.impl == "tma" else dtype)
    assert head.unfit(layer, config) is None
    check(layer, config, allowed)


def cost(layer: Layer, config: Config) -> int:
    if config.block_m == 1:
        blocks = ceil(layer.h * layer.w / 64)
        return layer.n * ceil(layer.c_out / config.block_n) * ceil(layer.c_in / config.block_k) * blocks
    product = head.product(layer)
    return layer.n * ceil(layer.c_in / 64) + row_tiles(product, config) * channel_tiles(product, config) * sum(
        steps(product, config)
    )


@st.composite
def heads(draw) -> tuple[Layer, Config]:
    layer = fc(
        *(draw(st.integers(1, 3)), draw(st.integers(1, 23)), draw(st.integers(1, 23))),
        *(draw(st.integers(1, 150)), draw(st.integers(1, 70))),
        prologue=draw(st.booleans()),
        dtype=draw(st.sampled_from(["fp32", "fp16"])),
    )
    n, k = draw(st.sampled_from([16, 32])), draw(st.sampled_from([16, 32, 64]))
    return layer, Config("ptr", draw(st.sampled_from([1, 1, 16, 32])), n, k, 4, draw(st.integers(1, 3)))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(heads())
def test_any_head_agrees_with_float64(allowed, drawn) -> None:
    layer, config = drawn
    assume(cost(layer, config) <= 200)
    check(layer, config, allowed)


@pytest.mark.parametrize("config", [ONE, TWO], ids=str)
def test_64_bit_offsets_make_the_same_numbers(config, allowed) -> None:
    layer = fc(2, 7, 5, 70, 37)
    operands, out = given_to(layer), head.output(layer, "cpu").fill_(torch.nan)
    for step, arguments in head.calls(layer, config, operands, out):
        assert not step.constants["WIDE"]
        replace(step, constants={**step.constants, "WIDE": True}).run(*arguments)
    assert torch.equal(out, check(layer, config, allowed))
    assert head.own_launch(replace(layer, n=2**20), config).constants["WIDE"]


@pytest.mark.parametrize("config", [ONE, TWO], ids=str)
def test_rows_do_not_depend_on_the_batch(config) -> None:
    layer = fc(3, 7, 5, 70, 37, dtype="fp16")
    operands, out = given_to(layer), head.output(layer, "cpu")
    head.launch(layer, config, operands, out)
    for n in range(3):
        alone = head.output(replace(layer, n=1), "cpu")
        head.launch(replace(layer, n=1), config, replace(operands, x=operands.x[n : n + 1]), alone)
        assert torch.equal(alone[0], out[n])


@pytest.mark.parametrize("config", [None, ONE, TWO])
@pytest.mark.parametrize("prologue", [True, False])
def test_the_op_is_the_kernel(config, prologue, monkeypatch) -> None:
    seen, real = [], head.launch
    monkeypatch.setattr(head, "launch", lambda layer, config, *rest: (seen.append(config), real(layer, config, *rest)))
    torch.manual_seed(0)
    linear = nn.Linear(40, 24)
    x = torch.randn(2, 40, 7, 5).contiguous(memory_format=torch.channels_last)
    affine = (torch.rand(40) + 0.5, torch.randn(40)) if prologue else None
    packed = pack_linear(linear.weight, linear.bias)
    got = pool_linear(x, packed, affine, config=config)
    out = torch.empty_like(got).fill_(torch.nan)
    assert pool_linear(x, packed, affine, out, config) is out
    a = F.relu(x * affine[0][:, None, None] + affine[1][:, None, None]) if affine else x
    torch.testing.assert_close(got, linear(a.mean((2, 3))).detach(), atol=1e-5, rtol=0)
    assert torch.equal(got, out)
    assert len(seen) == 2
    assert config is None or seen == [config, config]


def test_bf16_is_not_interpreted(monkeypatch) -> None:
    monkeypatch.setattr(head, "launch", None)
    x = torch.randn(1, 16, 7, 7).to(torch.bfloat16, memory_format=torch.channels_last)
    pool_linear(x, pack_linear(torch.randn(8, 16), None, torch.bfloat16))


@pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations
def test_the_interpreted_op_compiles_and_exports() -> None:
    torch.manual_seed(0)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.packed = pack_linear(torch.randn(8, 32), torch.randn(8))

        def forward(self, x):
            return pool_linear(x, self.packed)

    net, x = Network(), torch.randn(2, 32, 7, 5).contiguous(memory_format=torch.channels_last)
    want = net(x)
    assert torch.equal(torch.compile(net, fullgraph=True)(x), want)
    assert torch.equal(torch.export.export(net, (x,)).module()(x), want)
