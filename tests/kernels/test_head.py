"""Average and fully connected layer: the op on a CPU, what the compiler makes of it, and its numbers on a GPU."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels import Config, Layer, head, pack, pack_linear, pool_linear
from kernels.cards.cards import CARDS
from kernels.compiled.emit import emit
from kernels.launch import INTERPRETED
from kernels.space import choose
from kernels.space import conv as space
from kernels.space import head as head_space
from kernels.space.conv import machine_of
from kernels.table import Entry, Table, config_for, use

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


@pytest.mark.parametrize("arch", sorted({card.arch for card in CARDS}))
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
def test_one_kernel_for_an_image_and_two_for_many(arch, dtype) -> None:
    chosen = {n: choose.default(replace(HEAD, n=n, dtype=dtype), arch) for n in (1, 8, 32, 256)}
    assert [config.block_m == 1 for config in chosen.values()][1:] == [False, False, False]
    assert dtype not in ("fp16", "bf16") or chosen[1] == head_space.fused(HEAD, arch)
    assert all(choose.unfit(replace(HEAD, n=n, dtype=dtype), config, arch) is None for n, config in chosen.items())
    assert chosen[32] == space.default(head_space.product(replace(HEAD, dtype=dtype)), arch)


@pytest.mark.parametrize("n", [1, 32])
def test_the_space_has_both_ways_and_the_choice_among_them(n) -> None:
    layer = replace(HEAD, n=n)
    found = choose.space(layer, 90)
    assert len(set(found)) == len(found) > 100
    assert {config.block_m == 1 for config in found} == {True, False}
    assert choose.default(layer, 90) in found
    assert all(choose.unfit(layer, config, 90) is None for config in found)


def test_a_measured_head_is_taken_from_the_table_and_a_measured_convolution_is_not() -> None:
    layer, measured = replace(HEAD, n=64), "ptr-64x64x128-w8-s3-k4-g8"
    assert layer.key == "fp16-n64-7x7x2048-1x1-s1-p0-k1000-mean"
    try:
        for key in (layer.key, head_space.product(layer).key):
            use(Table([Entry("A GPU", key, measured, "measured", 5.0, "2026-01-01T00:00:00Z", "3.7")]))
            assert (str(config_for(layer, "A GPU", 90)) == measured) == (key == layer.key)
            assert str(config_for(layer, "Another", 90)) != measured
    finally:
        use(Table())


def test_what_the_kernels_do_not_compute_is_refused() -> None:
    assert "no split" in head_space.unfit(HEAD, Config("ptr", 1, 16, 128, 8, 4, split_k=2))
    assert "split_k" in head_space.unfit(HEAD, Config("ptr", 16, 16, 128, 4, 4, split_k=32))
    assert "impl" in head_space.unfit(replace(HEAD, c_in=2044), Config("tma", 16, 16, 64, 4, 4, box=(1, 1, 16)))


def test_offsets_are_of_64_bits_where_the_logits_alone_need_them() -> None:
    few, many = replace(HEAD, h=1, w=1, c_in=16, n=2**20), replace(HEAD, h=1, w=1, c_in=16, n=2**22)
    one = head_space.fused(few, 90)
    assert [head.own_launch(layer, one).constants["WIDE"] for layer in (few, many)] == [False, True]


@pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")
@pytest.mark.parametrize(
    ("dtype", "n", "prologue", "arch"),
    [
        *(("fp16", 1, False, arch) for arch in (80, 90, 120)),
        ("fp32", 1, True, 90),
        ("bf16", 32, True, 80),
        ("bf16", 32, False, 100),
    ],
)
def test_compiles_well(dtype, n, prologue, arch) -> None:
    layer = replace(HEAD, n=n, dtype=dtype, prologue=prologue)
    config = head_space.fused(layer, arch) if n == 1 else head_space.default(layer, arch)
    found = [emit(compilation, arch) for compilation in head.compilation(layer, config)]
    print(layer.key, config, *found, sep="\n")
    assert not any(emitted.spills for emitted in found)
    assert all(emitted.fits for emitted in found)
    assert all((emitted.pdl > 0) == (arch >= 90) for emitted in found)
    if n == 1:
        (one,) = found
        assert one.async_loads > 0  # activations and weights, steps ahead of their use
        assert one.tensor == {}
    else:
        means, product, *_ = found
        assert means.name == "_means"
        assert means.tensor == {}
        assert sum(product.tensor.values()) > 0


OF_TOP = {"fp32": 5e-6}  # sums of thousands of products


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("n", [1, 3, 32, 256])
@pytest.mark.parametrize("prologue", [True, False])
def test_agrees_with_float64_on_a_gpu(dtype, n, prologue, check) -> None:
    major, minor = torch.cuda.get_device_capability()
    arch = machine_of(10 * major + minor).arch
    for h, c, classes in ((7, 2048, 1000), (5, 509, 37)):
        layer = Layer(n, h, h + 1, c, classes, (1, 1), relu=False, prologue=prologue, dtype=dtype, mean=True)
        one = Config("ptr", 1, 16, 64, 8, 3, pdl=arch >= 90)
        for config in (one, space.default(head_space.product(layer), arch)):
            check(layer, config, device="cuda", tolerance=OF_TOP.get(dtype))


@pytest.mark.gpu
@pytest.mark.parametrize("n", [1, 32])
def test_a_graph_replays_it_and_every_time_the_same(n, operands) -> None:
    x = operands(replace(HEAD, n=n), device="cuda").x
    packed = pack_linear(torch.randn(1000, 2048), torch.randn(1000), torch.float16).cuda()
    want = pool_linear(x, packed)
    out, graph = torch.empty_like(want), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        pool_linear(x, packed, out=out)
    for _ in range(100):
        out.fill_(torch.nan)
        graph.replay()
        assert torch.equal(out, want)
    x.neg_()
    graph.replay()
    assert torch.equal(out, pool_linear(x, packed))


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
def test_compiles_and_exports_on_a_gpu(channels_last) -> None:
    net, x = Network().cuda(), channels_last(3, 16, 7, 7).cuda()
    want = net(x)
    assert torch.equal(torch.compile(net, fullgraph=True)(x), want)
    assert torch.equal(torch.export.export(net, (x,)).module()(x), want)
