"""Every path of the kernels against float64, on small odd shapes: programs times steps stay under 200 a case."""

import copy
from math import prod

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from kernels import (
    Config,
    Layer,
    conv,
    conv_bias_act,
    conv_bias_relu_pool,
    conv_tma,
    pack,
    pack_linear,
    pool_linear,
    widen,
)
from kernels.launch import INTERPRETED, empty_output
from kernels.space.fit import incompatibility_reason
from kernels.space.tiling import channel_tiles, depth_steps, row_tiles


def ptr(m: int = 32, n: int = 32, k: int = 32, **others: int) -> Config:
    return Config("ptr", m, n, k, 4, 3, **others)


def tma(box: tuple[int, int, int], n: int = 32, k: int = 32, **others: int) -> Config:
    return Config("tma", prod(box), n, k, 4, 3, box, **others)


CASES = {
    "3x3": (Layer(2, 9, 7, 32, 64, (3, 3), 1, 1), ptr(64, 64)),
    "3x3 stride 2, odd size": (Layer(2, 9, 7, 32, 64, (3, 3), 2, 1, residual=True), ptr()),
    "1x1": (Layer(3, 7, 5, 64, 96, (1, 1), residual=True), ptr()),
    "1x1 stride 2": (Layer(2, 9, 8, 32, 64, (1, 1), 2), ptr()),
    "7x7 over 3 channels": (Layer(1, 15, 13, 3, 64, (7, 7), 2, 3), ptr(32, 64)),
    "7x7 over 3 channels, depth split": (Layer(1, 15, 13, 3, 64, (7, 7), 2, 3), ptr(32, 64, 16, split_k=3)),
    "1 channel": (Layer(2, 11, 6, 1, 17, (5, 5), 1, 2), ptr()),
    "few channels, no padding": (Layer(1, 8, 9, 5, 16, (3, 3)), ptr()),
    "prime sizes": (Layer(1, 11, 7, 37, 61, (3, 3), 1, 1, residual=True, relu=False), ptr()),
    "wide window": (Layer(1, 7, 9, 24, 32, (1, 5), 1, 2), ptr()),
    "stride 3": (Layer(1, 13, 10, 32, 32, (3, 3), 3, 1), ptr()),
    "more padding than window": (Layer(1, 4, 5, 32, 32, (3, 3), 1, 4), ptr()),
    "one pixel": (Layer(1, 1, 1, 64, 64, (1, 1)), ptr(16)),
    "one pixel, 3x3": (Layer(1, 1, 1, 64, 64, (3, 3), 1, 1), ptr(16)),
    "rows grouped": (Layer(1, 12, 9, 16, 96, (3, 3), 1, 1), ptr(k=16, group_m=3)),
    "depth split": (Layer(1, 7, 7, 128, 64, (3, 3), 1, 1, residual=True), ptr(64, 64, split_k=5)),
    "depth split past the end": (Layer(1, 7, 7, 32, 64, (3, 3), 1, 1), ptr(64, 64, split_k=8)),
    "second": (Layer(2, 8, 7, 32, 64, (1, 1), second=(8, 7, 48, 1)), ptr()),
    "second stride 2, odd size": (Layer(1, 8, 7, 40, 64, (1, 1), second=(15, 14, 24, 2), residual=True), ptr()),
    "second after 3x3": (Layer(1, 8, 7, 32, 64, (3, 3), 1, 1, second=(8, 7, 32, 1)), ptr(64, 64)),
    "second, depth split": (Layer(1, 8, 7, 64, 64, (1, 1), second=(16, 14, 96, 2)), ptr(split_k=3)),
    "prologue, 1x1": (Layer(2, 7, 5, 64, 32, (1, 1), prologue=True), ptr()),
    "prologue, padding": (Layer(2, 7, 5, 32, 32, (3, 3), 1, 1, prologue=True, relu=False), ptr()),
    "prologue, stride 2, tails": (Layer(1, 9, 7, 37, 29, (3, 3), 2, 1, prologue=True, residual=True), ptr()),
    "prologue, few channels": (Layer(1, 9, 7, 6, 32, (3, 3), 1, 1, prologue=True), ptr()),
    "prologue, second, split": (
        Layer(1, 8, 8, 64, 32, (3, 3), 1, 1, prologue=True, second=(8, 8, 32, 1)),
        ptr(split_k=4),
    ),
    "tma 3x3": (Layer(3, 9, 7, 32, 64, (3, 3), 1, 1), tma((2, 4, 8), 64)),
    "tma 3x3 in rows": (Layer(1, 5, 30, 32, 32, (3, 3), 1, 1, residual=True), tma((1, 1, 32))),
    "tma 3x3, tails": (Layer(3, 9, 7, 40, 72, (3, 3), 1, 1, residual=True), tma((4, 4, 8), 64)),
    "tma 3x3 stride 2": (Layer(3, 10, 6, 32, 64, (3, 3), 2, 1, residual=True), tma((2, 4, 4))),
    "tma 1x1": (Layer(3, 7, 5, 64, 96, (1, 1), residual=True), tma((1, 1, 32))),
    "tma 1x1, tails": (Layer(3, 7, 5, 24, 40, (1, 1), relu=False), tma((1, 1, 64))),
    "tma 1x1 stride 2": (Layer(2, 14, 16, 32, 64, (1, 1), 2), tma((2, 4, 8))),
    "tma 5x5 stride 2": (Layer(1, 10, 12, 32, 32, (5, 5), 2, 2), tma((1, 4, 8))),
    "tma second": (Layer(2, 8, 7, 32, 64, (1, 1), second=(8, 7, 48, 1), residual=True), tma((1, 1, 32))),
    "tma second stride 2": (Layer(2, 8, 8, 32, 64, (1, 1), second=(16, 16, 24, 2)), tma((2, 4, 8), 64)),
    "tma depth split": (Layer(2, 7, 7, 64, 64, (3, 3), 1, 1, residual=True), tma((2, 4, 8), 64, split_k=4)),
    "tma second, depth split": (
        Layer(2, 8, 8, 32, 64, (1, 1), second=(16, 16, 48, 2), residual=True),
        tma((2, 4, 8), 64, 16, split_k=3),
    ),
}


