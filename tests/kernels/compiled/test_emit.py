"""What the compiler makes of the kernels for each architecture, and that a launch compiles the same."""

from dataclasses import replace
from math import prod

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget

from kernels import conv, conv_tma, head, kinds, stem
from kernels.cards.archs import ARCHS
from kernels.compiled.emit import compile_for, emit, nvidia_tool
from kernels.compiled.facts import KernelFacts
from kernels.launch import INTERPRETED, Argument, Launch, Operands, compilations, empty_output
from kernels.space import head as head_space
from kernels.space import stem as stem_space
from kernels.space.config import Config
from kernels.space.conv import default_config
from kernels.space.fit import shared_bytes
from kernels.space.layer import Layer
from tests.kernels.shapes import ACTIVATED, FOLDED, LAST, LATE, STEM, STRIDED
from tests.networks import convolutions

pytestmark = pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")

MIDDLE = Layer(32, 14, 14, 256, 256, (3, 3), 1, 1)


def ptr(m: int, n: int, k: int, warps: int, stages: int, **others: object) -> Config:
    return Config("ptr", m, n, k, warps, stages, **others)


def tma(box: tuple[int, int, int], n: int, k: int, warps: int, stages: int, **others: object) -> Config:
    return Config("tma", prod(box), n, k, warps, stages, box, **others)


def emitted(layer: Layer, config: Config, arch: int) -> KernelFacts:
    (compilation, *_) = compilations(layer, config)
    found = emit(compilation, arch)
    print(layer.key, config, found)
    assert not found.spills
    assert found.fits
    assert found.shared <= shared_bytes(layer, config, arch)
    assert (found.warps, found.code % 16) == (config.warps, 0)
    assert found.occupancy >= 1
    assert found.hazard_reason == ""
    assert found.set_registers == 0  # no warp specialization is claimed
    return found


@pytest.mark.parametrize("arch", [80, 89, 90, 100, 120])
@pytest.mark.parametrize("layer", [STEM, MIDDLE, LAST], ids=["stem", "3x3", "1x1"])
def test_unmeasured_layers_compile_well_everywhere(layer, arch) -> None:
    found = emitted(layer, default_config(layer, arch), arch)
    assert sum(found.tensor.values()) > 0
    assert (found.async_loads > 0) == (layer is not LAST)  # whose depth of 64 is one step
    assert (found.bulk_loads, found.bulk_stores) == (0, 0)
    assert (found.pdl > 0) == (arch >= 90)


@pytest.mark.parametrize(
    ("layer", "config", "arch"),
    [
        (MIDDLE, ptr(128, 128, 64, 8, 3), 80),
        (MIDDLE, ptr(128, 256, 64, 8, 3), 90),
        (MIDDLE, ptr(128, 128, 64, 8, 3), 100),
        (replace(MIDDLE, dtype="bf16"), ptr(128, 128, 64, 4, 3), 90),
        (replace(MIDDLE, dtype="tf32"), ptr(128, 128, 32, 8, 3), 90),
        (LAST, ptr(128, 128, 64, 8, 3), 90),
        (FOLDED, ptr(128, 128, 64, 8, 3), 80),
        (FOLDED, ptr(128, 128, 64, 8, 3), 90),
        (ACTIVATED, ptr(128, 64, 64, 8, 3), 80),
        (ACTIVATED, ptr(128, 64, 64, 4, 3, serial=True), 90),
    ],
    ids=str,
)
def test_pointer_kernels_reach_the_tensor_cores(layer, config, arch) -> None:
    found = emitted(layer, config, arch)
    (name,) = found.tensor
    assert name == {80: "HMMA", 90: "HGMMA", 100: "UTCHMMA"}[arch]


@pytest.mark.parametrize(
    ("layer", "config", "arch"),
    [
        (MIDDLE, tma((2, 8, 8), 128, 64, 8, 4, serial=True), 90),
        (MIDDLE, tma((2, 8, 8), 256, 64, 8, 3, pdl=True, serial=True), 90),
        (MIDDLE, tma((2, 8, 8), 128, 64, 8, 4), 100),
        (replace(MIDDLE, dtype="tf32"), tma((2, 8, 8), 128, 32, 8, 4, serial=True), 90),
        (LAST, tma((1, 1, 128), 128, 64, 8, 3), 90),
        (FOLDED, tma((2, 8, 8), 128, 64, 8, 4, serial=True), 90),
        (STRIDED, tma((2, 8, 8), 128, 64, 8, 4, serial=True), 90),
        (LATE, tma((1, 8, 8), 64, 64, 4, 4, split_k=8, serial=True), 90),
    ],
    ids=str,
)
def test_bulk_kernels_move_tiles_by_the_copy_engine(layer, config, arch) -> None:
    found = emitted(layer, config, arch)
    assert set(found.tensor) == {{90: "HGMMA", 100: "UTCHMMA"}[arch]}
    assert found.bulk_loads > 0
    assert found.bulk_stores == 1
    assert found.async_loads == 0
    assert (found.pdl > 0) == config.pdl


