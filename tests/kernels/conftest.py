import importlib.util
import os
from collections.abc import Callable
from math import frexp, prod

import pytest
import torch
from torch import Tensor

from kernels.config import Config, Layer

if importlib.util.find_spec("triton") is None:
    collect_ignore_glob = ["*"]

# Bits of the result's own rounding; float32 sums are no further off than the first.
FP32_ERROR, BITS = 2e-6, {"fp32": 24, "tf32": 24, "fp16": 11, "bf16": 8}


@pytest.fixture(scope="session")
def interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture(scope="session")
def operands() -> Callable[..., object]:
    """Random operands of a layer, of about unit size: `Operands`."""
    from kernels.launch import Operands
    from kernels.pack import TORCH_TYPES, pack

    def make(layer: Layer, seed: int = 0, device: str = "cpu") -> Operands:
        generator = torch.Generator().manual_seed(seed)
        dtype = TORCH_TYPES[layer.dtype]

        def values(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        def activation(n: int, h: int, w: int, c: int) -> Tensor:
            placed = values(n, h, w, c).to(device, dtype).permute(0, 3, 1, 2)
            return torch.empty_like(placed, memory_format=torch.channels_last).copy_(placed)

        depth = prod(layer.kernel) * layer.c_in + layer.c_in2
        weight = values(layer.c_out, layer.c_in, *layer.kernel) / depth**0.5
        second = (values(layer.c_out, layer.c_in2, 1, 1) / depth**0.5, values(layer.c_out)) if layer.second else None
        packed = pack(weight, values(layer.c_out), dtype, second=second, tf32=layer.dtype == "tf32").to(device)
        return Operands(
            activation(layer.n, layer.h, layer.w, layer.c_in),
            packed.weight,
            packed.bias,
            activation(layer.n, layer.out_h, layer.out_w, layer.c_out) if layer.residual else None,
            activation(layer.n, *layer.second[:3]) if layer.second else None,
            (values(layer.c_in).abs() + 0.5).to(device) if layer.prologue else None,
            values(layer.c_in).to(device) if layer.prologue else None,
        )

    return make


@pytest.fixture(scope="session")
def allowed() -> Callable[[Layer, Tensor], float]:
    """Largest error that rounding explains: float32 sums, and half a unit in the last place of a 16-bit result.

    Split depths and second operands are sums in float32 too, and get no more. A prologue's result is rounded to 16 bits
    before the product: computed in float32 it may fall on the other side than in float64, a unit of an activation.
    """

    def bound(layer: Layer, want: Tensor) -> float:
        top = float(want.abs().max())
        unit = 2.0 ** (frexp(top)[1] - BITS[layer.dtype])
        rounded = layer.dtype in ("fp16", "bf16")
        return FP32_ERROR * top + (0.5 * unit if rounded else 0) + (unit if rounded and layer.prologue else 0)

    return bound


@pytest.fixture(scope="session")
def check(operands, allowed) -> Callable[..., Tensor]:
    """Runs a layer by its kernel on poisoned memory and compares with float64; returns the result."""
    from kernels import conv, conv_tma
    from kernels.launch import output

    def run(layer: Layer, config: Config, seed: int = 0, device: str = "cpu", tolerance: float | None = None) -> Tensor:
        given = operands(layer, seed, device)
        out = output(layer, device).fill_(torch.nan)
        (conv_tma if config.impl == "tma" else conv).launch(layer, config, given, out)
        want = conv.reference(layer, given, torch.float64)
        error = float((out.double() - want).abs().max())  # NaN where nothing was written
        bound = allowed(layer, want) if tolerance is None else tolerance * float(want.abs().max())
        assert error <= bound, f"{layer.key} by {config}: {error:.3g} off, {bound:.3g} allowed"
        return out

    return run
