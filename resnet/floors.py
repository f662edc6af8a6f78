"""The least time that a machine's ceilings allow a network, kernel by kernel.

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
from resnet.cost import Operation, operations

Bound = Literal["compute", "memory", "launch"]

# Each fuses what the one before does, and more.
FUSIONS = {
    "separate": "every convolution, norm, ReLU, sum and pool a pass of its own",
    "conv": "one kernel a convolution, with the norm, the ReLU and the sum behind it",
    "stem": "the first convolution and the pool one kernel, too",
    "stage1": "each block of stage 1 one kernel, too, and a projection in the kernel of its block's last convolution",
    "block": "one kernel a block, and one for the mean and the classifier",
}


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


def network_floors(
    model: str | Spec,
    batch: int,
    image: int | tuple[int, int],
    precision: str,
    ceilings: Ceilings,
    fusion: str = "conv",
) -> tuple[Floor, ...]:
    """`floors` of a network's operations, which are worked out once.

    Their seconds sum up to the network's floor. Raises ValueError for an unknown model, fusion model or precision.
    """
    return _floors(_network(model, batch, image, precision, fusion), ceilings)


def floors(found: Sequence[Operation], ceilings: Ceilings, fusion: str = "conv") -> tuple[Floor, ...]:
    """The floor of each kernel that a fusion model makes of the operations; their sum is the network's.

    Where the machine's cache and its rate are known, an activation that fits the cache is read and written at that
    rate, and so are the weights if all of them fit: a kernel before may have left them there. Raises ValueError for an
    unknown fusion model and for a precision whose rate is not known.
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
