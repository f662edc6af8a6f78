"""The least time that a machine's ceilings allow a network, kernel by kernel.

A floor is a roofline (Williams et al. 2009): a kernel takes at least as long as its multiply-adds at the matmul rate,
as its bytes at the memory bandwidth, and as an empty kernel. A network's floor is the sum over its kernels; a fusion
model (`FUSIONS`) says which operations are one kernel. Not modelled: that layers with few channels do not reach the
matmul rate, which is a large product's; whole tiles on a whole number of processors; a block's rim, computed twice
where a block is one kernel; v2's padding before the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from resnet.archs import Spec
from resnet.cost import Operation, counted_operations, operations
from resnet.counted import Row
from resnet.names import is_outside

Bound = Literal["compute", "memory", "launch"]

# Each fuses all that the one before it fuses, and more.
FUSIONS = {
    "separate": "every convolution, norm, ReLU, sum and pool a separate pass",
    "conv": "one kernel a convolution, with the norm, the ReLU and the sum behind it",
    "stem": "the first convolution and the pool one kernel, too",
    "stage1": "each block of stage 1 one kernel, too, and a projection in the kernel of its block's last convolution",
    "block": "one kernel a block, and one for the mean and the classifier",
}

COUNTED = "conv"  # what any network can be counted as; the others are for this project's networks


@dataclass(frozen=True)
class Ceilings:
    """The rates of a machine, measured on it or taken from its datasheet."""

    machine: str
    flops: dict[str, float]  # FLOP/s by precision
    bandwidth: float  # bytes/s of a copy in memory, read and written together
    l2: float | None  # bytes/s of a copy in the last-level cache
    launch_s: float  # seconds that an empty kernel takes in a row of them; 0 where unknown
    source: str  # "measured" or "datasheet"
    provenance: dict[str, Any] = field(default_factory=dict)
    cache: int | None = None  # bytes of the last-level cache; without it, and `l2`, every byte is memory's

    def rate(self, precision: str) -> float:
        """Return the FLOP/s of a precision: measured in it, or fp32's where faster (a CPU without fp16 units converts).

        Raises ValueError where there is no rate for the precision.
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
    """The least time of a kernel, and the ceiling that sets it."""

    group: Group
    seconds: float
    bound: Bound

    @property
    def names(self) -> tuple[str, ...]:
        return self.group.names


def network_floors(
    model: str | Spec,
    batch: int,
    image: int | tuple[int, int],
    precision: str,
    ceilings: Ceilings,
    fusion: str = "conv",
    num_classes: int = 0,
    in_channels: int = 0,
) -> tuple[Floor, ...]:
    """Return the floors of the kernels of one of this project's networks; their seconds sum to the network's floor.

    Where the bandwidth of the machine's cache is known, an activation that fits the cache is read and written at it,
    and so are the weights if all of them fit: the kernel before may have left them there. Raises ValueError for an
    unknown model or fusion model, and for a precision that is unknown or without a rate.
    """
    return _group_floors(_network_groups(model, batch, image, precision, fusion, num_classes, in_channels), ceilings)


def counted_floors(rows: Sequence[Row], batch: int, precision: str, ceilings: Ceilings) -> tuple[Floor, ...]:
    """Return the same of the kernels that were counted of any network, which are those of the fusion model COUNTED.

    `rows` are of one image, as `resnet.counted` has them. Raises ValueError for a precision as `network_floors` does.
    """
    return _group_floors(fused_groups(counted_operations(rows, batch, precision), COUNTED), ceilings)


def described_floors(
    model: str,
    batch: int,
    image: int,
    precision: str,
    network: Mapping[str, Any],
    ceilings: Ceilings,
    fusion: str = COUNTED,
) -> tuple[Floor, ...]:
    """Return the same of the network that a record describes in its field `network`.

    There are none of a model from outside that was not counted, or under a fusion model that is not its (`fusions_of`).
    """
    if is_outside(model):
        rows = network.get("groups", []) if fusion == COUNTED else []
        return counted_floors(rows, batch, precision, ceilings)
    counts = {key: network[key] for key in ("num_classes", "in_channels") if network.get(key)}
    return network_floors(model, batch, image, precision, ceilings, fusion, **counts)


def fusions_of(model: str) -> tuple[str, ...]:
    """Return the fusion models under which a model has floors."""
    return (COUNTED,) if is_outside(model) else tuple(FUSIONS)


