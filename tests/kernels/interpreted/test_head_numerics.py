"""Average and fully connected layer against float64 on small odd shapes, in one kernel and in two."""

from dataclasses import replace
from math import ceil

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from kernels import Config, Layer, head, pack_linear, pool_linear
from kernels.launch import empty_output, launch_layer
from kernels.space import head as head_space
from kernels.space.tiling import channel_tiles, depth_steps, linear_layer, row_tiles

ONE = Config("ptr", 1, 16, 64, 4, 2)
TWO = Config("ptr", 16, 32, 32, 4, 2)
SPLIT = replace(TWO, split_k=2)
BULK = Config("tma", 16, 32, 32, 4, 2, box=(1, 1, 16))


def fc(*sizes: int, **others: object) -> Layer:
    n, h, w, c, classes = sizes
    return Layer(n, h, w, c, classes, (1, 1), relu=False, mean=True, **others)


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


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16"])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_float64(name, dtype, check) -> None:
    layer, config = CASES[name]
    layer = replace(layer, dtype="tf32" if dtype == "fp32" and config.impl == "tma" else dtype)
    assert head_space.rejection_reason(layer, config, 80) is None
    check(layer, config)


def cost(layer: Layer, config: Config) -> int:
    if config.block_m == 1:
        blocks = ceil(layer.h * layer.w / 64)
        return layer.n * ceil(layer.c_out / config.block_n) * ceil(layer.c_in / config.block_k) * blocks
    second = linear_layer(layer)
    return layer.n * ceil(layer.c_in / 64) + row_tiles(second, config) * channel_tiles(second, config) * sum(
        depth_steps(second, config)
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


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(heads())
def test_any_head_agrees_with_float64(check, drawn) -> None:
    layer, config = drawn
    assume(cost(layer, config) <= 200)
    check(layer, config)


@pytest.mark.parametrize("config", [ONE, TWO], ids=str)
def test_64_bit_offsets_make_the_same_numbers(config, operands, check) -> None:
    layer = fc(2, 7, 5, 70, 37)
    given, out = operands(layer), empty_output(layer, "cpu").fill_(torch.nan)
    for step, arguments in head.calls(layer, config, given, out):
        assert not step.constants["WIDE"]
        replace(step, constants={**step.constants, "WIDE": True}).enqueue(*arguments)
    assert torch.equal(out, check(layer, config))
    assert head.head_launch(replace(layer, n=2**20), config).constants["WIDE"]


@pytest.mark.parametrize("config", [SPLIT, replace(BULK, split_k=2)], ids=str)
def test_what_two_kernels_pass_on_goes_where_it_is_told(config, operands, check) -> None:
    layer = fc(3, 7, 5, 72, 40, dtype="fp16")
    size = head.scratch_bytes(layer, config)
    assert size == 3 * 72 * 2 + 4 * 2 * 3 * 40
    assert head.scratch_bytes(layer, ONE) == 0
    scratch = torch.full((size + 8,), 255, dtype=torch.uint8)
    out = empty_output(layer, "cpu").fill_(torch.nan)
    for step, arguments in head.calls(layer, config, operands(layer), out, scratch):
        step.enqueue(*arguments)
    assert torch.equal(out, check(layer, config))
    assert scratch[: 3 * 72 * 2].view(torch.float16).isfinite().all()
    assert scratch[3 * 72 * 2 : size].view(torch.float32).isfinite().all()
    assert (scratch[size:] == 255).all()


@pytest.mark.parametrize("config", [ONE, TWO], ids=str)
def test_rows_do_not_depend_on_the_batch(config, operands) -> None:
    layer = fc(3, 7, 5, 70, 37, dtype="fp16")
    given, out = operands(layer), empty_output(layer, "cpu")
    launch_layer(layer, config, given, out)
    for n in range(3):
        alone = empty_output(replace(layer, n=1), "cpu")
        launch_layer(replace(layer, n=1), config, replace(given, x=given.x[n : n + 1]), alone)
        assert torch.equal(alone[0], out[n])


@pytest.mark.parametrize("config", [None, ONE, TWO])
@pytest.mark.parametrize("prologue", [True, False])
def test_the_op_is_the_kernel(config, prologue, monkeypatch, channels_last) -> None:
    seen, real = [], head.calls
    monkeypatch.setattr(head, "calls", lambda layer, config, *rest: seen.append(config) or real(layer, config, *rest))
    linear = nn.Linear(40, 24)
    x = channels_last(2, 40, 7, 5)
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


def test_bf16_is_computed_by_aten(monkeypatch, channels_last) -> None:
    """The interpreter would multiply it wrong, and silently."""
    monkeypatch.setattr(head, "calls", None)
    linear = nn.Linear(16, 8)
    x = channels_last(1, 16, 7, 7, dtype=torch.bfloat16)
    got = pool_linear(x, pack_linear(linear.weight, linear.bias, torch.bfloat16))
    want = x.float().mean((2, 3)) @ linear.weight.bfloat16().float().T + linear.bias
    torch.testing.assert_close(got.float(), want.detach(), atol=2**-8, rtol=2**-7)
