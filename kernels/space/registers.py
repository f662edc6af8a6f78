"""Estimates of a thread's registers before compilation, and which kernels may spill: without torch or a GPU.

An estimate, fitted to compiled kernels, prunes candidates; `default_config`, whose kernels nobody checks, takes none
that may spill. `bench kernels` records what the compiler really emits.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer


def multiplies_from_shared(layer: Layer, arch: int) -> bool:
    """Tell whether products read their operands from shared memory, as wgmma and tcgen05 do.

    mma.sync and the FMA units, which multiply fp32, read them from registers; tcgen05 has no int8 in Triton.
    """
    return arch in ((90,) if layer.dtype == "int8" else (90, 100, 103)) and layer.dtype != "fp32"


@dataclass(frozen=True)
class RegisterFit:
    """Coefficients of a linear fit: a thread's registers in kernels that use one unit to multiply.

    `fixed` registers, and so many per: accumulator; 16-byte load of a step (`loads`), and load of x where a `window` of
    several pixels checks the image's border; value that a prologue computes (`values`); register of the `residual`;
    16-byte load of a `second` operand, whose addresses are live beside the first's. From `limit` registers on, such
    kernels were seen to spill.
    """

    fixed: float
    accumulators: float
    loads: float
    window: float
    values: float
    residual: float
    second: float
    limit: int


# Least squares over 1551 kernels with pointer loads, which an earlier estimate chose for all ResNets at batches of 1,
# 32 and 256 in all precisions, on sm_80, 89, 90, 100 and 120 (Triton 3.7.1, 2026-11-24). Against these and 1240 later
# ones the standard deviations are 14, 22, 16, 23 and 24 registers. The coefficients of a prologue's values before
# wgmma and of second operands are above their mean, as these kernels are among those that spill.
REGISTER_FITS = {
    "wgmma": RegisterFit(20, 1.13, 2.3, 2.1, 1.3, 0.5, 4.3, limit=245),
    "tcgen05": RegisterFit(20, 1.15, 1.9, 1.5, 0.3, 1.2, 2.6, limit=240),
    "mma": RegisterFit(25, 1.22, 4.1, 5.2, 1.27, 0.2, 4.0, limit=190),
    "fma of sm_80 and sm_90": RegisterFit(28, 2.9, 3.2, 0.2, 0.1, 0.0, 3.0, limit=220),
    "fma": RegisterFit(52, 1.48, 2.0, 3.8, 1.2, 0.3, 8.0, limit=200),
}


def multiply_unit(layer: Layer, arch: int) -> str:
    """Return the unit that multiplies, a key of REGISTER_FITS; code for fp32 comes in two forms."""
    if layer.dtype == "fp32":
        return "fma of sm_80 and sm_90" if arch in (80, 90) else "fma"
    if not multiplies_from_shared(layer, arch):
        return "mma"
    return "wgmma" if arch == 90 else "tcgen05"


def registers(layer: Layer, config: Config, arch: int) -> int:
    """Return an estimate of a thread's registers; more than 255 are spilled."""
    size, threads, fit = BYTES[layer.dtype], 32 * config.warps, REGISTER_FITS[multiply_unit(layer, arch)]
    accumulators = config.block_m * config.block_n / threads
    if layer.dtype == "fp8" and arch not in (100, 103):
        accumulators *= 2  # a step's sums, and all (`kernels.tile.add_product`)
    values = config.block_m * config.block_k / threads
    residual = accumulators * BYTES[layer.in_dtype] / 4 if layer.residual and config.split_k == 1 else 0
    if config.impl == "tma":  # 300 kernels of sm_90 and sm_100: standard deviations of 8 and 30
        if arch == 90:
            one_row = config.box is not None and config.box[2] == config.block_m  # else x passes through registers
            return int(29 + accumulators + (0 if one_row else values * size / 4) + residual / 6)
        return int(10 + 1.3 * accumulators + 1.3 * residual)
    x_loads, w_loads = values * size / 16, config.block_n * config.block_k * size / 16 / threads
    count = fit.fixed + fit.accumulators * accumulators + fit.loads * (x_loads + w_loads) + fit.residual * residual
    if layer.dtype == "int8" and residual:
        count += accumulators  # the residual's codes as float32, beside sums in int32
    if layer.dtype == "fp8" and arch in (100, 103):
        count += accumulators / 2  # read from tensor memory, and rescaled
    if layer.columns.flat:
        count += 3 * values  # loaded one by one, with an address each
    elif layer.kernel != (1, 1):
        count += fit.window * x_loads
    if layer.prologue or layer.reads:
        count += fit.values * values
    if layer.second:
        count += fit.second * x_loads
    return int(count)


