"""A kernel's configuration: its tile sizes, warps and stages. Data, without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache
from math import prod


@dataclass(frozen=True)
class Config:
    """A kernel's configuration: a program computes block_m rows by block_n channels, in steps of block_k of the depth.

    `impl` is "ptr" (pointer loads) or "tma" (bulk tensor copies). Bulk copies load boxes: `box` is (images, height,
    width) of output pixels, whose product is block_m. `split_k` programs share one tile's depth; a second kernel adds
    their sums in a fixed order. `group_m` row tiles are computed for all channel tiles together, so that the weights
    they share stay in L2. `pdl`: programmatic dependent launch, which overlaps a kernel's start with the end of the
    kernel before. `serial`: a step ends its products, which would else read registers that the next step
    overwrites, or keep too few bits (`kernels.space.fit.hazard_reason`).
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
        """Return the text that `parse` reads: `ptr-128x64x64-w4-s3-k1-g8`, `tma-2.8.8x64x64-w8-s4-k1-g8-pdl`."""
        rows = ".".join(map(str, self.box)) if self.box else str(self.block_m)
        text = f"{self.impl}-{rows}x{self.block_n}x{self.block_k}-w{self.warps}-s{self.stages}"
        return f"{text}-k{self.split_k}-g{self.group_m}" + "-pdl" * self.pdl + "-serial" * self.serial

    @staticmethod
    @cache
    def parse(text: str) -> Config:
        """Return the configuration that `str` wrote as `text`. Raises ValueError."""
        tile, options = r"(?:(\d+\.\d+\.\d+)|(\d+))x(\d+)x(\d+)", r"w(\d+)-s(\d+)-k(\d+)-g(\d+)(-pdl)?(-serial)?"
        match = re.fullmatch(rf"(\w+)-{tile}-{options}", text)
        if not match:
            raise ValueError(f"config: {text!r} is not like ptr-128x64x64-w4-s3-k1-g8 or tma-2.8.8x64x64-w8-s4-k1-g8")
        impl, boxed, rows, *numbers, pdl, serial = match.groups()
        block_n, block_k, warps, stages, split_k, group_m = map(int, numbers)
        n, h, w = map(int, boxed.split(".")) if boxed else (0, 0, 0)
        box = (n, h, w) if boxed else None
        block_m = n * h * w if boxed else int(rows)
        return Config(impl, block_m, block_n, block_k, warps, stages, box, split_k, group_m, bool(pdl), bool(serial))