def cost(layer: Layer, config: Config) -> int:
    return row_tiles(layer, config) * channel_tiles(layer, config) * sum(depth_steps(layer, config))


@pytest.mark.parametrize(
    ("name", "dtype"),
    # each path in one of both, and in both what rounds in a way of its own
    [(name, ("fp32", "fp16")[place % 2]) for place, name in enumerate(CASES)]
    + [(name, dtype) for name in ("3x3", "prologue, padding", "tma 3x3") for dtype in ("fp32", "fp16")]
    + [(name, "tf32") for name in ("1x1", "second, depth split", "prologue, padding", "7x7 over 3 channels")],
)
def test_agrees_with_float64(name, dtype, check) -> None:
    layer, config = CASES[name]
    assert cost(layer, config) <= 200
    # the interpreter multiplies tf32 as float32; the bulk kernel has no other 32-bit form
    dtype = "tf32" if dtype == "fp32" and config.impl == "tma" else dtype
    layer = Layer(**{**_fields(layer), "dtype": dtype})
    assert incompatibility_reason(layer, config) is None
    check(layer, config)


def _fields(layer: Layer) -> dict[str, object]:
    return {name: getattr(layer, name) for name in Layer.__dataclass_fields__}


@st.composite
def layers(draw) -> tuple[Layer, Config]:
    side = draw(st.sampled_from([1, 2, 3, 5]))
    kernel = (side, draw(st.sampled_from([side, side, 3])))
    stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    least = [max(1, k - 2 * padding) for k in kernel]
    h, w = (draw(st.integers(low, low + 9)) for low in least)
    layer = Layer(
        *(draw(st.integers(1, 3)), h, w, draw(st.integers(1, 70)), draw(st.integers(1, 70)), kernel, stride, padding),
        *(draw(st.booleans()), draw(st.booleans())),
        prologue=draw(st.booleans()),
        dtype=draw(st.sampled_from(["fp32", "fp16"])),
    )
    if draw(st.booleans()):
        stride2 = draw(st.integers(1, 2))
        h2, w2 = (size * stride2 - draw(st.integers(0, stride2 - 1)) for size in (layer.out_h, layer.out_w))
        layer = Layer(**{**_fields(layer), "second": (h2, w2, draw(st.integers(1, 40)), stride2)})
    sizes = (draw(st.sampled_from([16, 32, 64])) for _ in range(3))
    config = ptr(*sizes, split_k=draw(st.sampled_from([1, 1, 2, 3])), group_m=draw(st.integers(1, 8)))
    return layer, config


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(layers())
def test_any_layer_agrees_with_float64(check, drawn) -> None:
    layer, config = drawn
    assume(incompatibility_reason(layer, config) is None and cost(layer, config) <= 200)
    check(layer, config)


