"""How many registers a thread takes, before it is compiled, and which kernels spill them: without torch and a GPU.

An estimate, fitted to what is emitted, orders and prunes candidates; `space.default`, which nobody checks, takes none
that may spill. `bench kernels` says what really comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer


def reads_shared(layer: Layer, arch: int) -> bool:
    """Whether operands go from shared memory to where they are multiplied, as wgmma and tcgen05 take them.

    mma.sync and the FMA units, which fp32 goes to, take them from registers.
    """
    return arch in (90, 100, 103) and layer.dtype != "fp32"


@dataclass(frozen=True)
class Registers:
    """What a thread's registers go to where kernels multiply in one way: so many for each of these.

    `share`: accumulators; `loads`: 16-byte loads of a step, `window`: those of x again, where a window of several
    pixels asks whether each is inside; `values`: those that a prologue computes; `residual`: registers that hold its
    share; `second`: 16-byte loads of a second operand, whose addresses live beside the first's. From `most` on, such
    kernels were seen to spill.
    """

    fixed: float
    share: float
    loads: float
    window: float
    values: float
    residual: float
    second: float
    most: int


# Least squares over 1551 kernels with pointer loads: what an earlier estimate chose for all ResNets at batches of 1, 32
# and 256 in all precisions, on sm_80, 89, 90, 100 and 120 (Triton 3.7.1, 2026-11-24). Against these and the 1240 that
# followed, the standard deviations are 14, 22, 16, 23 and 24 registers. A prologue's values before wgmma and second
# operands count for more than their mean, as they are among what spills.
REGISTERS = {
    "wgmma": Registers(20, 1.13, 2.3, 2.1, 1.3, 0.5, 4.3, most=245),
    "tcgen05": Registers(20, 1.15, 1.9, 1.5, 0.3, 1.2, 2.6, most=240),
    "mma": Registers(25, 1.22, 4.1, 5.2, 1.27, 0.2, 4.0, most=190),
    "fma of sm_80 and sm_90": Registers(28, 2.9, 3.2, 0.2, 0.1, 0.0, 3.0, most=220),
    "fma": Registers(52, 1.48, 2.0, 3.8, 1.2, 0.3, 8.0, most=200),
}


def multiplier(layer: Layer, arch: int) -> str:
    """What multiplies, a key of REGISTERS. Of fp32 there are two kinds of code."""
    if layer.dtype == "fp32":
        return "fma of sm_80 and sm_90" if arch in (80, 90) else "fma"
    return {90: "wgmma", 100: "tcgen05", 103: "tcgen05"}.get(arch, "mma")


def registers(layer: Layer, config: Config, arch: int) -> int:
    """A thread's registers, fitted to what is emitted; more than 255 are spilled."""
    size, threads, fit = BYTES[layer.dtype], 32 * config.warps, REGISTERS[multiplier(layer, arch)]
    share = config.block_m * config.block_n / threads
    values = config.block_m * config.block_k / threads
    residual = share * size / 4 if layer.residual and config.split_k == 1 else 0
    if config.impl == "tma":  # 300 kernels of sm_90 and sm_100: standard deviations of 8 and 30
        if arch == 90:
            in_row = config.box is not None and config.box[2] == config.block_m  # else x passes through registers
            return int(29 + share + (0 if in_row else values * size / 4) + residual / 6)
        return int(10 + 1.3 * share + 1.3 * residual)
    a, b = values * size / 16, config.block_n * config.block_k * size / 16 / threads
    found = fit.fixed + fit.share * share + fit.loads * (a + b) + fit.residual * residual
    if layer.columns.flat:
        found += 3 * values  # loaded one by one, with an address each
    elif layer.kernel != (1, 1):
        found += fit.window * a
    if layer.prologue:
        found += fit.values * values
    if layer.second:
        found += fit.second * a
    return int(found)


