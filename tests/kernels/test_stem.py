"""The fused stem: its op on a CPU, what the compiler makes of it everywhere, and its numbers on a GPU."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kernels import Config, Layer, Widened, conv_bias_relu_pool, pack, stem, widen
from kernels.cards.cards import CARDS
from kernels.compiled.emit import Emitted, compiled, emit
from kernels.config import ARCHS, BYTES
from kernels.launch import INTERPRETED
from kernels.space import choose
from kernels.space import stem as stem_space
from kernels.space.conv import machine_of
from kernels.table import Entry, Table, config_for, use

OP, OP_OUT = torch.ops.resnet_bench.conv_bias_relu_pool.default, torch.ops.resnet_bench.conv_bias_relu_pool_out.default
STEM = Layer(32, 224, 224, 3, 64, (7, 7), 2, 3, pool=True)


def packed(k: int = 8, dtype: torch.dtype = torch.float32) -> Widened:
    return widen(pack(torch.randn(k, 3, 7, 7), torch.randn(k), dtype))


def pooled(y: Tensor) -> Tensor:
    """As a pre-activation network pools (`resnet.model`); behind a ReLU the same as `max_pool2d(y, 3, 2, 1)`."""
    return F.max_pool2d(F.pad(y, (1, 1, 1, 1)), 3, 2)


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
        ({"stride": 1}, "stride, padding: 1, 3"),
        ({"padding": 2}, "stride, padding: 2, 2"),
        ({"pool": 2}, "pool: 2 by 2"),
        ({"pool_stride": 3}, "pool: 3 by 3"),
        ({"pool_padding": 0}, "pool: 3 by 2 with a padding of 0"),
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


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 15), st.integers(1, 7), st.integers(1, 4), st.integers(0, 4), st.sampled_from(["fp16", "fp32"]))
def test_a_window_holds_the_pair_and_is_aligned(c, kernel_w, stride, padding, dtype) -> None:
    layer = Layer(1, 9, 9, c, 8, (3, kernel_w), stride, padding, dtype=dtype)
    run, lead = stem_space.window(layer)
    assert run >= max(lead + (stride + kernel_w) * c, 16)
    assert run & (run - 1) == 0
    vector = next(v for v in (8, 4, 2, 1) if v * BYTES[dtype] <= 16 and (2 * stride * c) % v == 0)
    first = padding * c + lead
    assert first % vector == 0 or 2 * (stride + kernel_w) * c > run  # unaligned only where a lead would double the run


def test_widened_weights_hold_the_window_twice() -> None:
    weight = torch.randn(5, 3, 7, 7)
    wide = widen(pack(weight)).weight.view(5, 2, 7, 32)
    rows = weight.permute(0, 2, 3, 1).reshape(5, 7, 21)
    assert torch.equal(wide[:, 0, :, 3:24], rows)
    assert torch.equal(wide[:, 1, :, 9:30], rows)
    assert wide.count_nonzero() == 2 * weight.numel()


@pytest.mark.parametrize("arch", sorted({card.arch for card in CARDS}))
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("n", [1, 3, 32, 256])
def test_the_model_has_a_choice_for_every_stem(arch, dtype, n) -> None:
    layer = replace(STEM, n=n, dtype=dtype)
    config = choose.default(layer, arch)
    assert config in choose.space(layer, arch)
    assert choose.unfit(layer, config, arch) is None
    assert config.pdl == (arch >= 90)
    assert Config.parse(str(config)) == config
    m, strips, k = stem_space.grid_of(layer, config)
    assert m * (config.block_m - 1) >= n * 56
    assert strips * config.group_m >= 56
    assert k * config.block_n >= 64


def test_what_fits_no_architecture_is_refused() -> None:
    wide = Layer(1, 64, 64, 15, 64, (15, 15), 2, 7, pool=True)
    with pytest.raises(ValueError, match=r"^packed: a \(15, 15\) window"):
        choose.default(wide, 120)
    run = stem_space.window(STEM)[0]
    for config in (Config("ptr", 64, 64, run, 4, 2), Config("ptr", 64, 64, 64, 4, 1), Config("ptr", 8, 64, run, 4, 1)):
        assert "block_k 32, one stage" in stem_space.unfit(STEM, config, 90)
    assert "shared memory" in stem_space.unfit(replace(STEM, dtype="fp32"), Config("ptr", 64, 64, run, 4, 1), 89)


def test_the_limits_are_those_of_the_core() -> None:
    """The configurations stem.default chooses from keep two programs on an SM of every architecture."""
    for arch in ARCHS:
        config = stem_space.default(STEM, arch)
        used = min(stem_space.registers(STEM, config), 255)
        assert ARCHS[arch].blocks(config.warps, used, stem_space.shared_bytes(STEM, config, arch)) >= 2


def test_the_space_holds_what_fits_and_only_that() -> None:
    machine = machine_of(90)
    found = choose.space(STEM, 90)
    assert len(set(found)) == len(found) > 100
    assert {config.warps for config in found} == {4, 8}
    assert all(stem_space.unfit(STEM, config, 90) is None for config in found)
    times = [round(choose.predicted_us(STEM, config, machine), 1) for config in found]
    assert times == sorted(times)


def test_a_measured_stem_is_taken_from_the_table_and_a_measured_convolution_is_not() -> None:
    assert STEM.key == "fp16-n32-224x224x3-7x7-s2-p3-k64-relu-pool"
    measured = "ptr-32x32x32-w4-s1-k1-g7"
    try:
        for key in (STEM.key, replace(STEM, pool=False).key):
            use(Table([Entry("A GPU", key, measured, "measured", 5.0, "2026-01-01T00:00:00Z", "3.7")]))
            assert (str(config_for(STEM, "A GPU", 90)) == measured) == (key == STEM.key)
            assert config_for(STEM, "Another", 90) == stem_space.default(STEM, 90)
    finally:
        use(Table())


WITHOUT = pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")


@WITHOUT
@pytest.mark.parametrize(
    ("dtype", "arch", "n"),
    [
        *(("fp16", arch, 32) for arch in (80, 89, 90, 100, 120)),
        ("fp16", 90, 1),
        ("bf16", 100, 32),
        ("tf32", 80, 32),
        ("fp32", 90, 1),
    ],
)
def test_compiles_well_everywhere(dtype, arch, n) -> None:
    found = compiles_well(replace(STEM, dtype=dtype, n=n), arch)
    assert (sum(found.tensor.values()) > 0) == (dtype != "fp32")
    assert found.occupancy >= 2


@WITHOUT
@pytest.mark.parametrize(
    ("layer", "arch"),
    [
        (replace(STEM, h=225, w=225), 90),  # rows of an odd number of values, which no load takes two of
        (replace(STEM, h=226, w=226, relu=False), 100),  # an odd number of the convolution's columns
        (replace(STEM, n=16_000), 90),  # 64-bit offsets
        (Layer(32, 32, 32, 3, 64, (3, 3), 1, 1, pool=True), 80),
    ],
    ids=lambda value: getattr(value, "key", value),
)
def test_other_stems_compile_well(layer, arch) -> None:
    assert compiles_well(layer, arch).tensor


def compiles_well(layer: Layer, arch: int) -> Emitted:
    config = stem_space.default(layer, arch)
    (compilation,) = stem.compilation(layer, config)
    found = emit(compilation, arch)
    print(layer.key, config, found)
    assert not found.spills
    assert found.fits
    assert found.shared <= stem_space.shared_bytes(layer, config, arch)
    assert (found.warps, found.pdl > 0) == (config.warps, arch >= 90)
    return found


@WITHOUT
@pytest.mark.parametrize(("arch", "name"), [(90, "HGMMA"), (100, "UTCHMMA")])
def test_the_widest_tile_reads_its_weights_once(arch, name) -> None:
    """14 products of depth 16 a row and no more: seven taps of a window of 32, unrolled once. Two programs an SM."""
    config = Config("ptr", 64, 64, 32, 4, 1, group_m=7, pdl=True)
    (compilation,) = stem.compilation(STEM, config)
    found = emit(compilation, arch)
    assert (found.tensor, found.occupancy, found.spills) == ({name: 14}, 2, False)
    ttgir = compiled(compilation, arch).asm["ttgir"]
    before, _, loop = ttgir.partition("scf.for")
    assert before.count("local_alloc") + before.count("tmem_alloc") >= 7
    assert "efficient_layout" in loop  # the neighbour is found by shuffles within a warp


OF_TOP = {"fp32": 5e-6}  # as test_head.py


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("n", [1, 3, 32])
@pytest.mark.parametrize("relu", [True, False])
def test_agrees_with_float64_on_a_gpu(dtype, n, relu, check) -> None:
    major, minor = torch.cuda.get_device_capability()
    arch = machine_of(10 * major + minor).arch
    for h, w in ((224, 224), (97, 130)):
        layer = replace(STEM, n=n, h=h, w=w, dtype=dtype, relu=relu)
        chosen = stem_space.default(layer, arch)
        others = [replace(chosen, block_m=m, group_m=r) for m, r in ((32, 3), (16, 8))]
        for config in (chosen, *(c for c in others if stem_space.unfit(layer, c, arch) is None)):
            check(layer, config, device="cuda", tolerance=OF_TOP.get(dtype))


@pytest.mark.gpu
def test_the_pool_selects_exactly_on_a_gpu() -> None:
    weight, bias, x = (torch.randint(-3, 4, shape).float() for shape in ((64, 3, 7, 7), (64,), (4, 3, 224, 224)))
    wide = widen(pack(weight, bias - 30, torch.float16)).cuda()
    for relu in (True, False):
        y = F.conv2d(x.double(), weight.double(), (bias - 30).double(), 2, 3)
        want = pooled(F.relu(y) if relu else y)
        given_x = x.half().cuda().contiguous(memory_format=torch.channels_last)
        assert torch.equal(conv_bias_relu_pool(given_x, wide, relu=relu).cpu().double(), want)


@pytest.mark.gpu
def test_a_graph_replays_it_and_every_time_the_same(operands) -> None:
    x = operands(replace(STEM, n=8), device="cuda").x
    weights = packed(64, torch.float16).cuda()
    want = conv_bias_relu_pool(x, weights)
    out, graph = torch.empty_like(want), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        conv_bias_relu_pool(x, weights, out=out)
    for _ in range(100):
        out.fill_(torch.nan)
        graph.replay()
        assert torch.equal(out, want)
    x.neg_()
    graph.replay()
    assert torch.equal(out, conv_bias_relu_pool(x, weights))


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")
def test_compiles_and_exports_on_a_gpu(channels_last) -> None:
    net, x = Network().cuda(), channels_last(3, 3, 64, 50).cuda()
    want = net(x)
    assert torch.equal(torch.compile(net, fullgraph=True)(x), want)
    assert torch.equal(torch.export.export(net, (x,)).module()(x), want)
