"""What only a GPU can show: numbers of every precision from the compiled kernels, graphs, launches that overlap."""

from dataclasses import replace
from math import prod

import pytest
import torch
import torch.nn.functional as F

from bench.worker.measure.clock import on_device
from bench.worker.tune.candidate import Subject
from kernels.conv_op import conv_bias_act
from kernels.launch import empty_output, launch_layer
from kernels.packing import pack
from kernels.space.config import Config
from kernels.space.conv import candidates, default_config
from kernels.space.fit import incompatibility_reason, needs_serial
from kernels.space.layer import Layer
from kernels.space.machine import machine_of

pytestmark = pytest.mark.gpu

LAYERS = {
    "stem": Layer(2, 224, 224, 3, 64, (7, 7), 2, 3),
    "3x3": Layer(4, 56, 56, 64, 64, (3, 3), 1, 1),
    "3x3 stride 2": Layer(4, 28, 28, 256, 256, (3, 3), 2, 1),
    "3x3 late": Layer(1, 7, 7, 512, 512, (3, 3), 1, 1),
    "1x1": Layer(4, 56, 56, 256, 64, (1, 1)),
    "1x1 stride 2": Layer(4, 56, 56, 256, 128, (1, 1), 2),
    "residual": Layer(4, 14, 14, 256, 1024, (1, 1), residual=True),
    "second": Layer(4, 28, 28, 128, 512, (1, 1), second=(56, 56, 256, 2)),
    "prologue": Layer(4, 28, 28, 128, 128, (3, 3), 1, 1, prologue=True),
    "odd": Layer(3, 13, 11, 37, 61, (3, 3), 2, 1, residual=True, relu=False),
}

TOLERANCE = {"fp32": 5e-6}  # of the largest value: sums of thousands of products


def arch() -> int:
    major, minor = torch.cuda.get_device_capability()
    return machine_of(10 * major + minor).arch


def ptr(m: int = 64, n: int = 64, k: int = 32, warps: int = 4, stages: int = 3, **others: object) -> Config:
    return Config("ptr", m, n, k, warps, stages, **others)


def tma(box: tuple[int, int, int], n: int = 64, k: int = 32, warps: int = 4, **others: object) -> Config:
    return Config("tma", prod(box), n, k, warps, 3, box, **others)


def safe(layer: Layer, config: Config) -> Config:
    """The same with its steps in series, where the products of one would read what the next writes."""
    return replace(config, serial=needs_serial(layer, config, arch()))


needs_bulk = pytest.mark.skipif(
    not torch.cuda.is_available() or arch() < 90, reason="bulk tensor copies begin with sm_90"
)


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_default_agrees_with_float64(name, dtype, check) -> None:
    layer = replace(LAYERS[name], dtype=dtype)
    check(layer, default_config(layer, arch()), device="cuda", tolerance=TOLERANCE.get(dtype))


@pytest.mark.parametrize("dtype", ["tf32", "fp16", "bf16"])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("box", [(1, 1, 64), (1, 8, 8), (2, 4, 8)], ids=str)
@needs_bulk
def test_bulk_copies_agree_with_float64(name, dtype, box, check) -> None:
    layer = replace(LAYERS[name], dtype=dtype)
    for config in (tma(box), tma(box, 128, 64, 8, pdl=True), tma(box, split_k=4)):
        if incompatibility_reason(layer, config) is None:
            check(layer, safe(layer, config), device="cuda", tolerance=TOLERANCE.get(dtype))


@pytest.mark.parametrize("dtype", ["int8", "fp8"])
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "prologue"])
def test_codes_are_the_nearest_of_exact_sums(name, dtype) -> None:
    if dtype == "fp8" and arch() < 89:
        pytest.skip("e4m3 begins with sm_89")
    layer = replace(LAYERS[name], dtype=dtype)
    configs = [default_config(layer, arch()), ptr(64, 64, 64, 8), ptr(64, 64, 32, split_k=3)]
    configs += [tma((1, 1, 64), k=64), tma((2, 4, 8), k=32, split_k=2)] if arch() >= 90 else []
    with on_device("cuda") as clock, torch.inference_mode():
        subject = Subject(layer, "cuda", clock, seed=0)
        for config in (safe(layer, config) for config in configs if incompatibility_reason(layer, config) is None):
            assert subject.check(config) == "", config


