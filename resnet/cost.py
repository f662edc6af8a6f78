"""FLOPs and bytes of every layer, from shapes alone, and the least time that a machine's ceilings allow them.

A floor is a roofline (Williams et al. 2009): a kernel takes at least as long as its multiply-adds at the matmul rate,
as its bytes at the memory's, and as an empty kernel. A network's floor is the sum over its kernels; what is one kernel
is the choice of a fusion model (`FUSIONS`). Not in it: that a matmul rate is a large product's, which few channels do
not reach; whole tiles on a whole number of processors; a block's rim, computed twice where a block is one kernel; v2's
padding before the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from resnet.archs import Spec

Kind = Literal["conv", "linear", "pool", "mean", "add", "subsample"]
Bound = Literal["compute", "memory", "launch"]

INPUT = "input"
# of an activation or a weight; what is accumulated, and a bias of an 8-bit layer, is wider
BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1}
WIDTHS = (64, 128, 256, 512)  # of the four stages' inner convolutions

# Each fuses what the one before does, and more.
FUSIONS = {
    "separate": "every convolution, norm, ReLU, sum and pool a pass of its own",
    "conv": "one kernel a convolution, with the norm, the ReLU and the sum behind it",
    "stem": "the first convolution and the pool one kernel, too",
    "stage1": "each block of stage 1 one kernel, too, and a projection in the kernel of its block's last convolution",
    "block": "one kernel a block, and one for the mean and the classifier",
}


@dataclass(frozen=True)
class Operation:
    """One layer of the network as its paper draws it, batch norm folded, for a whole batch.

    `flops` are two a multiply-add, of convolutions and the classifier alone, as `torch.utils.flop_counter` counts: the
    rest is bound by its bytes. `read` and `written` are bytes of activations, `weights` of weights and bias. The kind
    `subsample` is a shortcut without parameters that changes the shape: every stride-th pixel, new channels zero.
    """

    name: str  # of its module: "conv1", "layer1.0.conv2", "layer1.0.downsample.0", "maxpool", "fc"; "layer1.0.add"
    kind: Kind
    flops: int
    read: int  # of all sources, in equal parts
    written: int
    weights: int
    shape: tuple[int, ...]  # of the output: [N, C, H, W] or [N, K]
    precision: str
    sources: tuple[str, ...]  # the operations whose outputs it reads, or "input"
    passes: tuple[str, ...] = ()  # modules behind it (norm, ReLU) that a separate pass reads and writes its output for


@dataclass(frozen=True)
class Ceilings:
    """What a machine can do, measured on it or printed in its datasheet."""

    machine: str
    flops: dict[str, float]  # FLOP/s by precision
    bandwidth: float  # bytes/s of a copy in memory, read and written together
    l2: float | None  # bytes/s of a copy in the last-level cache
    launch_s: float  # seconds that an empty kernel takes in a row of them; 0 where not known
    source: str  # "measured" or "datasheet"
    provenance: dict[str, Any] = field(default_factory=dict)
    cache: int | None = None  # bytes of the last-level cache; without it, and `l2`, every byte is memory's

    def rate(self, precision: str) -> float:
        """FLOP/s in a precision: its own, or fp32's where that is faster (a CPU without fp16 units converts).

        Raises ValueError where the machine has none.
        """
        if precision not in self.flops:
            raise ValueError(f"no {precision} rate of {self.machine}; it has {', '.join(self.flops)}")
        return max(self.flops[precision], self.flops.get("fp32", 0.0))


@dataclass(frozen=True)
class Group:
    """Operations that run as one kernel; `reads` and `writes` are its activations, each in bytes."""

    names: tuple[str, ...]
    flops: int
    weights: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    precision: str

    @property
    def bytes(self) -> int:
        return self.weights + sum(self.reads) + sum(self.writes)


@dataclass(frozen=True)
class Floor:
    """The least time of a kernel, and which ceiling sets it."""

    group: Group
    seconds: float
    bound: Bound

    @property
    def names(self) -> tuple[str, ...]:
        return self.group.names


def floor_s(
    model: str | Spec,
    batch: int,
    image: int | tuple[int, int],
    precision: str,
    ceilings: Ceilings,
    fusion: str = "conv",
) -> float:
    """The floor of a network in seconds. Raises ValueError for a word that is not known, or a rate that is not."""
    return sum(floor.seconds for floor in network_floors(model, batch, image, precision, ceilings, fusion))


def network_floors(
    model: str | Spec,
    batch: int,
    image: int | tuple[int, int],
    precision: str,
    ceilings: Ceilings,
    fusion: str = "conv",
) -> tuple[Floor, ...]:
    """`floors` of a network's operations, which are worked out once."""
    return _floors(_network(model, batch, image, precision, fusion), ceilings)


def floors(found: Sequence[Operation], ceilings: Ceilings, fusion: str = "conv") -> tuple[Floor, ...]:
    """The floor of each kernel that a fusion model makes of the operations; their sum is the network's.

    Where the machine's cache and its rate are known, an activation that fits the cache is read and written at that
    rate, and so are the weights if all of them fit: a kernel before may have left them there. Raises as `floor_s`.
    """
    return _floors(groups(found, fusion), ceilings)