def test_fp32_stays_off_the_tensor_cores() -> None:
    layer = replace(MIDDLE, dtype="fp32")
    for arch in (80, 90):
        assert emitted(layer, default_config(layer, arch), arch).tensor == {}


def test_a_row_of_pixels_stays_in_shared_memory() -> None:
    """As conv_tma.py says: what wgmma reads of x comes from shared memory, or from registers if the box is no row."""
    for layer, box, through_registers in ((LAST, (1, 1, 128), False), (MIDDLE, (2, 8, 8), True)):
        (compilation,) = compilations(layer, tma(box, 64, 64, 4, 3))
        products = [
            line for line in compile_for(compilation, 90).asm["ttgir"].splitlines() if "warp_group_dot " in line
        ]
        assert all(("ttg.dot_op<{opIdx = 0" in line) == through_registers for line in products)
        assert products


@pytest.mark.parametrize("dtype", ["fp16", "tf32"])
@pytest.mark.parametrize(
    ("layer", "config"),
    [
        (MIDDLE, tma((2, 8, 8), 128, 32, 8, 4)),
        (MIDDLE, tma((1, 8, 16), 128, 32, 4, 3)),
        (ACTIVATED, ptr(128, 64, 32, 4, 3)),
        (replace(ACTIVATED, kernel=(3, 3), padding=1, c_in=64), ptr(128, 64, 32, 4, 3)),
    ],
    ids=str,
)
def test_products_that_read_registers_wait_or_are_refused(layer, config, dtype) -> None:
    """As `fit.hazard_reason` has it without compiling: the code overwrites what is in flight, unless steps wait."""
    layer = replace(layer, dtype=dtype)
    found = {}
    for serial in (False, True):
        same = replace(config, serial=serial)
        assert (kinds.space_of(layer).rejection_reason(layer, same, 90) is None) == serial
        (compilation, *_) = compilations(layer, same)
        found[serial] = emit(compilation, 90)
        assert found[serial].operand_a == "registers"
    assert found[False].overwrites > 0
    assert "triton#9433" in found[False].hazard_reason
    assert (found[True].overwrites, found[True].wait_depth, found[True].hazard_reason) == (0, 0, "")


@pytest.mark.parametrize("network", ["resnet50", "resnet50v2"])
def test_what_the_model_chooses_is_safe(network) -> None:
    """A sample, windows and prologues; `bench kernels --check` compiles all."""
    found = convolutions(network, 128, 224, "fp16")
    windows = [layer for layer in found if layer.kernel == (3, 3)]
    activated = [layer for layer in found if layer.prologue]
    assert bool(activated) == (network == "resnet50v2")
    for layer in (windows[0], windows[-1], *activated[1:3]):
        (compilation, *_) = compilations(layer, default_config(layer, 90))
        emission = emit(compilation, 90)
        assert emission.hazard_reason == "", layer.key
        products = ("registers", 0) if layer.prologue else ("shared", 1)
        assert (emission.operand_a, emission.wait_depth, emission.barrier) == (*products, True)


def test_the_reduction_of_a_split_depth() -> None:
    _, reduction = compilations(LATE, ptr(64, 64, 64, 4, 4, split_k=8))
    found = emit(reduction, 80)
    assert (found.tensor, found.product, found.warps, found.shared, found.spills) == ({}, False, 4, 0, False)


class Driver:
    """Enough of a CUDA driver for Triton's launcher to compile: it asks for a device and an architecture."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's own launcher, up to where it would launch: a CPU host has no driver to ask for the device's kind."""
    monkeypatch.setattr(triton.runtime.driver, "_active", Driver())


def key_of(step: Launch, arguments: list[Argument]) -> str:
    """Under which Triton keeps what a launch with these arguments runs: a digest of all that goes into it."""
    return step.kernel.run(*arguments, grid=step.grid, warmup=True, **step.constants, **step.options).hash


