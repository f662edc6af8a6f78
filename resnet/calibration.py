"""The choices of a network in 8 bits, as the command line has them. The standard library alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EIGHT_BITS = ("int8", "fp8")
# The reason why kernels of 8 bits run no pre-activation network.
NO_PROLOGUE = "its norms follow sums, and their results would be rounded inside a kernel, where nothing can check them"

# Ways of choosing the range of an activation that 8 bits cover, from its values on the calibration's pictures.
METHODS: Mapping[str, str] = {
    "minmax": "from the least to the largest value",
    "percentile": "all but the outermost values, one in 100,000",
    "entropy": "the least Kullback-Leibler divergence of the rounded values' histogram from the values'",
    "mse": "the least mean squared error of rounding and clipping",
}
METHOD, PICTURES = "mse", 64  # the defaults
# Formats that are simulated, by those of activations: a CPU's, with zero points, and a GPU's int8 and fp8.
FORMATS = ("uint8", "int8", "e4m3")
# Names of simulated networks: in float, with every layer in 8 bits, with their activations alone; before a layer's
# name those with it alone in 8 bits, and alone out of them.
FLOAT, WHOLE, ALL_WIDE, ALONE, WIDE = "float", "8 bits", "all wide", "quantized:", "wide:"
# The first picture of a seed that calibrates: none before it does, so that a case is judged on others.
FIRST_PICTURE = 1 << 20


@dataclass(frozen=True)
class Calibration:
    """The choices that an 8-bit variant is prepared with: pictures that no answer is judged on, and two choices.

    `pictures` is a float32 batch [N, C, H, W] on the CPU, `method` a key of METHODS. `keep_wide` names the model's
    convolutions and classifier (`layer4.2.conv3`, `fc`) that stay in the precision around the 8 bits; a number in their
    place is of the most sensitive layers, which `resnet.prepare` names. It may be given as words: "conv1,fc", "3".
    """

    pictures: Tensor
    method: str = METHOD
    keep_wide: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for what is no batch of pictures, and for an unknown method."""
        if not hasattr(self.pictures, "is_floating_point") or self.pictures.ndim != 4 or not len(self.pictures):
            raise ValueError("a calibration is on a batch of pictures [N, C, H, W], as resnet.pictures(64) returns")
        if self.method not in METHODS:
            raise ValueError(f"{self.method!r} is no way of calibrating: there are {', '.join(METHODS)}")
        if isinstance(self.keep_wide, str | int):
            object.__setattr__(self, "keep_wide", parse_wide(str(self.keep_wide)))


def parse_wide(words: str) -> tuple[str, ...]:
    """Return the layers of a setting `keep_wide`: names that commas separate, or a number of layers as it stands."""
    return tuple(dict.fromkeys(name.strip() for name in words.split(",") if name.strip()))