@st.composite
def bulk_layers(draw) -> tuple[Layer, Config]:
    stride = draw(st.sampled_from([1, 1, 2]))
    k = draw(st.sampled_from([16, 32]))
    c = draw(st.sampled_from([16, 32, 64]) if stride == 2 else st.sampled_from([16, 24, 40, 64]))
    side = draw(st.sampled_from([1, 3]))
    layer = Layer(
        *(draw(st.integers(1, 3)), stride * draw(st.integers(2, 6)), stride * draw(st.integers(2, 6)), c),
        *(draw(st.sampled_from([16, 24, 40])), (side, side), stride, side // 2),
        *(draw(st.booleans()), draw(st.booleans())),
        dtype=draw(st.sampled_from(["tf32", "fp16"])),
    )
    box = draw(st.sampled_from([(1, 1, 16), (2, 2, 4), (1, 4, 8), (2, 4, 4)]))
    return layer, tma(box, draw(st.sampled_from([16, 32])), k, split_k=draw(st.sampled_from([1, 2])))


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(bulk_layers())
def test_any_layer_by_bulk_copies_agrees_with_float64(check, drawn) -> None:
    layer, config = drawn
    assume(incompatibility_reason(layer, config) is None and cost(layer, config) <= 200)
    check(layer, config)


@pytest.mark.parametrize("name", ["3x3", "second, depth split", "7x7 over 3 channels"])
def test_64_bit_offsets_make_the_same_numbers(name, check, monkeypatch) -> None:
    layer, config = CASES[name]
    want = check(layer, config)
    for made in (conv.conv_launch, conv.reduce_launch):
        monkeypatch.setattr(conv, made.__name__, made.__wrapped__)
    monkeypatch.setattr(conv, "needs_64_bit", lambda *_: True)
    assert torch.equal(check(layer, config), want)


@pytest.mark.parametrize("name", ["depth split", "tma second, depth split"])
def test_partial_sums_go_where_they_are_told(name, operands, check) -> None:
    layer, config = CASES[name]
    size = conv.scratch_bytes(layer, config)
    scratch = torch.full((size + 8,), 255, dtype=torch.uint8)
    out = empty_output(layer, "cpu").fill_(torch.nan)
    module = conv_tma if config.impl == "tma" else conv
    for step, arguments in module.calls(layer, config, operands(layer), out, scratch):
        step.enqueue(*arguments)
    assert torch.equal(out, check(layer, config))
    assert scratch[:size].view(torch.float32).isfinite().all()
    assert (scratch[size:] == 255).all()


@pytest.fixture
def interpreted_calls(monkeypatch):
    """The configurations that the op launched."""
    seen = []
    for module in (conv, conv_tma):
        monkeypatch.setattr(
            module,
            "calls",
            lambda layer, config, *rest, real=module.calls: seen.append(config) or real(layer, config, *rest),
        )
    return seen


@pytest.mark.parametrize("config", [None, ptr(), tma((1, 4, 8))])
def test_the_op_is_the_kernel(config, interpreted_calls, channels_last) -> None:
    layer = nn.Conv2d(32, 48, 3, 2, 1)
    tf32 = config is not None and config.impl == "tma"
    packed = pack(layer.weight, layer.bias, tf32=tf32)
    x, residual = channels_last(2, 32, 10, 12), channels_last(2, 48, 5, 6)
    out = channels_last(2, 48, 5, 6)
    got = conv_bias_act(x, packed, 2, 1, residual, config=config)
    conv_bias_act(x, packed, 2, 1, residual, out=out, config=config)
    want = F.relu(layer(x) + residual).detach()
    torch.testing.assert_close(got, want, atol=2e-3 if tf32 else 1e-5, rtol=0)
    assert torch.equal(got, out)
    assert len(interpreted_calls) == 2
    assert config is None or interpreted_calls == [config, config]


@pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations
def test_the_interpreted_ops_compile_and_export(channels_last) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = widen(pack(torch.randn(16, 3, 7, 7), torch.randn(16)))
            self.conv = pack(torch.randn(16, 16, 3, 3), torch.randn(16))
            self.head = pack_linear(torch.randn(8, 16), torch.randn(8))

        def forward(self, x):
            return pool_linear(conv_bias_act(conv_bias_relu_pool(x, self.stem), self.conv, padding=1), self.head)

    net, x = Network(), channels_last(2, 3, 15, 13)
    want = net(x)
    assert torch.equal(torch.compile(net, fullgraph=True)(x), want)
    assert torch.equal(torch.export.export(net, (x,)).module()(x), want)


def test_a_configuration_that_does_not_fit_is_refused(channels_last) -> None:
    packed = pack(torch.randn(16, 16, 1, 1))
    for config in (tma((1, 1, 32)), ptr(split_k=2)):
        with pytest.raises(ValueError, match=r"^config: "):
            conv_bias_act(channels_last(1, 16, 4, 4), packed, config=config)


def test_bf16_is_computed_by_aten(interpreted_calls, channels_last) -> None:
    """The interpreter would multiply it wrong, and silently."""
    weight, x = torch.randn(16, 16, 1, 1) / 4, channels_last(1, 16, 4, 4, dtype=torch.bfloat16)
    got = conv_bias_act(x, pack(weight, None, torch.bfloat16))
    assert interpreted_calls == []
    want = F.relu(F.conv2d(x.float(), weight.bfloat16().float()))
    torch.testing.assert_close(got.float(), want, atol=2**-8, rtol=2**-7)


@torch.no_grad()
def test_a_block_of_a_resnet(channels_last) -> None:
    """1x1, strided 3x3, and the last 1x1 with the projection in its accumulator, against the modules they replace."""
    convs = [nn.Conv2d(16, 8, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 32, 1), nn.Conv2d(16, 32, 1, 2)]
    last, projection = convs[2:]
    x = channels_last(2, 16, 9, 9)
    packed = [pack(c.weight, c.bias) for c in convs[:2]]
    packed.append(pack(last.weight, last.bias, second=(projection.weight, projection.bias)))
    y = conv_bias_act(x, packed[0])
    y = conv_bias_act(y, packed[1], 2, 1)
    y = conv_bias_act(y, packed[2], second=(x, 2))
    exact = [copy.deepcopy(c).double() for c in convs]
    inner = exact[2](F.relu(exact[1](F.relu(exact[0](x.double())))))
    want = F.relu(inner + exact[3](x.double()))
    assert float((y.double() - want).abs().max()) < 4e-6 * float(want.abs().max())
    assert INTERPRETED
