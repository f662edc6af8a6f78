"""Steps from integers to integers, by which a backend declares what it computes in 8 bits, and their exact values.

A backend that runs a network in 8 bits declares it as a list of `Step`. Between two steps there are integers on a
`Grid`, and nowhere else is anything rounded: where a backend rounds twice, it declares two steps. So each step can be
checked alone, from the integers of the backend itself, against the value that it should have rounded.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet.runner import Runner

# The codes of a grid: least and largest, and torch's type. Codes of e4m3 are themselves floating-point numbers.
CODES: Mapping[str, tuple[float, float, torch.dtype]] = {
    "uint8": (0, 255, torch.uint8),
    "int8": (-128, 127, torch.int8),
    "e4m3": (-448, 448, torch.float8_e4m3fn),
}
_E4M3_BITS, _E4M3_LEAST = 3, -6  # of its mantissa, and the exponent of its least normal number


@dataclass(frozen=True)
class Grid:
    """The values that 8 bits have: value = scale * (code - zero), with the codes of `kind`."""

    kind: Literal["uint8", "int8", "e4m3"]
    scale: float
    zero: int = 0

    @property
    def dtype(self) -> torch.dtype:
        """The type of a tensor of codes."""
        return CODES[self.kind][2]

    def values(self, codes: Tensor) -> Tensor:
        """Return the values of codes, in float64."""
        return (codes.double() - self.zero) * self.scale

    def places(self, values: Tensor) -> Tensor:
        """Return the unrounded codes of float64 values, clipped to the codes that there are."""
        least, largest, _ = CODES[self.kind]
        return (values / self.scale + self.zero).clamp(least, largest)

    def steps(self, places: Tensor) -> Tensor:
        """Return the distance of neighbouring codes around unrounded codes: 1, or e4m3's spacing there."""
        if self.kind != "e4m3":
            return torch.ones_like(places)
        exponents = torch.frexp(places.abs().clamp(min=2.0**_E4M3_LEAST)).exponent - 1
        return torch.ldexp(torch.ones_like(places), exponents - _E4M3_BITS)

    def codes(self, values: Tensor) -> Tensor:
        """Return the nearest codes of float64 values, ties to even: the grid's dtype."""
        places = self.places(values)
        return (places if self.kind == "e4m3" else places.round()).to(self.dtype)


def by_channel(numbers: Tensor, weight: Tensor) -> Tensor:
    """Return numbers [K] in a shape that multiplies a weight [K, ...] by output channel."""
    return numbers.reshape(-1, *[1] * (weight.dim() - 1))