def floors_of(
    parts: Sequence[Sequence[Operation]], found: Sequence[Operation], ceilings: Ceilings
) -> tuple[Floor, ...]:
    """`floors` of kernels that are not a fusion model's: what each computes of the network's operations `found`."""
    readers = _readers(found)
    return _floors([_group(part, readers) for part in parts], ceilings)


@lru_cache(maxsize=256)
def _network(
    model: str | Spec, batch: int, image: int | tuple[int, int], precision: str, fusion: str
) -> tuple[Group, ...]:
    return groups(operations(model, batch, image, precision), fusion)


def _floors(made: Sequence[Group], ceilings: Ceilings) -> tuple[Floor, ...]:
    kept = ceilings.cache if ceilings.cache and ceilings.l2 else 0
    weights_stay = sum(group.weights for group in made) <= kept
    return tuple(_floor(group, ceilings, kept, weights_stay) for group in made)


def _floor(group: Group, ceilings: Ceilings, kept: int, weights_stay: bool) -> Floor:
    cached = sum(size for size in (*group.reads, *group.writes) if size <= kept)
    cached += group.weights if weights_stay else 0
    memory = (group.bytes - cached) / ceilings.bandwidth + (cached / ceilings.l2 if ceilings.l2 else 0.0)
    compute = group.flops / ceilings.rate(group.precision)
    seconds = max(compute, memory, ceilings.launch_s)
    bound: Bound = "compute" if seconds == compute else "memory" if seconds == memory else "launch"
    return Floor(group, seconds, bound)