# What was seen to spill below these bounds: precision (half: fp16, bf16), tile, warps and what is special about the
# layer. Mostly the compiler stops at 64, 80, 96, 128 or 168 registers, where one more block fits an SM, and lets 8 to
# 24 bytes go for that, which no estimate tells. Here is what `space.default` would choose without it. With it none of
# its choices spills, for 18 to 152 layers, v1, v1.5 and v2, the batches, precisions and architectures above, and the
# model predicts no network to take 0.3 % longer than by what was chosen before.
SPILLING: dict[int, frozenset[str]] = {
    80: frozenset(
        {
            "fp32 64x64x16-w8 split second",
            "fp32 64x64x32-w4 window",
            "fp32 64x64x32-w4 window residual",
            "fp32 64x64x32-w8 split second",
            "tf32 128x64x16-w4 window split prologue",
            "tf32 64x64x64-w8 prologue",
        }
    ),
    89: frozenset(
        {
            "fp32 64x64x16-w4 prologue",
            "fp32 64x64x32-w8 split second",
            "tf32 64x64x16-w4 window split prologue",
        }
    ),
    90: frozenset(
        {
            "fp32 64x64x16-w4 prologue",
            "fp32 64x64x32-w4 prologue",
            "fp32 64x64x32-w4 window split",
            "fp32 64x64x32-w8 prologue",
            "fp32 64x64x32-w8 second",
            "fp32 64x64x32-w8 split",
            "fp32 64x64x32-w8 split second",
            "half 128x256x32-w8 residual",
            "half 128x256x32-w8 window residual",
            "half 128x256x64-w8 residual",
            "half 128x256x64-w8 window residual",
            "half 256x128x32-w8 residual",
            "half 256x128x32-w8 window residual",
            "half 256x128x64-w8 residual",
            "half 256x128x64-w8 window residual",
            "tf32 128x256x16-w8 residual",
            "tf32 256x128x16-w8 residual",
        }
    ),
    100: frozenset(
        {
            "fp32 64x64x32-w8 prologue",
            "fp32 64x64x32-w8 split prologue",
            "half 128x64x64-w8 split second",
            "tf32 128x64x64-w8 split",
            "tf32 256x128x16-w8",
            "tf32 256x128x16-w8 prologue",
            "tf32 256x128x32-w8",
            "tf32 256x128x32-w8 prologue",
            "tf32 256x128x64-w8",
        }
    ),
    120: frozenset(
        {
            "fp32 64x64x16-w4 prologue",
            "fp32 64x64x16-w8 prologue",
            "fp32 64x64x32-w8",
            "fp32 64x64x32-w8 prologue",
            "fp32 64x64x32-w8 residual",
            "half 64x64x64-w8 split",
            "tf32 32x64x32-w4 window split prologue",
            "tf32 64x64x32-w4 window split",
            "tf32 64x64x32-w8 split",
        }
    ),
}


def spills(layer: Layer, config: Config, arch: int) -> bool:
    """Whether it should not be taken unchecked, as its registers may be too few."""
    if registers(layer, config, arch) >= REGISTERS[multiplier(layer, arch)].most:
        return True
    if layer.dtype == "fp32" and config.block_k > 32:  # a step's operands are held in registers, up to 500 bytes' worth
        return True
    return config.impl == "ptr" and _kind(layer, config) in SPILLING.get(arch, ())


def _kind(layer: Layer, config: Config) -> str:
    """`half 128x64x64-w8 split second`: what SPILLING knows of a kernel."""
    dtype = "half" if BYTES[layer.dtype] == 2 else layer.dtype
    special = {"window": layer.kernel != (1, 1), "split": config.split_k > 1, "second": layer.second}
    special |= {"residual": layer.residual and config.split_k == 1, "prologue": layer.prologue}
    tile = f"{config.block_m}x{config.block_n}x{config.block_k}-w{config.warps}"
    return " ".join([dtype, tile, *(word for word, there in special.items() if there)])