# Kernels seen to spill below these limits: precision (half: fp16, bf16), tile and warps, by the layer's special parts.
# Mostly the compiler stops at 64, 80, 96, 128 or 168 registers, where one more block fits an SM, and spills 8 to 24
# bytes for that, which no estimate predicts. The table has those that `default_config` would choose without it. With
# it none of its choices spills, for 18 to 152 layers, v1, v1.5 and v2, the batches, precisions and architectures
# above, and the model predicts no network to take 0.3 % longer than with the former choices.
SPILLING: dict[int, dict[str, tuple[str, ...]]] = {
    80: {
        "fp32 64x64x16-w8": ("split second",),
        "fp32 64x64x32-w4": ("window", "window residual"),
        "fp32 64x64x32-w8": ("split second",),
        "tf32 128x64x16-w4": ("window split prologue",),
        "tf32 64x64x64-w8": ("prologue",),
    },
    89: {
        "fp32 64x64x16-w4": ("prologue",),
        "fp32 64x64x32-w8": ("split second",),
        "fp8 64x64x128-w4": ("window",),
        "tf32 64x64x16-w4": ("window split prologue",),
    },
    90: {
        "fp32 64x64x16-w4": ("prologue",),
        "fp32 64x64x32-w4": ("prologue", "window split"),
        "fp32 64x64x32-w8": ("prologue", "second", "split", "split second"),
        "half 128x256x32-w8": ("residual", "window residual"),
        "half 128x256x64-w8": ("residual", "window residual"),
        "half 256x128x32-w8": ("residual", "window residual"),
        "half 256x128x64-w8": ("residual", "window residual"),
        "tf32 128x256x16-w8": ("residual",),
        "tf32 256x128x16-w8": ("residual",),
    },
    100: {
        "fp32 64x64x32-w8": ("prologue", "split prologue"),
        "fp8 256x128x32-w8": ("",),
        "fp8 256x128x64-w8": ("",),
        "fp8 256x128x128-w8": ("",),
        "int8 128x64x64-w4": ("window second",),
        "half 128x64x64-w8": ("split second",),
        "tf32 128x64x64-w8": ("split",),
        "tf32 256x128x16-w8": ("", "prologue"),
        "tf32 256x128x32-w8": ("", "prologue"),
        "tf32 256x128x64-w8": ("",),
    },
    120: {
        "fp32 64x64x16-w4": ("prologue",),
        "fp32 64x64x16-w8": ("prologue",),
        "fp32 64x64x32-w8": ("", "prologue", "residual"),
        "half 64x64x64-w8": ("split",),
        "tf32 32x64x32-w4": ("window split prologue",),
        "tf32 64x64x32-w4": ("window split",),
        "tf32 64x64x32-w8": ("split",),
    },
}


def may_spill(layer: Layer, config: Config, arch: int) -> bool:
    """Tell whether a kernel may need more registers than a thread has."""
    if registers(layer, config, arch) >= REGISTER_FITS[multiply_unit(layer, arch)].limit:
        return True
    if layer.dtype == "fp32" and config.block_k > 32:  # a step's operands are in registers, up to 500 bytes
        return True
    tile, special = _spill_key(layer, config)
    return config.impl == "ptr" and special in SPILLING.get(arch, {}).get(tile, ())


def _spill_key(layer: Layer, config: Config) -> tuple[str, str]:
    """Return a kernel's keys in SPILLING: `half 128x64x64-w8` and `split second`."""
    dtype = "half" if BYTES[layer.dtype] == 2 and not layer.reads else layer.dtype
    special = {"window": layer.kernel != (1, 1), "split": config.split_k > 1, "second": layer.second}
    special |= {"residual": layer.residual and config.split_k == 1, "prologue": layer.prologue}
    tile = f"{dtype} {config.block_m}x{config.block_n}x{config.block_k}-w{config.warps}"
    return tile, " ".join(word for word, present in special.items() if present)