def part_floors(
    parts: Sequence[Sequence[Operation]], layers: Sequence[Operation], ceilings: Ceilings
) -> tuple[Floor, ...]:
    """Return the floors of given kernels: each of `parts` has the operations, of all `layers`, that one computes."""
    readers = _readers(layers)
    return _group_floors([_group(part, readers) for part in parts], ceilings)


@lru_cache(maxsize=256)
def _network_groups(
    model: str | Spec,
    batch: int,
    image: int | tuple[int, int],
    precision: str,
    fusion: str,
    num_classes: int,
    in_channels: int,
) -> tuple[Group, ...]:
    return fused_groups(operations(model, batch, image, precision, num_classes, in_channels), fusion)


def _group_floors(groups: Sequence[Group], ceilings: Ceilings) -> tuple[Floor, ...]:
    cache = ceilings.cache if ceilings.cache and ceilings.l2 else 0
    weights_fit = sum(group.weights for group in groups) <= cache
    return tuple(_floor(group, ceilings, cache, weights_fit) for group in groups)


def _floor(group: Group, ceilings: Ceilings, cache: int, weights_fit: bool) -> Floor:
    cached = sum(size for size in (*group.reads, *group.writes) if size <= cache)
    cached += group.weights if weights_fit else 0
    memory = (group.bytes - cached) / ceilings.bandwidth + (cached / ceilings.l2 if ceilings.l2 else 0.0)
    compute = group.flops / ceilings.rate(group.precision)
    seconds = max(compute, memory, ceilings.launch_s)
    bound: Bound = "compute" if seconds == compute else "memory" if seconds == memory else "launch"
    return Floor(group, seconds, bound)


def fused_groups(layers: Sequence[Operation], fusion: str) -> tuple[Group, ...]:
    """Return the groups of operations that are one kernel under a fusion model, in the order in which they begin.

    Raises ValueError for an unknown fusion model.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"unknown fusion model {fusion!r}; allowed: {', '.join(FUSIONS)}")
    readers = _readers(layers)
    if fusion == "separate":
        return tuple(group for operation in layers for group in (_group([operation], readers), *_passes(operation)))
    last = {_block(o.name): o.name for o in layers if o.kind == "conv" and ".downsample" not in o.name}
    kernels: dict[str, list[Operation]] = {}
    for operation in layers:
        kernel = _kernel(operation, fusion, last.get(_block(operation.name), ""))
        kernels.setdefault(kernel, []).append(operation)
    return tuple(_group(part, readers) for part in kernels.values())


def _readers(layers: Sequence[Operation]) -> dict[str, set[str]]:
    """Return the names of the operations that read each operation's output."""
    readers: dict[str, set[str]] = {}
    for operation in layers:
        for source in operation.sources:
            readers.setdefault(source, set()).add(operation.name)
    return readers


def _kernel(operation: Operation, fusion: str, last: str) -> str:
    """Return the name of the kernel that computes an operation; `last` is the last convolution of its block."""
    name, block = operation.name, _block(operation.name)
    if not block:
        stem, head = name in ("conv1", "maxpool"), name in ("avgpool", "fc")
        return "stem" if stem and fusion != "conv" else "head" if head and fusion == "block" else name
    if fusion == "block" or (fusion == "stage1" and block.startswith("layer1.")):
        return block
    projects = operation.kind == "conv" and ".downsample" in name
    return last if operation.kind in ("add", "subsample") or (projects and fusion == "stage1") else name


def _block(name: str) -> str:
    """Return the block in a name, `layer1.0` of `layer1.0.conv2`; empty for an operation outside the blocks."""
    return ".".join(name.split(".")[:2]) if name.startswith("layer") else ""


def _group(part: Sequence[Operation], readers: dict[str, set[str]]) -> Group:
    inside = {operation.name for operation in part}
    reads: dict[str, int] = {}
    for operation in part:
        for source, read in zip(operation.sources, operation.reads, strict=True):
            if source not in inside:  # a source that two of them read is read once
                reads[source] = max(reads.get(source, 0), read)
    # the logits have no reader
    writes = [o.written for o in part if o.name not in readers or readers[o.name] - inside]
    names, flops = tuple(one.name for one in part), sum(one.flops for one in part)
    weights = sum(one.weights for one in part)
    return Group(names, flops, weights, tuple(reads.values()), tuple(writes), part[0].precision)


def _passes(operation: Operation) -> list[Group]:
    size = (operation.written,)
    return [Group((name,), 0, 0, size, size, operation.precision) for name in operation.passes]
