"""The data sheets of graphics cards: one table, from their vendor's documents.

A card's name is the one that NVML and `torch.cuda.get_device_name` report. Cards of one architecture have rows of their
own: an H100 and an H200 are the same chip with 3.35 and 4.8 TB/s of memory. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

TERA = 1e12


@dataclass(frozen=True)
class Card:
    """A row of the table.

    `key`: the short name on the command line; `name`: NVML's name, and `pattern` a regular expression for its variants;
    `memory`: bytes/s; `flops`: dense operations per second by precision, of tensor cores with float32
    accumulators (`fp32`: of CUDA cores).
    """

    key: str
    name: str
    product: str
    arch: int  # compute capability as 90
    sms: int
    memory: float
    document: str
    flops: Mapping[str, float] = field(hash=False)
    pattern: str = ""


def _card(
    key: str, name: str, product: str, arch: int, sms: int, memory: float, document: str,
    rates: Mapping[str, float], pattern: str = "",
) -> Card:  # fmt: skip
    """Return a row from its memory's TB/s and its TFLOP/s."""
    flops = {precision: rate * TERA for precision, rate in rates.items()}
    return Card(key, name, product, arch, sms, memory * TERA, f"NVIDIA's {document}", flops, pattern)


# As NVIDIA prints them (read 2026-11); halved where only the rate with sparsity is printed.
AMPERE = {"fp32": 19.5, "tf32": 156, "fp16": 312, "bf16": 312, "int8": 624}  # no fp8 units
A10 = {"fp32": 31.2, "tf32": 62.5, "fp16": 125, "bf16": 125, "int8": 250}
ADA = {"fp32": 91.6, "tf32": 183, "fp16": 362.05, "bf16": 362.05, "fp8": 733, "int8": 733}
L4 = {"fp32": 30.3, "tf32": 120 / 2, "fp16": 242 / 2, "bf16": 242 / 2, "fp8": 485 / 2, "int8": 485 / 2}
RTX4090 = {"fp32": 82.6, "tf32": 82.6, "fp16": 165.2, "bf16": 165.2, "fp8": 330.3, "int8": 660.6}
HOPPER = {"fp32": 67, "tf32": 989 / 2, "fp16": 1979 / 2, "bf16": 1979 / 2, "fp8": 3958 / 2, "int8": 3958 / 2}
HOPPER_PCIE = {"fp32": 51, "tf32": 756 / 2, "fp16": 1513 / 2, "bf16": 1513 / 2, "fp8": 3026 / 2, "int8": 3026 / 2}
HOPPER_NVL = {"fp32": 60, "tf32": 835 / 2, "fp16": 1671 / 2, "bf16": 1671 / 2, "fp8": 3341 / 2, "int8": 3341 / 2}
BLACKWELL = {"fp32": 75, "tf32": 2200 / 2, "fp16": 4500 / 2, "bf16": 4500 / 2, "fp8": 9000 / 2}
RTX5090 = {"fp32": 104.8, "tf32": 104.8, "fp16": 209.5, "bf16": 209.5, "fp8": 419, "int8": 838}

# The first card of each architecture stands for it where no card is named.
CARDS = (
    _card("a100", "NVIDIA A100-SXM4-80GB", "NVIDIA A100 SXM 80 GB", 80, 108, 2.039, "A100 datasheet", AMPERE),
    _card("a100-40gb", "NVIDIA A100-SXM4-40GB", "NVIDIA A100 SXM 40 GB", 80, 108, 1.555, "A100 datasheet", AMPERE),
    _card("a100-pcie", "NVIDIA A100 80GB PCIe", "NVIDIA A100 PCIe 80 GB", 80, 108, 1.935, "A100 datasheet", AMPERE),
    _card("a10", "NVIDIA A10", "NVIDIA A10 24 GB", 86, 72, 0.6, "A10 datasheet", A10, "NVIDIA A10G?"),
    _card("l40s", "NVIDIA L40S", "NVIDIA L40S 48 GB", 89, 142, 0.864, "L40S datasheet", ADA),
    _card("l4", "NVIDIA L4", "NVIDIA L4 24 GB", 89, 58, 0.3, "L4 datasheet", L4),
    _card("rtx4090", "NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090", 89, 128, 1.008,
          "Ada architecture whitepaper", RTX4090),
    _card("h200", "NVIDIA H200", "NVIDIA H200 SXM 141 GB", 90, 132, 4.8, "H200 datasheet", HOPPER,
          "NVIDIA H200( SXM5?)?( 141GB)?( HBM3e)?"),
    _card("h200-nvl", "NVIDIA H200 NVL", "NVIDIA H200 NVL 141 GB", 90, 132, 4.8, "H200 datasheet", HOPPER_NVL),
    _card("h100", "NVIDIA H100 80GB HBM3", "NVIDIA H100 SXM 80 GB", 90, 132, 3.35, "H100 datasheet", HOPPER,
          "NVIDIA H100( SXM5?)?( 80GB)?( HBM3)?"),
    _card("h100-pcie", "NVIDIA H100 PCIe", "NVIDIA H100 PCIe 80 GB", 90, 114, 2.0, "H100 PCIe product brief",
          HOPPER_PCIE, "NVIDIA H100 PCIe( 80GB)?"),
    _card("h100-nvl", "NVIDIA H100 NVL", "NVIDIA H100 NVL 94 GB", 90, 132, 3.9, "H100 datasheet", HOPPER_NVL),
    _card("b200", "NVIDIA B200", "NVIDIA B200 180 GB", 100, 148, 7.7, "Blackwell datasheet (HGX B200)",
          BLACKWELL | {"int8": 9000 / 2}, "NVIDIA B200( .*)?"),
    _card("b300", "NVIDIA B300 SXM6 AC", "NVIDIA B300", 103, 148, 8.0, "Blackwell datasheet (HGX B300)",
          BLACKWELL, "NVIDIA B300( .*)?"),
    _card("rtx5090", "NVIDIA GeForce RTX 5090", "NVIDIA GeForce RTX 5090", 120, 170, 1.792,
          "RTX Blackwell architecture whitepaper", RTX5090),
)  # fmt: skip
OLDEST = min(card.arch for card in CARDS)


def find_card(name: str) -> Card | None:
    """Return the card of this name, in any case, or None if the table has no such card."""
    for card in CARDS:
        if re.fullmatch(card.pattern or re.escape(card.name), name, re.IGNORECASE):
            return card
    return None


def card_of_arch(arch: int) -> Card:
    """Return the first card of an architecture, such as 90; 87, which no card has, counts as the newest before it, 86.

    Raises ValueError for an architecture older than all in the table.
    """
    if arch < OLDEST:
        raise ValueError(f"arch: sm_{arch} is older than sm_{OLDEST}, the first that these kernels are for")
    newest = max(card.arch for card in CARDS if card.arch <= arch)
    return next(card for card in CARDS if card.arch == newest)
