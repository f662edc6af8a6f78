"""The head as a torch op, on a CPU."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels import Layer, pack, pack_linear, pool_linear

OP, OP_OUT = torch.ops.resnet_bench.pool_linear.default, torch.ops.resnet_bench.pool_linear_out.default
HEAD = Layer(32, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("prologue", [True, False])
def test_against_torch(dtype, prologue, channels_last) -> None:
    linear = nn.Linear(40, 24)
    x = channels_last(3, 40, 7, 5, dtype=dtype)
    affine = (torch.rand(40) + 0.5, torch.randn(40)) if prologue else None
    packed = pack_linear(linear.weight, linear.bias, dtype)
    got = pool_linear(x, packed, affine)
    out = torch.empty_like(got)
    assert pool_linear(x, packed, affine, out=out) is out
    a = x.double()
    if affine:
        a = F.relu(a * affine[0][:, None, None] + affine[1][:, None, None])
    with torch.no_grad():
        want = linear.double()(a.mean((2, 3)))
    tolerance = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    assert float((got.double() - want).abs().max()) < tolerance * float(want.abs().max())
    assert torch.equal(got, out)
    assert (got.dtype, got.shape, got.is_contiguous()) == (dtype, (3, 24), True)


@pytest.mark.parametrize("shape", [(1, 16, 7, 7), (3, 16, 1, 1), (2, 1, 5, 3), (0, 16, 7, 7)], ids=str)
def test_traced_and_run_alike(shape, channels_last) -> None:
    packed, x = pack_linear(torch.randn(8, shape[1]), None), channels_last(*shape)
    got = pool_linear(x, packed)
    with torch._subclasses.FakeTensorMode() as mode:
        fake = OP(*map(mode.from_tensor, (x, packed.weight, packed.bias)), None, None, "fp32", "")
    assert (got.shape, got.stride(), got.dtype) == (fake.shape, fake.stride(), fake.dtype)
    assert got.shape == (shape[0], 8)


@pytest.mark.parametrize("prologue", [True, False])
@pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations
def test_opcheck(prologue, channels_last) -> None:
    packed, x = pack_linear(torch.randn(8, 16), torch.randn(8)), channels_last(2, 16, 7, 5)
    affine = (torch.rand(16), torch.randn(16)) if prologue else (None, None)
    args = (x, packed.weight, packed.bias, *affine, "fp32", "")
    for op, given in ((OP, args), (OP_OUT, (*args, torch.empty(2, 8)))):
        assert set(torch.library.opcheck(op, given).values()) == {"SUCCESS"}


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.packed = pack_linear(torch.randn(8, 16), torch.randn(8))
        self.register_buffer("scale", torch.rand(16) + 0.5)
        self.register_buffer("shift", torch.randn(16))

    def forward(self, x: Tensor) -> Tensor:
        return pool_linear(x, self.packed, (self.scale, self.shift))


@pytest.mark.filterwarnings("default")
def test_compile_keeps_it_whole(channels_last) -> None:
    net, x = Network(), channels_last(3, 16, 7, 5)
    assert torch.equal(torch.compile(net, fullgraph=True)(x), net(x))

    def into(x: Tensor, out: Tensor) -> Tensor:
        return pool_linear(x, net.packed, out=out) + 1

    out = torch.empty(3, 8)
    got = torch.compile(into, fullgraph=True)(x, out)
    assert torch.equal(out, pool_linear(x, net.packed))
    assert torch.equal(got, out + 1)


def test_export_is_one_node_for_any_batch(channels_last) -> None:
    net = Network()
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(net, (channels_last(3, 16, 7, 5),), dynamic_shapes=({0: batch},))
    assert [node.target for node in exported.graph.nodes if node.op == "call_function"] == [OP]
    for n in (1, 5):
        x = channels_last(n, 16, 7, 5)
        assert torch.equal(exported.module()(x), net(x))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"packed": pack(torch.randn(8, 16, 3, 3))}, "packed: a Packed"),
        ({"packed": pack(torch.randn(8, 16, 1, 1), second=(torch.randn(8, 4, 1, 1), None))}, "packed: a Packed"),
        ({"prologue": (torch.randn(8), torch.randn(16))}, "prologue: torch.float32"),
        ({"prologue": (torch.randn(16).half(), torch.randn(16))}, "prologue: torch.float16"),
        ({"prologue": (torch.randn(32)[::2], torch.randn(16))}, "prologue: not contiguous"),
        ({"out": torch.empty(2, 9)}, "out: "),
        ({"out": torch.empty(8, 2).T}, "out: "),
        ({"out": torch.empty(2, 8).half()}, "out: torch.float16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused_by_name(wrong, named, channels_last) -> None:
    given = {"x": channels_last(2, 16, 7, 5), "packed": pack_linear(torch.randn(8, 16), None)}
    with pytest.raises(ValueError, match=f"^{named}"):
        pool_linear(**{**given, **wrong})


def test_what_is_no_matrix_is_not_packed() -> None:
    with pytest.raises(ValueError, match=r"^weight: of shape \[8, 16, 1, 1\]"):
        pack_linear(torch.randn(8, 16, 1, 1), None)


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
def test_compiles_and_exports_on_a_gpu(channels_last) -> None:
    net, x = Network().cuda(), channels_last(3, 16, 7, 7).cuda()
    want = net(x)
    assert torch.equal(torch.compile(net, fullgraph=True)(x), want)
    assert torch.equal(torch.export.export(net, (x,)).module()(x), want)
