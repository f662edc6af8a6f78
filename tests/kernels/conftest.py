import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import frexp, prod

import pytest
import torch
from torch import Tensor

from kernels import Config, Layer
from tests.kernels.apart import apart

if importlib.util.find_spec("triton") is None:
    collect_ignore_glob = ["*"]

GUARD = 64  # elements behind an output, which are to be left alone

# Bits of the result's own rounding; float32 sums are no further off than the first.
FP32_ERROR, BITS = 2e-6, {"fp32": 24, "tf32": 11, "fp16": 11, "bf16": 8}


@pytest.fixture(scope="session", autouse=True)
def _compiler_in_a_child() -> Iterator[None]:
    import triton

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton, "compile", apart(triton.compile))
        yield


@pytest.fixture(scope="session")
def interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def channels_last() -> Callable[..., Tensor]:
    def make(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape).to(dtype, memory_format=torch.channels_last)

    return make


@pytest.fixture(scope="session")
def operands() -> Callable[..., object]:
    """Random operands of a layer, of a stem or of a head, of about unit size: `Operands`."""
    from kernels import pack, widen
    from kernels.launch import Operands
    from kernels.packing import TORCH_TYPES
    from kernels.tf32 import round_tf32

    def make(layer: Layer, seed: int = 0, device: str = "cpu") -> Operands:
        generator = torch.Generator().manual_seed(seed)
        dtype = TORCH_TYPES[layer.dtype]

        def values(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        def activation(n: int, h: int, w: int, c: int) -> Tensor:
            placed = values(n, h, w, c).to(device, dtype).permute(0, 3, 1, 2)
            placed = round_tf32(placed) if layer.dtype == "tf32" else placed
            return torch.empty_like(placed, memory_format=torch.channels_last).copy_(placed)

        depth = prod(layer.kernel) * layer.c_in + layer.c_in2
        weight = values(layer.c_out, layer.c_in, *layer.kernel) / depth**0.5
        second = (values(layer.c_out, layer.c_in2, 1, 1) / depth**0.5, values(layer.c_out)) if layer.second else None
        packed = pack(weight, values(layer.c_out), dtype, second=second, tf32=layer.dtype == "tf32")
        weights = (widen(packed, layer.stride, layer.padding) if layer.pool else packed).to(device)
        return Operands(
            activation(layer.n, layer.h, layer.w, layer.c_in),
            weights.weight,
            weights.bias,
            activation(layer.n, layer.out_h, layer.out_w, layer.c_out) if layer.residual else None,
            activation(layer.n, *layer.second[:3]) if layer.second else None,
            (values(layer.c_in).abs() + 0.5).to(device) if layer.prologue else None,
            values(layer.c_in).to(device) if layer.prologue else None,
        )

    return make


@pytest.fixture(scope="session")
def allowed() -> Callable[[Layer, Tensor], float]:
    """Largest error that rounding explains: float32 sums, and half a unit in the last place of a rounded result.

    Split depths and second operands are sums in float32 too, and get no more. A prologue's result is rounded before the
    product, except in fp32: computed in float32 it may fall on the other side than in float64, a unit of an activation.
    """

    def bound(layer: Layer, want: Tensor) -> float:
        top = float(want.abs().max())
        unit = 2.0 ** (frexp(top)[1] - BITS[layer.dtype])
        rounded = layer.dtype != "fp32"
        return FP32_ERROR * top + (0.5 * unit if rounded else 0) + (unit if rounded and layer.prologue else 0)

    return bound


@pytest.fixture(scope="session")
def check(operands, allowed) -> Callable[..., Tensor]:
    """Runs a layer by its kernel on poisoned memory and compares with float64; returns the result.

    `tolerance` is a share of the largest value, in place of what rounding explains.
    """
    from kernels.kinds import reference
    from kernels.launch import empty_output, launch_layer

    def run(
        layer: Layer,
        config: Config,
        seed: int = 0,
        device: str = "cpu",
        tolerance: float | None = None,
        given: object = None,
    ) -> Tensor:
        given = operands(layer, seed, device) if given is None else given
        like = empty_output(layer, "meta")
        memory = torch.full((like.numel() + GUARD,), torch.nan, dtype=like.dtype, device=device)
        out = memory.as_strided(like.shape, like.stride())
        launch_layer(layer, config, given, out)
        assert memory[like.numel() :].isnan().all()
        want = reference(layer, given, torch.float64)
        error = float((out.double() - want).abs().max())  # NaN where nothing was written
        # the averages of two kernels are rounded between them, as a prologue's results are
        between = config.block_m > 1 if layer.mean else layer.prologue
        rounded = allowed(replace(layer, prologue=between), want)
        bound = rounded if tolerance is None else tolerance * float(want.abs().max())
        assert error <= bound, f"{layer.key} by {config}: {error:.3g} off, {bound:.3g} allowed"
        if layer.dtype == "tf32":  # what is multiplied next is rounded, as the tensor cores would cut it off
            assert not (out.view(torch.int32) & 0x1FFF).any()
        return out

    return run
