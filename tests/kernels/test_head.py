"""The head's kernels: what the compiler makes of them everywhere, and their numbers on a GPU."""

from dataclasses import replace

import pytest
import torch

from kernels import Config, Layer, head, pack_linear, pool_linear
from kernels.compiled.emit import emit
from kernels.launch import INTERPRETED, compilations
from kernels.space import conv as space
from kernels.space import head as head_space
from kernels.space.machine import machine_of
from kernels.space.tiling import linear_layer

OP, OP_OUT = torch.ops.resnet_bench.pool_linear.default, torch.ops.resnet_bench.pool_linear_out.default
HEAD = Layer(32, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True)


def test_offsets_are_of_64_bits_where_the_logits_alone_need_them() -> None:
    few, many = replace(HEAD, h=1, w=1, c_in=16, n=2**20), replace(HEAD, h=1, w=1, c_in=16, n=2**22)
    one = head_space.fused_config(few, 90)
    assert [head.head_launch(layer, one).constants["WIDE"] for layer in (few, many)] == [False, True]


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
    config = head_space.fused_config(layer, arch) if n == 1 else head_space.default_config(layer, arch)
    described = compilations(layer, config)
    found = [emit(compilation, arch) for compilation in described]
    print(layer.key, config, *found, sep="\n")
    assert not any(emitted.spills for emitted in found)
    assert all(emitted.fits for emitted in found)
    assert all((emitted.pdl > 0) == (arch >= 90) for emitted in found)
    if n == 1:
        (one,) = found
        assert one.async_loads > 0  # activations and weights, steps ahead of their use
        assert one.tensor == {}
    else:
        means, second, *_ = found
        assert described[0].kernel.__name__ == "_means"
        assert means.tensor == {}
        assert sum(second.tensor.values()) > 0


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
        for config in (one, space.default_config(linear_layer(layer), arch)):
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
