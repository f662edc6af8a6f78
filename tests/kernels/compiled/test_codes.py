"""The kernels of 8 bits as compiled: the tensor-core instruction that each architecture has for them, or lacks."""

import re
from dataclasses import replace

import pytest

from kernels.compiled.emit import compile_for, emit
from kernels.launch import INTERPRETED, compilations
from kernels.space.config import Config
from kernels.space.conv import default_config
from kernels.space.fit import needs_serial, shared_bytes
from kernels.space.layer import Layer

pytestmark = pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")

WINDOW = Layer(32, 14, 14, 256, 256, (3, 3), 1, 1)
SMALL = Config("ptr", 64, 64, 64, 4, 3)


@pytest.mark.parametrize(
    ("dtype", "arch", "instruction", "depth"),
    [
        ("int8", 80, "IMMA", None),
        ("int8", 90, "IGMMA", 0),  # Triton waits for each step's products of int8
        ("int8", 100, "IMMA", None),  # it has no int8 by tcgen05: mma.sync, which is slow there
        ("fp8", 89, "QMMA", None),
        ("fp8", 120, "QMMA", None),
        ("fp8", 90, "QGMMA", 0),  # as each step's sums are added to float32
        ("fp8", 100, "UTCQMMA", None),
    ],
)
def test_products_of_codes_have_their_instruction(dtype, arch, instruction, depth) -> None:
    layer = replace(WINDOW, dtype=dtype)
    config = replace(SMALL, serial=needs_serial(layer, SMALL, arch))
    (compilation,) = compilations(layer, config)
    found = emit(compilation, arch)
    assert set(found.tensor) == {instruction}
    assert (found.wait_depth, found.spills, found.hazard_reason) == (depth, False, "")
    assert found.async_loads > 0  # zeros behind the border cost no path through registers
    assert found.operand_a == ("shared" if arch == 90 else "")
    assert found.shared <= shared_bytes(layer, SMALL, arch)
    assert compilation.options["enable_fp_fusion"] is False


@pytest.mark.parametrize(("arch", "pattern"), [(89, r"mma\.sync.*\.e4m3\.f32"), (90, r"wgmma\.mma_async.*e4m3")])
def test_each_step_adds_its_sums_of_e4m3_to_float32(arch, pattern) -> None:
    layer = replace(WINDOW, dtype="fp8")
    config = replace(SMALL, serial=needs_serial(layer, SMALL, arch))
    ptx = compile_for(compilations(layer, config)[0], arch).asm["ptx"]
    in_loop = ptx[re.search(pattern, ptx).start() : ptx.rindex("bra")]  # type: ignore[union-attr]
    assert len(re.findall(r"add\.(?:rn\.)?f32", in_loop)) >= 64 * 64 // 128  # the sums of a thread


def test_codes_are_rounded_and_not_cut_off() -> None:
    """No product is joined with a sum; float32 loses its fractions before the conversion, which cuts them off."""
    ptx = compile_for(compilations(replace(WINDOW, dtype="int8"), SMALL)[0], 90).asm["ptx"]
    assert "fma.rn.f32" not in ptx
    assert ptx.count("cvt.rzi.s16.f32") == 64 * 64 // 128
    assert ptx.count("0f4B400000") == ptx.count("0fCB400000") > 0  # plus and minus 1.5 * 2^23
    assert "satfinite.e4m3x2" in compile_for(compilations(replace(WINDOW, dtype="fp8"), SMALL)[0], 90).asm["ptx"]


def test_ampere_has_no_e4m3() -> None:
    (compilation,) = compilations(replace(WINDOW, dtype="fp8"), SMALL)
    with pytest.raises(Exception, match="fp8e4nv not supported in this architecture"):
        emit(compilation, 80)


def test_bulk_copies_of_codes() -> None:
    layer = Layer(32, 28, 28, 512, 128, (1, 1), residual=True, dtype="int8")
    (compilation,) = compilations(layer, Config("tma", 128, 64, 128, 4, 3, (1, 1, 128)))
    found = emit(compilation, 90)
    assert set(found.tensor) == {"IGMMA"}
    assert (found.operand_a, found.bulk_stores, found.async_loads, found.hazard_reason) == ("shared", 1, 0, "")


@pytest.mark.parametrize(
    "layer", [WINDOW, Layer(32, 56, 56, 64, 256, (1, 1), second=(56, 56, 64, 1))], ids=["window", "second"]
)
def test_codes_that_a_wide_product_reads_wait_in_registers(layer) -> None:
    """Those of the second operand, too: 51 instructions overwrote them where its steps did not wait."""
    layer = replace(layer, reads="int8", writes="int8")
    (compilation,) = compilations(layer, default_config(layer, 90))
    found = emit(compilation, 90)
    assert set(found.tensor) == {"HGMMA"}
    assert (found.operand_a, found.overwrites, found.wait_depth) == ("registers", 0, 0)
