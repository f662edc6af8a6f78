"""FLOPs and bytes of every layer: of this project's networks from shapes, of any other from what was counted of it.

`resnet.floors` turns them into times, and `resnet.outside.counting` counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from math import prod
from types import MappingProxyType
from typing import Any, Literal

from resnet.archs import Spec
from resnet.counted import Row
from resnet.names import is_outside

Kind = Literal["conv", "linear", "pool", "mean", "add", "subsample", "counted"]

INPUT = "input"
# of an activation or a weight; accumulators and the bias of an 8-bit layer are wider
BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1}


@dataclass(frozen=True)
class Operation:
    """One layer of the network as its paper draws it, batch norm folded, for a whole batch; or a kernel as counted.

    `flops` are two a multiply-add, of convolutions and the classifier alone, as `torch.utils.flop_counter` counts: the
    rest is bound by its bytes. `needed` are those of them that multiply no padding. `reads` and `written` are bytes of
    activations, `weights` of weights and bias. The kind `subsample` is a shortcut without parameters that changes the
    shape: every stride-th pixel, new channels zero.
    """

    name: str  # of its module: "conv1", "layer1.0.conv2", "layer1.0.downsample.0", "maxpool", "fc"; "layer1.0.add"
    kind: Kind
    flops: int
    needed: int
    reads: tuple[int, ...]  # of each source
    written: int
    weights: int
    shape: tuple[int, ...]  # of the output: [N, C, H, W] or [N, K]
    precision: str
    sources: tuple[str, ...]  # the operations whose outputs it reads, or "input"
    passes: tuple[str, ...] = ()  # modules behind it (norm, ReLU), each of which may be a pass over its output


@lru_cache(maxsize=256)
def operations(
    model: str | Spec,
    batch: int,
    image: int | tuple[int, int],
    precision: str,
    num_classes: int = 0,
    in_channels: int = 0,
) -> tuple[Operation, ...]:
    """Return every layer of a network in the order of execution.

    `image` is the side, or height and width, in pixels; classes and channels are by default the model's own. Raises
    ValueError for an unknown model or precision, and for an empty batch or image.
    """
    if precision not in BYTES:
        raise ValueError(f"unknown precision {precision!r}; allowed: {', '.join(BYTES)}")
    spec = Spec.parse(model) if isinstance(model, str) else model
    height, width = (image, image) if isinstance(image, int) else image
    if min(batch, height, width) < 1:
        raise ValueError(f"batch {batch} of {height} x {width} pixels: want 1 or more of each")
    walk = _Walk(spec, batch, precision, {INPUT: (in_channels or spec.ends.channels, height, width)})
    walk.conv("conv1", INPUT, spec.widths[0], 7, 2, () if spec.version == "v2" else ("bn1", "relu"))
    blocks = [f"layer{stage}.{place}" for stage, count in enumerate(spec.arch.counts, 1) for place in range(count)]
    entries = [(f"{block}.preact_bn", f"{block}.preact_relu") for block in blocks] + [("post_bn", "post_relu")]
    x = walk.pool(entries[0] if spec.version == "v2" else ())
    for block, following in zip(blocks, entries[1:], strict=True):
        x = walk.block(block, x, following if spec.version == "v2" else ())
    walk.head(x, num_classes or spec.ends.classes)
    return tuple(walk.operations)


def network_operations(
    model: str,
    batch: int,
    image: int,
    precision: str,
    network: Mapping[str, Any],
    wide: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Operation, ...]:
    """Return the operations of the network that a record describes in its field `network`.

    Those in `wide` compute in the precision there, with its weights; what they read and write is as in `precision`,
    since kernels convert as they read and write. It is empty for a model from outside that was not counted. For
    another it raises ValueError as `operations` does.
    """
    counts = {key: network[key] for key in ("num_classes", "in_channels") if network.get(key)}

    def layers(precision: str) -> tuple[Operation, ...]:
        if is_outside(model):
            return _counted(network.get("groups", ()), batch, precision)
        return operations(model, batch, image, precision, **counts)

    weights = {(word, one.name): one.weights for word in {*wide.values()} for one in layers(word)}
    return tuple(
        replace(one, precision=word, weights=weights[word, one.name]) if (word := wide.get(one.name)) else one
        for one in layers(precision)
    )


def _counted(rows: Sequence[Row], batch: int, precision: str) -> tuple[Operation, ...]:
    """Return the kernels that were counted of one image (`resnet.counted`) as operations of a whole batch."""
    itemsize = BYTES[precision]
    size = batch * itemsize
    found = []
    for name, flops, weights, reads, written in rows:
        sizes = tuple(size * elements for _, elements in reads)
        sources = tuple(rows[place][0] if place >= 0 else INPUT for place, _ in reads)
        work, moved, bias = batch * flops, size * written, itemsize * weights
        found.append(Operation(name, "counted", work, work, sizes, moved, bias, (), precision, sources))
    return tuple(found)


@dataclass
class _Walk:
    """Adds the operations of a network one after the other."""

    spec: Spec
    batch: int
    precision: str
    sizes: dict[str, tuple[int, ...]]  # channels, height, width of each output so far
    operations: list[Operation] = field(default_factory=list)

    def conv(self, name: str, source: str, channels: int, kernel: int, stride: int, passes: tuple[str, ...]) -> str:
        inputs, *size = self.sizes[source]
        height, width = (_out(side, kernel, stride, kernel // 2) for side in size)
        weight = channels * inputs * kernel * kernel
        # a 1x1 of stride 2 reads a quarter of the pixels; anything larger reads all
        pixels = inputs * min(size[0], height * kernel) * min(size[1], width * kernel)
        placed = zip((height, width), size, strict=True)
        valid = prod(taps(out, side, kernel, stride, kernel // 2) for out, side in placed)
        counts = 2 * weight * height * width, 2 * channels * inputs * valid
        return self._add(name, "conv", (source,), pixels, (channels, height, width), passes, counts, weight)

    def pool(self, passes: tuple[str, ...]) -> str:
        channels, *size = self.sizes["conv1"]
        height, width = (_out(side, 3, 2, 1) for side in size)
        return self._add("maxpool", "pool", ("conv1",), channels * size[0] * size[1], (channels, height, width), passes)

    def block(self, name: str, x: str, following: tuple[str, ...]) -> str:
        """Add a residual block and return its last operation; `following` are the norm and ReLU behind it in v2."""
        spec, stage, place = self.spec, int(name[5]) - 1, int(name.split(".")[1])
        preact, stride = spec.version == "v2", spec.strides(stage)[place]
        convs = spec.convs(spec.widths[stage], stride)
        has_shortcut = spec.shortcut != "none"
        y = x
        for number, (channels, kernel, conv_stride) in enumerate(convs, 1):
            last = number == len(convs)
            passes: tuple[str, ...] = (f"{name}.bn{number}", f"{name}.relu{number}")
            if last and preact:
                passes = ()
            if last:
                passes = passes[:1] if has_shortcut else passes + following
            y = self.conv(f"{name}.conv{number}", y, channels, kernel, conv_stride, passes)
        if not has_shortcut:
            return y
        other = self.shortcut(name, x, self.sizes[y][0], stride)
        relu = () if preact else (f"{name}.relu{len(convs)}",)
        read = 2 * prod(self.sizes[y])
        return self._add(f"{name}.add", "add", (y, other), read, self.sizes[y], relu + following)

    def shortcut(self, name: str, x: str, channels: int, stride: int) -> str:
        """Return the name of the branch's other summand: a projection, a subsampling, or the block's input itself."""
        inputs, *size = self.sizes[x]
        if self.spec.projects(inputs, channels):
            norm = () if self.spec.version == "v2" else (f"{name}.downsample.1",)
            return self.conv(f"{name}.downsample.0", x, channels, 1, stride, norm)
        if stride == 1 and inputs == channels:
            return x
        height, width = (_out(side, 1, stride, 0) for side in size)
        return self._add(f"{name}.downsample", "subsample", (x,), inputs * height * width, (channels, height, width))

    def head(self, x: str, classes: int) -> None:
        channels = self.sizes[x][0]
        self._add("avgpool", "mean", (x,), prod(self.sizes[x]), (channels, 1, 1))
        weight = channels * classes
        self._add("fc", "linear", ("avgpool",), channels, (classes,), (), (2 * weight, 2 * weight), weight)

    def _add(
        self,
        name: str,
        kind: Kind,
        sources: tuple[str, ...],
        read: int,
        size: tuple[int, ...],
        passes: tuple[str, ...] = (),
        flops: tuple[int, int] = (0, 0),
        weight: int = 0,
    ) -> str:
        """Add an operation; `read`, `size`, `flops` (and those needed) and `weight` are of one image, in elements.

        It reads its sources in equal parts.
        """
        itemsize = BYTES[self.precision]
        bias = size[0] * max(itemsize, 2) if weight else 0
        self.sizes[name] = size
        written = self.batch * prod(size) * itemsize
        reads = (self.batch * read * itemsize // len(sources),) * len(sources)
        counts = self.batch * flops[0], self.batch * flops[1], reads, written, weight * itemsize + bias
        shape = (self.batch, *size)
        self.operations.append(Operation(name, kind, *counts, shape, self.precision, sources, passes))
        return name


def _out(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


@cache  # networks have few kinds of layers, and a report counts many networks
def taps(positions: int, extent: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return the number of products along one axis of a convolution that read none of its padding."""
    reads = (place * stride - padding + tap * dilation for place in range(positions) for tap in range(kernel))
    return sum(0 <= read < extent for read in reads)
