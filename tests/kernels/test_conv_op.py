"""The op around the kernels, on a CPU: right numbers from aten, one node to every compiler, and clear refusals."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels import Config, conv_bias_act, pack

OP, OP_OUT = torch.ops.resnet_bench.conv_bias_act.default, torch.ops.resnet_bench.conv_bias_act_out.default


def channels_last(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape).to(dtype, memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("relu", [True, False])
def test_everything_at_once_against_torch(dtype, relu) -> None:
    conv, projection = nn.Conv2d(20, 24, 3, 2, 1), nn.Conv2d(7, 24, 1, 2)
    packed = pack(conv.weight, conv.bias, dtype, second=(projection.weight, projection.bias))
    x, x2, residual = (channels_last(2, c, *size, dtype=dtype) for c, size in ((20, (9, 8)), (7, (9, 8)), (24, (5, 4))))
    scale, shift = torch.rand(20) + 0.5, torch.randn(20)
    got = conv_bias_act(x, packed, 2, 1, residual, relu, (x2, 2), (scale, shift))
    out = channels_last(2, 24, 5, 4, dtype=dtype)
    assert conv_bias_act(x, packed, 2, 1, residual, relu, (x2, 2), (scale, shift), out=out) is out
    activated = F.relu(x.double() * scale[:, None, None] + shift[:, None, None])
    with torch.no_grad():
        want = conv.double()(activated) + projection.double()(x2.double()) + residual.double()
    want = F.relu(want) if relu else want
    # the weights and the activated input are rounded to dtype, the output once more
    tolerance = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    assert float((got.double() - want).abs().max()) < tolerance * float(want.abs().max())
    assert torch.equal(got, out)
    assert got.dtype == dtype


@pytest.mark.parametrize(
    "shape",
    [(2, 16, 6, 5), (1, 16, 6, 5), (2, 1, 6, 5), (2, 16, 1, 1), (1, 16, 1, 5), (1, 1, 1, 1), (0, 16, 6, 5)],
    ids=str,
)
@pytest.mark.parametrize("k", [8, 1])
def test_strides_are_the_same_traced_and_run(shape, k) -> None:
    packed = pack(torch.randn(k, shape[1], 1, 1))
    x = channels_last(*shape)
    got = conv_bias_act(x, packed)
    args = (x, packed.weight, packed.bias, None, None, None, None, [1, 1, 1, 0, 1], True, "fp32", "")
    with torch._subclasses.FakeTensorMode() as mode:
        fake = OP(*(mode.from_tensor(arg) if isinstance(arg, Tensor) else arg for arg in args))
    n, _, h, w = shape
    assert got.stride() == fake.stride() == (h * w * k, 1, w * k, k)
    assert got.shape == fake.shape == (n, k, h, w)


@pytest.mark.parametrize("n", [1])
@pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations
def test_opcheck(n) -> None:
    packed = pack(torch.randn(24, 16, 3, 3), None, second=(torch.randn(24, 8, 1, 1), None))
    x, x2, residual = channels_last(n, 16, 9, 7), channels_last(n, 8, 9, 7), channels_last(n, 24, 5, 4)
    scale, shift = torch.rand(16), torch.randn(16)
    geometry = [3, 3, 2, 1, 2]
    args = (x, packed.weight, packed.bias, residual, x2, scale, shift, geometry, True, "fp32", "")
    for op, given in ((OP, args), (OP_OUT, (*args, torch.empty_like(residual)))):
        assert set(torch.library.opcheck(op, given).values()) == {"SUCCESS"}


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = pack(torch.randn(8, 16, 3, 3)), pack(torch.randn(16, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return conv_bias_act(conv_bias_act(x, self.first, padding=1), self.last, residual=x)


@pytest.mark.filterwarnings("default")
def test_compile_keeps_it_whole_and_keeps_strides() -> None:
    net, x = Block(), channels_last(3, 16, 6, 5)
    compiled = torch.compile(net, fullgraph=True)
    got = compiled(x)
    assert torch.equal(got, net(x))
    assert got.stride() == net(x).stride()

    def into(x: Tensor, out: Tensor) -> Tensor:
        return conv_bias_act(x, net.last, relu=False, out=out) + 1

    inner, out = channels_last(3, 8, 6, 5), channels_last(3, 16, 6, 5)
    got = torch.compile(into, fullgraph=True)(inner, out)
    assert torch.equal(out, conv_bias_act(inner, net.last, relu=False))
    assert torch.equal(got, out + 1)


def test_export_is_one_node_for_any_batch() -> None:
    net = Block()
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(net, (channels_last(3, 16, 6, 5),), dynamic_shapes=({0: batch},))
    calls = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    assert calls == [OP, OP]
    for n in (1, 5):
        x = channels_last(n, 16, 6, 5)
        assert torch.equal(exported.module()(x), net(x))


def test_a_view_into_a_batch_is_read_where_it_lies() -> None:
    packed, x = pack(torch.randn(8, 16, 3, 3)), channels_last(5, 16, 6, 5)
    assert torch.equal(conv_bias_act(x[1:4], packed), conv_bias_act(x, packed)[1:4])


GIVEN = {"x": channels_last(2, 16, 6, 5), "stride": 1, "padding": 1}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"x": channels_last(2, 16, 1, 1), "padding": 0}, "x: 1 x 1 pixels"),
        ({"stride": 0}, "stride: 0"),
        ({"padding": -1}, "padding: -1"),
        ({"residual": channels_last(2, 8, 6, 4)}, "residual: "),
        ({"residual": channels_last(2, 8, 6, 5).to("meta")}, "residual: torch.float32 on meta"),
        ({"residual": torch.randn(2, 8, 6, 5)}, "residual: strides"),
        ({"residual": channels_last(2, 8, 6, 5, dtype=torch.float16)}, "residual: torch.float16"),
        ({"out": channels_last(2, 8, 5, 5)}, "out: "),
        ({"out": torch.randn(2, 8, 6, 5)}, "out: strides"),
        ({"second": (channels_last(2, 4, 6, 5), 1)}, "second: given"),
        ({"prologue": (torch.randn(8), torch.randn(16))}, "prologue: torch.float32"),
        ({"prologue": (1.0, 0.0)}, "prologue: not the two tensors"),
        ({"residual": 3.0}, "residual: of type float"),
        ({"prologue": (torch.randn(16).half(), torch.randn(16))}, "prologue: torch.float16"),
        ({"prologue": (torch.randn(32)[::2], torch.randn(16))}, "prologue: not contiguous"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused_by_name(wrong, named) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        conv_bias_act(**{**GIVEN, "packed": pack(torch.randn(8, 16, 3, 3)), **wrong})


@pytest.mark.parametrize(
    ("second", "named"),
    [
        (None, "second: missing"),
        ((channels_last(2, 5, 6, 5), 1), "second: "),
        ((channels_last(1, 4, 6, 5), 1), "second: "),
        ((channels_last(2, 4, 12, 12), 2), r"second: \[12, 12\] at stride 2"),
        ((channels_last(2, 4, 6, 5), 0), "second: a stride of 0"),
        ((torch.randn(2, 4, 6, 5), 1), "second: strides"),
    ],
)
def test_a_second_operand_that_does_not_fit_is_refused(second, named) -> None:
    packed = pack(torch.randn(8, 16, 3, 3), second=(torch.randn(8, 4, 1, 1), None))
    with pytest.raises(ValueError, match=f"^{named}"):
        conv_bias_act(**GIVEN, packed=packed, second=second)


def test_a_configuration_is_no_business_of_aten() -> None:
    packed = pack(torch.randn(8, 16, 3, 3))
    config = Config("ptr", 64, 64, 32, 4, 3)
    assert torch.allclose(conv_bias_act(**GIVEN, packed=packed, config=config), conv_bias_act(**GIVEN, packed=packed))
