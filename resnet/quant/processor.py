"""The form of 8 bits that a CPU computes exactly."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

from resnet.quant.network import Scheme

# Weights up to this keep two products with 255 within 16 bits.
REDUCED = 64
_X86 = ("x86_64", "AMD64", "i686")
_OVERFLOWS = (
    "this x86 CPU has no VNNI, so two products of 8 bits are added in 16, which overflow unless weights have 7 bits"
)


@cache
def overflow(processor: Path = Path("/proc/cpuinfo")) -> str:
    """Return why sums of uint8 times int8 overflow on this CPU, or nothing where they are exact."""
    if platform.machine() not in _X86:
        return ""
    try:
        return "" if "vnni" in processor.read_text() else _OVERFLOWS
    except OSError:
        return f"{_OVERFLOWS}: at least it cannot be read that it has"


def cpu_scheme(mean: bool = False) -> Scheme:
    """Return the formats for this CPU: activations in uint8, weights of 7 bits where sums overflow."""
    return Scheme("uint8", largest=REDUCED if overflow() else 127, mean=mean)
