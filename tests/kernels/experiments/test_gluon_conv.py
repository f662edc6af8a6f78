"""The Gluon kernel as sm_90 code, on every Triton here; on a card, its numbers."""

import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kernels.cards.archs import ARCHS
from kernels.compiled.emit import nvidia_tool
from kernels.launch import INTERPRETED, Operands
from kernels.space.layer import Layer

if not INTERPRETED:
    from kernels.experiments import gluon_conv
    from kernels.experiments.gluon_conv import Cut

pytestmark = pytest.mark.skipif(INTERPRETED, reason="the interpreter knows no Gluon")

WINDOW = Layer(32, 14, 14, 256, 256, (3, 3), 1, 1)
POINT = Layer(32, 14, 14, 256, 1024, (1, 1), residual=True)
CASES = {
    "3x3": (WINDOW, ((16, 2, 4), 256)),
    "3x3, narrow": (WINDOW, ((16, 2, 4), 128)),
    "3x3, bf16": (replace(WINDOW, dtype="bf16"), ((16, 2, 4), 256)),
    "1x1, residual": (POINT, ((1, 1, 128), 256)),
}


def disassembled(cubin: bytes) -> tuple[str, str]:
    """Resource usage and machine code."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        commands = (
            [nvidia_tool("cuobjdump"), "--dump-resource-usage", str(file)],
            [nvidia_tool("nvdisasm"), "-c", str(file)],
        )
        usage, code = (
            subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands
        )
    return usage, code


@pytest.mark.parametrize("name", CASES)
def test_what_is_emitted(name: str) -> None:
    layer, (box, block_n) = CASES[name]
    cut = Cut(box, block_n)
    kernel = gluon_conv.compile_ahead(layer, cut)
    usage, code = disassembled(kernel.asm["cubin"])
    found = {key: int(value) for key, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    assert (found["STACK"], found["LOCAL"]) == (0, 0)
    assert "STL" not in code
    assert kernel.metadata.shared <= ARCHS[90].shared
    # registers go from the warp that loads to those that multiply
    assert {int(count) for count in re.findall(r"setmaxnreg\.\w+\.sync\.aligned\.u32\s+(\d+)", kernel.asm["ptx"])} == {
        gluon_conv.PRODUCER_REGISTERS, 240,
    }  # fmt: skip
    products = re.findall(r"wgmma\.mma_async\S*\s+\{[^}]*\},\s*(\S)", kernel.asm["ptx"])
    assert len(products) == cut.block_k // 16
    assert "{" not in products  # x is read from shared memory: a descriptor, not a list of registers
    assert code.count("UTMALDG.4D") >= 1 + layer.residual
    assert "UTMALDG.2D" in code
    assert "UTMASTG.4D" in code
    assert "LDGSTS" not in code
    assert "WARPGROUP.DEPBAR.LE gsb0, 0x1" in code  # one product in flight


def test_all_warps_are_past_a_product_before_its_buffer_is_given_back() -> None:
    """Between the wait for products and the arrival that frees a buffer there is one barrier of the eight warps."""
    _, code = disassembled(gluon_conv.compile_ahead(WINDOW, Cut((16, 2, 4), 256)).asm["cubin"])
    loop = code[code.index("WARPGROUP.DEPBAR.LE gsb0, 0x1") : code.index("WARPGROUP.DEPBAR.LE gsb0, 0x0")]
    names = re.findall(r"\b(BAR\.SYNC|SYNCS\.ARRIVE)", loop)
    assert names[:2] == ["BAR.SYNC", "SYNCS.ARRIVE"]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (replace(WINDOW, dtype="tf32"), "16 bits"),
        (replace(WINDOW, stride=2), "stride 1"),
        (replace(WINDOW, c_in=96), "do not divide"),
        (replace(WINDOW, c_out=200), "do not divide"),
    ],
    ids=str,
)
def test_what_it_cannot_do_is_refused(layer: Layer, reason: str) -> None:
    cut = Cut((16, 2, 4), 256)
    assert reason in str(gluon_conv.rejection_reason(layer, cut))
    with pytest.raises(ValueError, match=reason):
        gluon_conv.bind_launch(layer, cut, Operands.empty(layer), torch.empty(0, device="meta"), 132)


def test_programs_and_tiles() -> None:
    """Boxes that run past the image are tiles too; no more programs than tiles."""
    cut = Cut((16, 2, 4), 128)
    assert gluon_conv.count_tiles(WINDOW, cut) == 2 * 7 * 4 * 2
    assert gluon_conv.count_tiles(POINT, Cut((1, 1, 128), 256)) == 49 * 4
    out = torch.empty(32, 256, 14, 14, dtype=torch.float16, device="meta")
    for programs, grid in ((132, 112), (8, 8)):
        launch, arguments = gluon_conv.bind_launch(WINDOW, cut, Operands.empty(WINDOW), out, programs)
        assert launch.grid == (grid,)
        assert arguments[-3:] == [32, 14, 14]
    assert arguments[0].block_shape == [16, 2, 4, 64]
    assert arguments[0].shape == [32, 14, 14, 256]


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_float64(name: str, operands: Callable, allowed: Callable) -> None:
    from kernels import conv

    if torch.cuda.get_device_capability()[0] != 9:
        pytest.skip("for sm_90 alone")
    layer, (box, block_n) = CASES[name]
    given = operands(layer, device="cuda")
    out = torch.full_like(conv.reference(layer, given, torch.float32), torch.nan).to(given.x.dtype)
    launch, arguments = gluon_conv.bind_launch(layer, Cut(box, block_n), given, out, 132)
    launch.enqueue(*arguments)
    want = conv.reference(layer, given, torch.float64)
    assert float((out.double() - want).abs().max()) <= allowed(layer, want)