@dataclass(frozen=True, eq=False)
class Weight:
    """The weight of a convolution or product: value = scale * code, with a scale for each output channel.

    `codes` are [K, C / groups, R, S] or [K, C], int8 or float8; a weight in float has the values as codes, in its
    dtype, and ones as scales. `scale` is float64 [K]. `module` names the layer of the model, empty for none of it.
    """

    module: str
    codes: Tensor
    scale: Tensor

    @classmethod
    def of_values(cls, module: str, values: Tensor) -> Self:
        """Return the weight in float of a layer that has these values."""
        return cls(module, values, torch.ones(len(values), dtype=torch.float64, device=values.device))

    @property
    def wide(self) -> bool:
        """True of a weight that is not in 8 bits."""
        return self.codes.element_size() > 1

    def values(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return the values, computed in float64, shaped as the codes."""
        if self.wide and self.codes.dtype == dtype:
            return self.codes
        return (self.codes.double() * by_channel(self.scale.double(), self.codes)).to(dtype)


@dataclass(frozen=True, eq=False)
class Term:
    """A summand of a step, of one activation: its values, a product with them, or its values scaled by channel.

    `source` is the activation's name. `weight` makes it a convolution (of four dimensions) or a matrix product (of
    two). `scale` and `shift`, float64 [C], are of a norm that comes before all else, and `relu` follows it. Without a
    weight it is every `stride`-th pixel, with new channels of zeros up to `channels` if that is set: option A.
    """

    source: str
    weight: Weight | None = None
    stride: int = 1
    padding: int = 0
    groups: int = 1
    scale: Tensor | None = None
    shift: Tensor | None = None
    relu: bool = False
    channels: int = 0

    def value(self, x: Tensor) -> Tensor:
        """Return the term's value for the activation's values, [N, C, H, W] or [N, C]: exact where they are float64."""
        if self.scale is not None:
            x = x * self.scale.to(x)[:, None, None]
        if self.shift is not None:
            x = x + self.shift.to(x)[:, None, None]
        x = x.relu() if self.relu else x
        if self.weight is None:
            x = x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
            return F.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1])) if self.channels else x
        values = self.weight.values(x.dtype).to(x)
        if values.dim() == 2:
            return x @ values.T
        return F.conv2d(x, values, None, self.stride, self.padding, 1, self.groups)


@dataclass(frozen=True, eq=False)
class Step:
    """One step: act(sum of the terms + bias), pooled, and rounded to the codes of `output`.

    `name` is the step's and its result's; `bias` is float64 [K]. `pool` is what follows the activation: `max`, 3x3 with
    stride 2 on a border that no value is below, `max_zeros`, the same on a border of zeros, or `mean`, over all pixels,
    to [N, C]. A step without `output` ends in numbers of `dtype`, and is as exact as that type.
    """

    name: str
    terms: tuple[Term, ...]
    output: Grid | None
    bias: Tensor | None = None
    relu: bool = False
    pool: Literal["", "max", "max_zeros", "mean"] = ""
    dtype: torch.dtype = torch.float32

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the activations that it reads."""
        return tuple(term.source for term in self.terms)

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The weights of its terms."""
        return tuple(term.weight for term in self.terms if term.weight is not None)

    def value(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Return the value before it is rounded, from the activations' values by name: exact where they are float64."""
        first, *others = (term.value(activations[term.source]) for term in self.terms)
        total = sum(others, first)
        if self.bias is not None:
            total = total + self.bias.to(total).reshape(1, -1, *[1] * (total.dim() - 2))
        total = total.relu() if self.relu else total
        if self.pool == "mean":
            return total.mean((2, 3))
        if self.pool == "max":
            return F.max_pool2d(total, 3, 2, 1)
        return F.max_pool2d(F.pad(total, (1, 1, 1, 1)), 3, 2) if self.pool else total


class Declared:
    """Steps in a file without a name, so that they keep no memory beside what is measured; a call reads them again."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives and ends with this object
        weakref.finalize(self, self._file.close)
        torch.save(steps, self._file)

    def __call__(self) -> tuple[Step, ...]:
        self._file.seek(0)
        steps: tuple[Step, ...] = torch.load(self._file, weights_only=False)  # our own
        return steps


@dataclass(frozen=True)
class Taps:
    """The activations of one call, by step: codes on the grid of each, or numbers; and the logits [N, classes]."""

    activations: Mapping[str, Tensor]
    logits: Tensor


class QuantizedRunner(Runner, Protocol):
    """A Runner of int8 or fp8. It declares its steps, in order, and shows the integers between them.

    The first step reads `input`, float32 pictures [N, C, H, W], and the last writes the logits.
    """

    @property
    def steps(self) -> tuple[Step, ...]:
        """The declared steps; a runner that holds their weights a second time had better read them anew each time."""
        ...

    # `taps`: `taps` shows the integers of the timed network itself; `units`: of the same steps, each run alone by the
    # same backend, which is a weaker proof, as the whole may be fused in another way
    checked: Literal["taps", "units"]

    def taps(self, x: Tensor) -> Taps:
        """Return the activations and the logits for a placed batch; what it needs for that is freed when it returns.

        Where `checked` is `taps`, the logits are equal bit for bit to those of a call.
        """
        ...
