"""The stem's kernels: what the compiler makes of them everywhere, and their numbers on a GPU."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from kernels import Config, Layer, conv_bias_relu_pool, pack, widen
from kernels.compiled.emit import compile_for, emit
from kernels.compiled.facts import KernelFacts
from kernels.launch import INTERPRETED, compilations
from kernels.space import stem as stem_space
from kernels.space.machine import machine_of
from tests.kernels.stems import STEM, packed, pooled

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


def compiles_well(layer: Layer, arch: int) -> KernelFacts:
    config = stem_space.default_config(layer, arch)
    (compilation,) = compilations(layer, config)
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
    (compilation,) = compilations(STEM, config)
    found = emit(compilation, arch)
    assert (found.tensor, found.occupancy, found.spills) == ({name: 14}, 2, False)
    ttgir = compile_for(compilation, arch).asm["ttgir"]
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
        chosen = stem_space.default_config(layer, arch)
        others = [replace(chosen, block_m=m, group_m=r) for m, r in ((32, 3), (16, 8))]
        for config in (chosen, *(c for c in others if stem_space.rejection_reason(layer, c, arch) is None)):
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
