"""The operands of a convolution layer, its right answer, and how wrong an answer is."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import ceil, log2, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.worker.measure.clock import last_level_cache
from bench.worker.truth import MAX_MULTIPLE, RMS_MULTIPLE, ROUNDING_RMS, ROUNDOFF
from kernels.space.layer import Layer
from resnet.runner import DTYPES

MAX_SETS = 16  # of operands in rotation
FLOAT64_BYTES = 1 << 29  # of right answers at a time


@dataclass
class Operands:
    """x [N, C, H, W] and residual [N, K, H', W'] or None, channels-last; weight [K, C, R, S], channels-last; bias [K].

    All are in the precision's dtype. `summand` is what the residual holds before a call, which may overwrite it.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor
    residual: Tensor | None
    summand: Tensor | None

    def restore(self) -> None:
        if self.residual is not None and self.summand is not None:
            self.residual.copy_(self.summand)

    def clone(self) -> Operands:
        copies = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(self, **{name: value.clone() for name, value in copies.items() if value is not None})


def draw(layer: Layer, device: str, seed: int) -> Operands:
    """Draw operands as in a network: x and residual as behind a ReLU, a weight that keeps the variance."""
    generator, dtype = torch.Generator(device).manual_seed(seed), DTYPES[layer.dtype]

    def normal(*shape: int) -> Tensor:
        drawn = torch.randn(shape, generator=generator, device=device)
        if layer.dtype == "tf32":  # values that it has, so that no contestant needs to round
            drawn.view(torch.int32).bitwise_and_(-1 << 13)
        return drawn.to(dtype, memory_format=torch.channels_last) if len(shape) == 4 else drawn.to(dtype)

    x = normal(layer.n, layer.c_in, layer.h, layer.w).relu_()
    weight = normal(layer.c_out, layer.c_in, *layer.kernel)
    weight.mul_(2.0 ** round(log2(2 / (layer.c_in * prod(layer.kernel))) / 2))  # a power of two rounds nothing
    summand = normal(*layer.out_shape).relu_() if layer.residual else None
    return Operands(x, weight, normal(layer.c_out), None if summand is None else summand.clone(), summand)


def set_count(layer: Layer, device: str) -> int:
    """Return how many sets of operands rotate: twice the last cache, two at least, MAX_SETS at most."""
    return min(MAX_SETS, max(2, ceil(2 * last_level_cache(device) / layer.bytes)))


def right_answer(layer: Layer, operands: Operands) -> Tensor:
    """Return act(conv(x) + bias + residual) in float64 on the device, computed some images at a time."""
    pixels = layer.h * layer.w * layer.c_in + layer.out_h * layer.out_w * layer.c_out
    count = max(1, FLOAT64_BYTES // (8 * pixels))
    weight, bias = operands.weight.double(), operands.bias.double()
    parts = []
    for first in range(0, layer.n, count):
        images = slice(first, first + count)
        y = F.conv2d(operands.x[images].double(), weight, bias, layer.stride, layer.padding)
        if operands.summand is not None:
            y += operands.summand[images].double()
        parts.append(y.relu_() if layer.relu else y)
    return torch.cat(parts)


def why_no_answer(layer: Layer, answer: object) -> str:
    """Return why an answer has not the form of one, or an empty text."""
    if not isinstance(answer, Tensor):
        return f"returned a {type(answer).__name__}, and not a tensor"
    if tuple(answer.shape) != layer.out_shape:
        return f"returned the shape {list(answer.shape)}, not {list(layer.out_shape)}"
    if answer.dtype != DTYPES[layer.dtype]:
        return f"returned {answer.dtype}, not {DTYPES[layer.dtype]}, in which its input is"
    if not bool(answer.isfinite().all()):
        share = 1 - float(answer.isfinite().float().mean())
        return f"{share:.2%} of the answer is NaN or infinite: wrong, left unwritten, or of an earlier call"
    return ""


def multiples(layer: Layer, answer: Tensor, library: Tensor, right: Tensor) -> tuple[float, float]:
    """Return an answer's RMS and largest error, as multiples of the library's, which has at least that of rounding."""
    unit, error, of_library = ROUNDOFF[layer.dtype], answer.double() - right, library.double() - right
    rms = max(_rms(of_library), ROUNDING_RMS * unit * _rms(right))
    largest = max(float(of_library.abs().max()), unit * float(right.abs().max()))
    return _rms(error) / rms, float(error.abs().max()) / largest


def why_wrong(error: float, largest: float) -> str:
    """Return why an answer with these multiples is wrong, or an empty text."""
    for norm, multiple, allowed in (("RMS", error, RMS_MULTIPLE), ("largest", largest, MAX_MULTIPLE)):
        if not multiple <= allowed:
            return f"the {norm} error is {multiple:.3g} times the library's (allowed: {allowed:g})"
    return ""


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())
