"""What a convolution is, and how a kernel may be cut for it: data, without torch.

y = act(conv(act'(x)) + conv1x1(x2) + bias + residual) on channels-last tensors, [n, h, w, c_in] -> [n, out_h, out_w,
c_out]. As a matrix product its rows are the output pixels, its columns the output channels, and its depth the taps and
channels of the window. `act` is ReLU or nothing, `act'` a scale and shift per channel with ReLU (`prologue`), x2 a
second operand (the input of a down-sampling 1x1, summed with the last convolution of a block), each there or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from math import ceil, prod

BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2}

# Fewer input channels than one tensor-core step of 16 are not worth padding: a 7x7 over 3 channels has a depth of 147,
# and 784 with channels padded to 16.
FLAT_BELOW = 16


@dataclass(frozen=True)
class Columns:
    """What the columns of a packed weight row are: the depth of the matrix product, in the order the kernels walk it.

    `flat`: taps and channels as one run of kernel_h * (kernel_w * c_in) columns, padded at the end. Otherwise each tap
    has `c` columns, c_in padded. The second operand's columns follow. Padding is zeros, to 16 bytes: what a bulk copy's
    strides and 16-byte loads ask for.
    """

    flat: bool
    c: int
    first: int
    second: int

    @property
    def all(self) -> int:
        return self.first + self.second


def columns(c_in: int, kernel: tuple[int, int], c_in2: int, dtype: str) -> Columns:
    align = 16 // BYTES[dtype]
    flat = c_in < FLAT_BELOW
    c = c_in if flat else round_up(c_in, align)
    return Columns(flat, c, round_up(prod(kernel) * c, align), round_up(c_in2, align))


@dataclass(frozen=True)
class Layer:
    """A convolution's shape: what a configuration is chosen for.

    `dtype` is fp32, tf32, fp16 or bf16. `second` is x2 as (h, w, c, stride), or None; its 1x1 needs no padding. `pool`:
    a 3x3 max-pool at stride 2 with a border of zeros is behind it, in the same kernel (`kernels.stem`). `mean`: what it
    multiplies are the means over all pixels of act'(x), one pixel an image (`kernels.head`).
    """

    n: int
    h: int
    w: int
    c_in: int
    c_out: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0
    residual: bool = False
    relu: bool = True
    second: tuple[int, int, int, int] | None = None
    prologue: bool = False
    dtype: str = "fp16"
    pool: bool = False
    mean: bool = False

    @cached_property
    def out_h(self) -> int:
        """Of the convolution, before a pool."""
        return 1 if self.mean else (self.h + 2 * self.padding - self.kernel[0]) // self.stride + 1

    @cached_property
    def out_w(self) -> int:
        return 1 if self.mean else (self.w + 2 * self.padding - self.kernel[1]) // self.stride + 1

    @cached_property
    def rows(self) -> int:
        """Pixels that the convolution makes."""
        return self.n * self.out_h * self.out_w

    @cached_property
    def c_in2(self) -> int:
        return self.second[2] if self.second else 0

    @cached_property
    def columns(self) -> Columns:
        return columns(self.c_in, self.kernel, self.c_in2, self.dtype)

    @cached_property
    def key(self) -> str:
        """The layer in a line, the same in every process and version: `fp16-n32-56x56x64-3x3-s1-p1-k64-relu`."""
        parts = [self.dtype, f"n{self.n}", f"{self.h}x{self.w}x{self.c_in}", "{}x{}".format(*self.kernel)]
        parts += [f"s{self.stride}", f"p{self.padding}", f"k{self.c_out}"]
        if self.second:
            parts.append("and{}x{}x{}s{}".format(*self.second))
        for name in ("prologue", "residual", "relu", "pool", "mean"):
            if getattr(self, name):
                parts.append(name)
        return "-".join(parts)

    @cached_property
    def pointwise(self) -> bool:
        """Whether each output pixel reads its own pixel alone, so that the image's shape does not matter."""
        alone = self.kernel == (1, 1) and (self.stride, self.padding) == (1, 0) and not (self.pool or self.mean)
        return alone and (not self.second or self.second[3] == 1)

    def reshaped(self, n: int, h: int, w: int) -> Layer:
        """A pointwise layer with its pixels counted another way."""
        assert self.pointwise
        return replace(self, n=n, h=h, w=w, second=(h, w, self.c_in2, 1) if self.second else None)

    @cached_property
    def flops(self) -> int:
        """Two per multiplication and addition, padding not counted."""
        return 2 * self.rows * self.c_out * (prod(self.kernel) * self.c_in + self.c_in2)

    @cached_property
    def bytes(self) -> int:
        """Least traffic with memory: every operand read once, the output written once, nothing in between.

        Of a strided window smaller than its stride only the pixels that it meets.
        """
        size = BYTES[self.dtype]
        met_h = self.h if self.mean else min(self.h, self.out_h * self.kernel[0])
        met_w = self.w if self.mean else min(self.w, self.out_w * self.kernel[1])
        written = self.n * ((self.out_h + 1) // 2) * ((self.out_w + 1) // 2) if self.pool else self.rows
        elements = self.n * met_h * met_w * self.c_in + self.rows * self.c_in2
        elements += self.c_out * (prod(self.kernel) * self.c_in + self.c_in2)
        elements += written * self.c_out * (2 if self.residual else 1)
        return elements * size + 4 * self.c_out + (8 * self.c_in if self.prologue else 0)


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


@dataclass(frozen=True)
class Arch:
    """What a compute capability gives a block and an SM (CUDA C++ programming guide, technical specifications).

    `shared`: the most bytes of a block; `shared_sm`: of an SM, of which each block takes 1024 more than it asks for.
    """

    shared: int
    shared_sm: int
    threads_sm: int
    blocks_sm: int

    def blocks(self, warps: int, registers: int, shared: int) -> int:
        """Blocks of one kernel on an SM at once. Registers are given out 256 at a time to each warp, 65,536 in all."""
        by_registers = 65536 // (warps * round_up(max(registers, 1) * 32, 256))
        by_shared = self.shared_sm // (shared + 1024)
        return min(by_registers, by_shared, self.threads_sm // (32 * warps), self.blocks_sm)


ARCHS = {
    80: Arch(166_912, 167_936, 2048, 32),
    86: Arch(101_376, 102_400, 1536, 16),
    89: Arch(101_376, 102_400, 1536, 24),
    90: Arch(232_448, 233_472, 2048, 32),
    100: Arch(232_448, 233_472, 2048, 32),
    103: Arch(232_448, 233_472, 2048, 32),
    120: Arch(101_376, 102_400, 1536, 24),
}


def pixels(layer: Layer) -> tuple[int, int, int]:
    """Images, height, width of the output as boxes cover it: one long row where the image's shape does not matter."""
    return (1, 1, layer.rows) if layer.pointwise else (layer.n, layer.out_h, layer.out_w)


def row_tiles(layer: Layer, config: Config) -> int:
    if config.box is None:
        return ceil(layer.rows / config.block_m)
    return prod(ceil(size / box) for size, box in zip(pixels(layer), config.box, strict=True))


def channel_tiles(layer: Layer, config: Config) -> int:
    return ceil(layer.c_out / config.block_n)


def steps(layer: Layer, config: Config) -> tuple[int, int]:
    """Steps of block_k over the first and over the second operand's depth. A step stays within one tap."""
    block_k, cols = config.block_k, layer.columns
    if cols.flat:
        first = ceil(prod(layer.kernel) * layer.c_in / block_k)
    else:
        first = prod(layer.kernel) * ceil(layer.c_in / block_k)
    return first, ceil(layer.c_in2 / block_k)


def unfit(layer: Layer, config: Config) -> str | None:
    """Why the kernels cannot compute this layer so, or None. Memory limits are `space.shared_bytes`'s to say."""
    if config.split_k > sum(steps(layer, config)):
        return f"split_k: {config.split_k} programs, but {sum(steps(layer, config))} steps of depth {config.block_k}"
    if config.impl == "ptr":
        return None
    if layer.prologue:
        return "impl: a bulk copy goes past the registers, where a prologue is computed"
    if layer.dtype == "fp32":
        return "impl: 'tma' is for the tensor cores"
    if layer.columns.flat:
        return f"impl: {layer.c_in} channels are too few for a bulk copy"
    align = 16 // BYTES[layer.dtype]
    for name, value in (("c_in", layer.c_in), ("c_out", layer.c_out), ("c_in2", layer.c_in2)):
        if value % align:
            return f"impl: a bulk copy's strides are multiples of 16 bytes, {name}={value} is not"
    if layer.stride > 2 or (layer.stride == 2 and (layer.h % 2 or layer.w % 2)):
        return "impl: a strided bulk copy sees the image as 2x2 blocks, so the stride is 1, or 2 on even sizes"
    if layer.stride == 2 and layer.c_in % config.block_k:
        return f"block_k: {config.block_k} would run from one pixel's {layer.c_in} channels into the next pixel's"
    if layer.second and (layer.second[0] % layer.second[3] or layer.second[1] % layer.second[3]):
        return "impl: the second operand's stride does not divide its size"
    return None


def wgmma(layer: Layer, config: Config, arch: int) -> bool:
    """Whether it multiplies by wgmma, which runs on by itself: sm_90's, for 64 rows and more."""
    return arch == 90 and layer.dtype != "fp32" and config.block_m >= 64


def from_registers(layer: Layer, config: Config, arch: int) -> bool:
    """Whether wgmma reads x from registers, in a loop.

    So it is where x is computed (`prologue`), and where a box of more than a row is a reshape, which Triton 3.6 and 3.7
    do not see through. `bench kernels` records what the compiler made of it.
    """
    if not wgmma(layer, config, arch) or max(steps(layer, config)) == 1:
        return False
    return layer.prologue or (config.box is not None and config.box[2] != config.block_m)


def unsafe(layer: Layer, config: Config, arch: int) -> str | None:
    """Why what is compiled of it may compute wrong numbers, as far as that is known without compiling, or None."""
    if from_registers(layer, config, arch) and not config.serial:
        return "serial: products that read x from registers may find the next step's there (triton#9433)"
    return None


def round_up(value: int, multiple: int) -> int:
    return ceil(value / multiple) * multiple