@pytest.mark.parametrize(
    ("layer", "config"),
    [
        (replace(MIDDLE, n=2, residual=True), ptr(64, 64, 64, 4, 3)),
        (replace(MIDDLE, n=1), ptr(64, 64, 64, 4, 3, split_k=2, pdl=True)),
        (replace(FOLDED, n=1, dtype="bf16"), ptr(64, 64, 64, 4, 3)),
        (replace(FOLDED, n=1, dtype="int8"), ptr(64, 64, 64, 4, 3, split_k=2)),
        (replace(ACTIVATED, n=1), ptr(64, 64, 64, 4, 3, serial=True)),
        (replace(MIDDLE, n=2, residual=True), tma((1, 8, 8), 64, 64, 4, 3, pdl=True)),
        (replace(FOLDED, n=1), tma((1, 8, 8), 64, 64, 4, 3)),
        (replace(MIDDLE, n=1, dtype="tf32"), tma((1, 8, 8), 64, 32, 4, 3, split_k=2)),
    ],
    ids=str,
)
def test_what_a_launch_compiles_is_what_was_described(layer, config, hopper) -> None:
    module = conv_tma if config.impl == "tma" else conv
    launches = list(module.calls(layer, config, Operands.empty(layer, "cpu"), empty_output(layer, "cpu")))
    described = compilations(layer, config)
    assert len(launches) == len(described) == (2 if config.split_k > 1 else 1)
    for (step, arguments), compilation in zip(launches, described, strict=True):
        assert compile_for(compilation, 90).hash == key_of(step, arguments)


def test_what_is_described_while_debugging_is_what_is_launched_then(hopper, monkeypatch) -> None:
    layer, config = replace(MIDDLE, n=1), ptr(64, 64, 64, 4, 3)
    ((step, arguments),) = conv.calls(layer, config, Operands.empty(layer, "cpu"), empty_output(layer, "cpu"))
    (plain,) = compilations(layer, config)
    monkeypatch.setattr(triton.knobs.runtime, "debug", True)
    (debugged,) = compilations(layer, config)
    assert compile_for(debugged, 90).hash == key_of(step, arguments) != compile_for(plain, 90).hash


def test_the_stem_is_launched_as_it_was_described(hopper) -> None:
    layer = replace(STEM, n=1, pool=True)
    config = stem_space.default_config(layer, 90)
    out = empty_output(layer, "cpu")
    weight = out.new_empty(2 * layer.c_out, layer.kernel[0] * layer.window[0])
    bias = out.new_empty(layer.c_out, dtype=torch.float32)
    operands = [Operands.empty(layer, "cpu").x, weight, bias, None, out, layer.n]
    (compilation,) = compilations(layer, config)
    assert compile_for(compilation, 90).hash == key_of(stem.stem_launch(layer, config), operands)


@pytest.mark.parametrize(
    "config", [head_space.fused_config(replace(ACTIVATED, dtype="fp16"), 90), ptr(64, 64, 64, 4, 3)], ids=str
)
def test_the_head_is_launched_as_it_was_described(config, hopper) -> None:
    layer = Layer(1, 7, 7, 512, 1000, (1, 1), relu=False, prologue=True, mean=True)
    out = torch.empty(layer.n, layer.c_out, dtype=torch.float16)
    launches = list(head.calls(layer, config, Operands.empty(layer, "cpu"), out))
    described = compilations(layer, config)
    for (step, arguments), compilation in zip(launches, described, strict=True):
        assert compile_for(compilation, 90).hash == key_of(step, arguments)


def test_occupancy_is_the_tightest_of_four_limits() -> None:
    hopper = ARCHS[90]
    assert hopper.resident_blocks(warps=4, registers=32, shared=0) == 16  # registers: 65536 / (128 * 32)
    assert hopper.resident_blocks(warps=1, registers=16, shared=0) == 32  # blocks
    assert hopper.resident_blocks(warps=8, registers=24, shared=0) == 8  # threads
    assert hopper.resident_blocks(warps=4, registers=168, shared=0) == 3
    assert hopper.resident_blocks(warps=4, registers=64, shared=100_000) == 2  # shared memory
    assert hopper.resident_blocks(warps=4, registers=64, shared=hopper.shared + 1) == 0


def test_a_tool_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match="nvtool"):
        nvidia_tool("nvtool")