@pytest.mark.parametrize("warps", [4, 8])
@pytest.mark.parametrize("split_k", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_warps_and_splits_agree_with_float64(name, warps, split_k, check) -> None:
    """With 8 warps and a window Inductor's kernel does not (pytorch#173068)."""
    for m, n, k in ((64, 64, 32), (128, 128, 32), (128, 64, 64)):
        check(LAYERS[name], safe(LAYERS[name], ptr(m, n, k, warps, split_k=split_k)), device="cuda")


def test_a_second_configuration_of_the_space_agrees_with_the_first(check) -> None:
    layer = LAYERS["3x3"]
    results = [check(layer, config, device="cuda") for config in candidates(layer, arch())[:8]]
    # both are rounded from sums that differ in the last bits of float32
    assert all(torch.allclose(results[0], other, atol=2e-5, rtol=2**-10) for other in results)


@pytest.mark.parametrize("config", [ptr(), ptr(split_k=4), ptr(split_k=4, pdl=True)], ids=str)
def test_a_hundred_runs_are_the_same_bits(config, operands) -> None:
    if config.pdl and arch() < 90:
        pytest.skip("programmatic dependent launch begins with sm_90")
    layer = LAYERS["3x3 late"]
    given, outs = operands(layer, device="cuda"), [empty_output(layer, "cuda") for _ in range(100)]
    for out in outs:
        launch_layer(layer, config, given, out)
    assert all(torch.equal(outs[0], out) for out in outs[1:])


@needs_bulk
@pytest.mark.parametrize("make", [ptr, lambda **others: tma((1, 8, 8), **others)], ids=["ptr", "tma"])
def test_dependent_launches_see_what_they_depend_on(make, operands) -> None:
    """A chain that writes into two buffers in turn: a launch that ran too early would read, or overwrite, too early."""
    layer = replace(LAYERS["3x3"], n=16, residual=True)
    given = operands(layer, device="cuda")
    given.weight.mul_(0.5)

    def chain(pdl: bool) -> torch.Tensor:
        buffers = [given.x.clone(memory_format=torch.channels_last), empty_output(layer, "cuda")]
        for turn in range(40):
            source, out = buffers[turn % 2], buffers[(turn + 1) % 2]
            config = safe(layer, make(pdl=pdl, split_k=1 + turn % 2))
            launch_layer(layer, config, replace(given, x=source, residual=given.residual), out)
        return buffers[0]

    want = chain(False)
    assert want.isfinite().all()
    assert all(torch.equal(chain(True), want) for _ in range(20))


@pytest.mark.parametrize("bulk", [False, pytest.param(True, marks=needs_bulk)])
def test_a_graph_replays_into_the_caller_s_buffer(bulk) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(64, 64, 3, padding=1)
    packed = pack(layer.weight, layer.bias, torch.float16).to("cuda")
    x, residual, out = (
        torch.randn(4, 64, 14, 14).cuda().half().to(memory_format=torch.channels_last) for _ in range(3)
    )
    config = tma((1, 8, 8), split_k=2) if bulk else None
    for _ in range(2):
        conv_bias_act(x, packed, padding=1, residual=residual, out=out, config=config)
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        conv_bias_act(x, packed, padding=1, residual=residual, out=out, config=config)
    for _ in range(3):
        x.copy_(torch.randn_like(x))
        out.fill_(torch.nan)
        graph.replay()
        assert torch.equal(out, conv_bias_act(x, packed, padding=1, residual=residual, config=config))


def test_the_op_against_torch_and_compiled() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(64, 128, 3, 2, 1).cuda()
    packed = pack(layer.weight, layer.bias, torch.bfloat16)
    x = torch.randn(8, 64, 28, 28, device="cuda").bfloat16().to(memory_format=torch.channels_last)

    def net(x):
        return conv_bias_act(x, packed, 2, 1)

    got = net(x)
    with torch.no_grad():
        want = F.relu(layer.double()(x.double()))
        theirs = F.relu(layer.bfloat16()(x)).double()
    ours, aten = ((value.double() - want).abs().max() for value in (got, theirs))
    assert ours <= 1.5 * aten
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.library.opcheck(
        torch.ops.resnet_bench.conv_bias_act.default,
        (x, packed.weight, packed.bias, None, None, None, None, [3, 3, 2, 1, 1], True, "bf16", ""),
    )


@pytest.mark.slow
@pytest.mark.parametrize("bulk", [False, pytest.param(True, marks=needs_bulk)])
@pytest.mark.parametrize("name", ["1x1", "3x3"])
def test_tensors_past_2_31_elements(name, bulk) -> None:
    """The last images of 4.4 GB of input give what they give alone."""
    free, _ = torch.cuda.mem_get_info()
    if free < 8 * 2**30:
        pytest.skip("8 GiB of GPU memory are not free")
    torch.manual_seed(0)
    n, side = 10_800, 1 if name == "1x1" else 3
    packed = pack(torch.randn(16, 64, side, side) / 8, torch.randn(16), torch.float16).to("cuda")
    x = torch.randn(8, 56, 56, 64, device="cuda").half().repeat(n // 8, 1, 1, 1).permute(0, 3, 1, 2)
    assert x.numel() > 2**31
    config = tma((1, 8, 8), 16) if bulk else None
    got = conv_bias_act(x, packed, padding=side // 2, config=config)
    want = conv_bias_act(x[-8:], packed, padding=side // 2, config=ptr(64, 16))
    assert torch.allclose(got[-8:], want, atol=1e-3, rtol=2**-10)
    assert torch.equal(got[-8:], got[:8])


@needs_bulk
def test_an_address_that_a_bulk_copy_cannot_take_is_refused() -> None:
    packed = pack(torch.randn(16, 16, 1, 1), None, torch.float16).to("cuda")
    memory = torch.randn(2 * 4 * 4 * 16 + 1, device="cuda").half()[1:]
    x = memory.view(2, 4, 4, 16).permute(0, 3, 1, 2)
    torch.testing.assert_close(
        conv_bias_act(x, packed), conv_bias_act(x.clone(memory_format=torch.channels_last), packed)
    )
    with pytest.raises(ValueError, match=r"^x: "):
        conv_bias_act(x, packed, config=tma((1, 1, 64), 16, 16))
    with pytest.raises(ValueError, match=r"^config: "):
        conv_bias_act(x, packed, config=ptr(k=32, split_k=4))