def groups(found: Sequence[Operation], fusion: str) -> tuple[Group, ...]:
    """What runs as one kernel under a fusion model, in the order in which each begins.

    Raises ValueError for an unknown model.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"unknown fusion model {fusion!r}; allowed: {', '.join(FUSIONS)}")
    readers = _readers(found)
    if fusion == "separate":
        return tuple(group for operation in found for group in (_group([operation], readers), *_passes(operation)))
    last = {_block(o.name): o.name for o in found if o.kind == "conv" and ".downsample" not in o.name}
    joined: dict[str, list[Operation]] = {}
    for operation in found:
        place = _place(operation, fusion, last.get(_block(operation.name), ""))
        joined.setdefault(place, []).append(operation)
    return tuple(_group(part, readers) for part in joined.values())


def _readers(found: Sequence[Operation]) -> dict[str, set[str]]:
    readers: dict[str, set[str]] = {}
    for operation in found:
        for source in operation.sources:
            readers.setdefault(source, set()).add(operation.name)
    return readers


def _place(operation: Operation, fusion: str, last: str) -> str:
    """The kernel an operation belongs to; `last` is the last convolution of its block."""
    name, block = operation.name, _block(operation.name)
    if not block:
        stem, head = name in ("conv1", "maxpool"), name in ("avgpool", "fc")
        return "stem" if stem and fusion != "conv" else "head" if head and fusion == "block" else name
    if fusion == "block" or (fusion == "stage1" and block.startswith("layer1.")):
        return block
    projects = operation.kind == "conv" and ".downsample" in name
    return last if operation.kind in ("add", "subsample") or (projects and fusion == "stage1") else name


def _block(name: str) -> str:
    """`layer1.0` of `layer1.0.conv2`; nothing of what is in no block."""
    return ".".join(name.split(".")[:2]) if name.startswith("layer") else ""


def _group(part: Sequence[Operation], readers: dict[str, set[str]]) -> Group:
    inside = {operation.name for operation in part}
    reads: dict[str, int] = {}
    for operation in part:
        for source in operation.sources:
            if source not in inside:  # what two of them read is read once
                reads[source] = max(reads.get(source, 0), operation.read // len(operation.sources))
    # the network's answer has no reader
    writes = [o.written for o in part if o.name not in readers or readers[o.name] - inside]
    return Group(
        tuple(operation.name for operation in part),
        sum(operation.flops for operation in part),
        sum(operation.weights for operation in part),
        tuple(reads.values()),
        tuple(writes),
        part[0].precision,
    )


def _passes(operation: Operation) -> list[Group]:
    size = (operation.written,)
    return [Group((name,), 0, 0, size, size, operation.precision) for name in operation.passes]


def operations(model: str | Spec, batch: int, image: int | tuple[int, int], precision: str) -> tuple[Operation, ...]:
    """Every layer of a network for 3 channels and 1000 classes, in the order in which it runs them.

    `image` is the side, or height and width, in pixels. Raises ValueError for a model or a precision that is not known,
    and for a batch or an image of nothing.
    """
    if precision not in BYTES:
        raise ValueError(f"unknown precision {precision!r}; allowed: {', '.join(BYTES)}")
    spec = Spec.parse(model) if isinstance(model, str) else model
    height, width = (image, image) if isinstance(image, int) else image
    if min(batch, height, width) < 1:
        raise ValueError(f"batch {batch} of {height} x {width} pixels: want 1 or more of each")
    walk = _Walk(spec, batch, precision, {INPUT: (3, height, width)})
    walk.conv("conv1", INPUT, 64, 7, 2, () if spec.version == "v2" else ("bn1", "relu"))
    blocks = [f"layer{stage}.{place}" for stage, count in enumerate(spec.arch.counts, 1) for place in range(count)]
    entries = [(f"{block}.preact_bn", f"{block}.preact_relu") for block in blocks] + [("post_bn", "post_relu")]
    x = walk.pool(entries[0] if spec.version == "v2" else ())
    for block, following in zip(blocks, entries[1:], strict=True):
        x = walk.block(block, x, following if spec.version == "v2" else ())
    walk.head(x, 1000)
    return tuple(walk.made)


@dataclass
class _Walk:
    spec: Spec
    batch: int
    precision: str
    sizes: dict[str, tuple[int, ...]]  # channels, height, width of what has been made
    made: list[Operation] = field(default_factory=list)

    def conv(self, name: str, source: str, channels: int, kernel: int, stride: int, passes: tuple[str, ...]) -> str:
        inputs, *size = self.sizes[source]
        height, width = (_out(side, kernel, stride, kernel // 2) for side in size)
        weight = channels * inputs * kernel * kernel
        # a 1x1 of stride 2 reads a quarter of the pixels; anything larger reads all
        seen = inputs * min(size[0], height * kernel) * min(size[1], width * kernel)
        flops = 2 * weight * height * width
        return self._add(name, "conv", (source,), seen, (channels, height, width), passes, flops, weight)

    def pool(self, passes: tuple[str, ...]) -> str:
        channels, *size = self.sizes["conv1"]
        height, width = (_out(side, 3, 2, 1) for side in size)
        return self._add("maxpool", "pool", ("conv1",), channels * size[0] * size[1], (channels, height, width), passes)

    def block(self, name: str, x: str, following: tuple[str, ...]) -> str:
        """A residual block; `following` are the norm and ReLU that v2 puts behind it."""
        spec, stage, place = self.spec, int(name[5]) - 1, int(name.split(".")[1])
        width, bottleneck, preact = WIDTHS[stage], spec.arch.block == "bottleneck", spec.version == "v2"
        channels = width * (4 if bottleneck else 1)
        strided = place == spec.arch.counts[stage] - 1 and stage < 3 if preact else place == 0 and stage > 0
        stride = 2 if strided else 1
        at = 1 if not bottleneck or spec.version == "v1" else 2  # which convolution has the stride
        kinds = [(width, 1), (width, 3), (channels, 1)] if bottleneck else [(width, 3), (width, 3)]
        joins = spec.shortcut != "none"
        y = x
        for number, (outputs, kernel) in enumerate(kinds, 1):
            last = number == len(kinds)
            passes: tuple[str, ...] = (f"{name}.bn{number}", f"{name}.relu{number}")
            if last:
                passes = (() if preact else passes[:1] if joins else passes) + (() if joins else following)
            y = self.conv(f"{name}.conv{number}", y, outputs, kernel, stride if number == at else 1, passes)
        if not joins:
            return y
        other = self.shortcut(name, x, channels, stride)
        relu = () if preact else (f"{name}.relu{len(kinds)}",)
        read = 2 * _elements(self.sizes[y])
        return self._add(f"{name}.add", "add", (y, other), read, self.sizes[y], relu + following)

    def shortcut(self, name: str, x: str, channels: int, stride: int) -> str:
        """What is added to the branch: a projection, a selection, or the block's input as it is."""
        inputs, *size = self.sizes[x]
        if self.spec.shortcut == "C" or (self.spec.shortcut == "B" and inputs != channels):
            norm = () if self.spec.version == "v2" else (f"{name}.downsample.1",)
            return self.conv(f"{name}.downsample.0", x, channels, 1, stride, norm)
        if stride == 1 and inputs == channels:
            return x
        height, width = (_out(side, 1, stride, 0) for side in size)
        shape = (channels, height, width)
        return self._add(f"{name}.downsample", "subsample", (x,), inputs * height * width, shape, ())

    def head(self, x: str, classes: int) -> None:
        channels = self.sizes[x][0]
        self._add("avgpool", "mean", (x,), _elements(self.sizes[x]), (channels, 1, 1), ())
        weight = channels * classes
        self._add("fc", "linear", ("avgpool",), channels, (classes,), (), 2 * weight, weight)

    def _add(
        self,
        name: str,
        kind: Kind,
        sources: tuple[str, ...],
        read: int,
        size: tuple[int, ...],
        passes: tuple[str, ...],
        flops: int = 0,
        weight: int = 0,
    ) -> str:
        """An operation whose numbers are given for one image, in elements."""
        wide = BYTES[self.precision]
        bias = size[0] * max(wide, 2) if weight else 0
        self.sizes[name] = size
        written = self.batch * _elements(size) * wide
        self.made.append(
            Operation(
                *(name, kind, self.batch * flops, self.batch * read * wide, written, weight * wide + bias),
                *((self.batch, *size), self.precision, sources, passes),
            )
        )
        return name


def _elements(size: tuple[int, ...]) -> int:
    channels, *rest = size
    return channels * rest[0] * rest[1] if rest else channels


def _out(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1
