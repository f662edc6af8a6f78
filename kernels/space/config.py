"""How a kernel may be cut for a layer: data, without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache
from math import prod


@dataclass(frozen=True)
class Config:
    """How the product is cut: a program makes block_m rows by block_n channels, block_k of the depth a step.

    `impl` is "ptr" (pointer loads) or "tma" (bulk tensor copies). Bulk copies fetch boxes: `box` is (images, height,
    width) of output pixels and its product is block_m. `split_k` programs share one tile's depth; a second kernel adds
    their sums in a fixed order. `group_m` row tiles go through all channel tiles together, so that what they share
    is in L2. `pdl`: programmatic dependent launch, the start of a kernel under the end of the one before it. `serial`:
    a step ends when its products have, for where they would read registers that the next step writes (`unfit`).
    """

    impl: str
    block_m: int
    block_n: int
    block_k: int
    warps: int
    stages: int
    box: tuple[int, int, int] | None = None
    split_k: int = 1
    group_m: int = 8
    pdl: bool = False
    serial: bool = False

    def __post_init__(self) -> None:
        if self.impl not in ("ptr", "tma"):
            raise ValueError(f"impl: {self.impl!r} is neither 'ptr' nor 'tma'")
        for name in ("block_m", "block_n", "block_k", "warps"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name}: {value} is not a power of two")
        for field in fields(self):
            if field.type == "int" and getattr(self, field.name) < 1:
                raise ValueError(f"{field.name}: {getattr(self, field.name)} is less than one")
        if (self.box is not None) != (self.impl == "tma"):
            raise ValueError("box: for 'tma', and for it alone")
        if self.box is not None and (prod(self.box) != self.block_m or any(b & (b - 1) for b in self.box)):
            raise ValueError(f"box: {self.box} is not three powers of two that make {self.block_m}")

    def __str__(self) -> str:
        """`ptr-128x64x64-w4-s3-k1-g8`, `tma-2.8.8x64x64-w8-s4-k1-g8-pdl`: what `parse` reads."""
        rows = ".".join(map(str, self.box)) if self.box else str(self.block_m)
        text = f"{self.impl}-{rows}x{self.block_n}x{self.block_k}-w{self.warps}-s{self.stages}"
        return f"{text}-k{self.split_k}-g{self.group_m}" + "-pdl" * self.pdl + "-serial" * self.serial

    @staticmethod
    @cache
    def parse(text: str) -> Config:
        tile, others = r"(?:(\d+\.\d+\.\d+)|(\d+))x(\d+)x(\d+)", r"w(\d+)-s(\d+)-k(\d+)-g(\d+)(-pdl)?(-serial)?"
        found = re.fullmatch(rf"(\w+)-{tile}-{others}", text)
        if not found:
            raise ValueError(f"config: {text!r} is not like ptr-128x64x64-w4-s3-k1-g8 or tma-2.8.8x64x64-w8-s4-k1-g8")
        impl, boxed, rows, *numbers, pdl, serial = found.groups()
        block_n, block_k, warps, stages, split_k, group_m = map(int, numbers)
        n, h, w = map(int, boxed.split(".")) if boxed else (0, 0, 0)
        box = (n, h, w) if boxed else None
        block_m = n * h * w if boxed else int(rows)
        return Config(impl, block_m, block_n, block_k, warps, stages, box, split_k, group_m, bool(pdl), bool(serial))
