"""The least time that a machine's ceilings allow a network, kernel by kernel.

A floor is a roofline (Williams et al. 2009): a kernel takes at least as long as its multiply-adds at the matmul rate,
without those of padding, as its bytes at the memory bandwidth, and as an empty kernel. A network's floor is the sum
over its kernels; a fusion model (`FUSIONS`) says which operations are one kernel. Not modelled: that layers with few
channels do not reach the matmul rate, which is a large product's; whole tiles on a whole number of processors; a
block's rim, computed twice where a block is one kernel; v2's padding before the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from resnet.cost import Operation, network_operations
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

_computed: dict[str, tuple[Floor, ...]] = {}  # by all that they depend on: a report asks for few, thousands of times
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
    products: tuple[tuple[str, int], ...]  # the precision and the needed FLOPs of each that multiplies
    weights: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]

    @property
    def flops(self) -> int:
        return sum(flops for _, flops in self.products)

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


def described_floors(
    model: str,
    batch: int,
    image: int,
    precision: str,
    network: Mapping[str, Any],
    ceilings: Ceilings,
    fusion: str = COUNTED,
    wide: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Floor, ...]:
    """Return the floors of the kernels of a network, which a record describes in its field `network`.

    Their seconds sum to the network's floor. `wide` has the precision of layers that have their own. There are none of
    a model from outside that was not counted, or under a fusion model that is not its (`fusions_of`).
    Where the bandwidth of the machine's cache is known, an activation that fits the cache is read and written at it,
    and so are the weights if all of them fit: the kernel before may have left them there. Raises ValueError for an
    unknown model, and for a precision that is unknown or without a rate.
    """
    if is_outside(model) and fusion != COUNTED:
        return ()
    about = model, batch, image, precision, network, wide
    key = repr((about, fusion, *(value for name, value in vars(ceilings).items() if name != "provenance")))
    if key not in _computed:
        _computed[key] = _group_floors(fused_groups(network_operations(*about), fusion), ceilings)
    return _computed[key]


def fusions_of(model: str) -> tuple[str, ...]:
    """Return the fusion models under which a model has floors."""
    return (COUNTED,) if is_outside(model) else tuple(FUSIONS)


def part_floors(
    parts: Sequence[Sequence[Operation]], layers: Sequence[Operation], ceilings: Ceilings
) -> tuple[Floor, ...]:
    """Return the floors of given kernels: each of `parts` has the operations, of all `layers`, that one computes."""
    return _group_floors(part_groups(parts, layers), ceilings)


def part_groups(parts: Sequence[Sequence[Operation]], layers: Sequence[Operation]) -> list[Group]:
    """Return the work of given kernels: each of `parts` has the operations, of all `layers`, that one computes."""
    readers = _readers(layers)
    return [_group(part, readers) for part in parts]


def _group_floors(groups: Sequence[Group], ceilings: Ceilings) -> tuple[Floor, ...]:
    cache = ceilings.cache if ceilings.cache and ceilings.l2 else 0
    weights_fit = sum(group.weights for group in groups) <= cache
    return tuple(_floor(group, ceilings, cache, weights_fit) for group in groups)


def _floor(group: Group, ceilings: Ceilings, cache: int, weights_fit: bool) -> Floor:
    activations = *group.reads, *group.writes
    cached = sum(size for size in activations if size <= cache)
    cached += group.weights if weights_fit else 0
    memory = (group.bytes - cached) / ceilings.bandwidth + (cached / ceilings.l2 if ceilings.l2 else 0.0)
    compute = sum(flops / ceilings.rate(precision) for precision, flops in group.products)
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
    names = tuple(one.name for one in part)
    products = tuple((one.precision, one.needed) for one in part if one.needed)
    return Group(names, products, sum(one.weights for one in part), tuple(reads.values()), tuple(writes))


def _passes(operation: Operation) -> list[Group]:
    size = (operation.written,)
    return [Group((name,), (), 0, size, size) for name in operation.passes]
