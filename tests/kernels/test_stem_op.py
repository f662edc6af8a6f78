"""The stem as a torch op, on a CPU."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels import conv_bias_relu_pool, pack, widen
from tests.kernels.stems import packed, pooled

OP, OP_OUT = torch.ops.resnet_bench.conv_bias_relu_pool.default, torch.ops.resnet_bench.conv_bias_relu_pool_out.default


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("relu", [True, False])
def test_against_torch(dtype, relu, channels_last) -> None:
    conv = nn.Conv2d(3, 24, 7, 2, 3)
    x = channels_last(2, 3, 21, 18, dtype=dtype)
    weights = widen(pack(conv.weight, conv.bias, dtype))
    got = conv_bias_relu_pool(x, weights, relu=relu)
    out = torch.empty_like(got)
    assert conv_bias_relu_pool(x, weights, relu=relu, out=out) is out
    with torch.no_grad():
        y = conv.double()(x.double())
    want = pooled(F.relu(y) if relu else y)
    tolerance = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    assert float((got.double() - want).abs().max()) < tolerance * float(want.abs().max())
    assert torch.equal(got, out)
    assert got.dtype == dtype


@pytest.mark.parametrize("shape", [(2, 3, 21, 18), (1, 3, 7, 7), (2, 3, 1, 1), (0, 3, 9, 9)], ids=str)
@pytest.mark.parametrize("k", [8, 1])
def test_strides_are_the_same_traced_and_run(shape, k, channels_last) -> None:
    weights, x = packed(k), channels_last(*shape)
    got = conv_bias_relu_pool(x, weights)
    args = (x, weights.weight, weights.bias, [7, 7, 2, 3], True, "fp32", "")
    with torch._subclasses.FakeTensorMode() as mode:
        fake = OP(*(mode.from_tensor(arg) if isinstance(arg, Tensor) else arg for arg in args))
    h, w = got.shape[2:]
    assert got.stride() == fake.stride() == (h * w * k, 1, w * k, k)
    assert got.shape == fake.shape


@pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations
def test_opcheck(channels_last) -> None:
    n = 2
    weights, x = packed(), channels_last(n, 3, 21, 18)
    args = (x, weights.weight, weights.bias, [7, 7, 2, 3], True, "fp32", "")
    for op, given_args in ((OP, args), (OP_OUT, (*args, channels_last(n, 8, 6, 5)))):
        assert set(torch.library.opcheck(op, given_args).values()) == {"SUCCESS"}


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.packed = packed()

    def forward(self, x: Tensor) -> Tensor:
        return conv_bias_relu_pool(x, self.packed)


@pytest.mark.filterwarnings("default")
def test_compile_keeps_it_whole(channels_last) -> None:
    net, x = Network(), channels_last(3, 3, 21, 18)
    got = torch.compile(net, fullgraph=True)(x)
    assert torch.equal(got, net(x))
    assert got.stride() == net(x).stride()

    def into(x: Tensor, out: Tensor) -> Tensor:
        return conv_bias_relu_pool(x, net.packed, relu=False, out=out) + 1

    out = channels_last(3, 8, 6, 5)
    got = torch.compile(into, fullgraph=True)(x, out)
    assert torch.equal(out, conv_bias_relu_pool(x, net.packed, relu=False))
    assert torch.equal(got, out + 1)


def test_export_is_one_node_for_any_batch(channels_last) -> None:
    net = Network()
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(net, (channels_last(3, 3, 21, 18),), dynamic_shapes=({0: batch},))
    assert [node.target for node in exported.graph.nodes if node.op == "call_function"] == [OP]
    for n in (1, 5):
        x = channels_last(n, 3, 21, 18)
        assert torch.equal(exported.module()(x), net(x))


def test_a_view_into_a_batch_is_read_where_it_lies(channels_last) -> None:
    weights, x = packed(), channels_last(5, 3, 21, 18)
    assert torch.equal(conv_bias_relu_pool(x[1:4], weights), conv_bias_relu_pool(x, weights)[1:4])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"packed": pack(torch.randn(8, 3, 7, 7))}, "packed: a Packed, not what kernels.widen returns"),
        ({"out": torch.empty(2, 8, 6, 4).to(memory_format=torch.channels_last)}, r"out: \[2, 8, 6, 4\], not"),
        ({"out": torch.randn(2, 8, 6, 5)}, "out: strides"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused_by_name(wrong, named, channels_last) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        conv_bias_relu_pool(**{"x": channels_last(2, 3, 21, 18), "packed": packed(), **wrong})


@pytest.mark.parametrize(
    ("weights", "sizes", "named"),
    [
        (torch.randn(8, 3, 7, 7), {}, "packed: a Tensor"),
        (pack(torch.randn(8, 16, 3, 3)), {}, "packed: 16 channels"),
        (pack(torch.randn(8, 3, 1, 1), second=(torch.randn(8, 4, 1, 1), None)), {}, "packed: 3 channels and 4"),
        (pack(torch.randn(8, 3, 7, 7)), {"stride": 0}, "stride, padding: 0"),
        (pack(torch.randn(8, 3, 7, 7)), {"padding": -1}, "stride, padding: 2, -1"),
    ],
)
def test_what_is_no_stem_is_not_widened(weights, sizes, named) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        widen(weights, **sizes)


def test_widened_weights_hold_the_window_twice() -> None:
    weight = torch.randn(5, 3, 7, 7)
    wide = widen(pack(weight)).weight.view(5, 2, 7, 32)
    rows = weight.permute(0, 2, 3, 1).reshape(5, 7, 21)
    assert torch.equal(wide[:, 0, :, 3:24], rows)
    assert torch.equal(wide[:, 1, :, 9:30], rows)
    assert wide.count_nonzero() == 2 * weight.numel()


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
def test_compiles_and_exports_on_a_gpu(channels_last) -> None:
    net, x = Network().cuda(), channels_last(3, 3, 64, 50).cuda()
    want = net(x)
    assert torch.equal(torch.compile(net, fullgraph=True)(x), want)
    assert torch.equal(torch.export.export(net, (x,)).module()(x), want)
