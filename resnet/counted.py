"""The kernels of any network: the operations of one image, as they were traced, joined by what can run as one kernel.

The standard library alone: `resnet.outside.counting` makes the trace. The rules are those of the fusion model `conv` of
`resnet.floors`, for any operation:
- convolutions, products of matrices, attention, pools, norms over an image and other reductions begin a kernel;
- a pointwise operation runs in the kernel of the newest of its inputs, so a norm with running statistics, an activation
  and a sum run behind a convolution;
- a pointwise operation of one value that is in memory anyway runs in the kernels that read its result, as they read;
- joining values moves nothing: whoever reads the whole reads its pieces where they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

INPUT = 0  # the value that the network is called with
BROADCAST = 8  # an input that is at least so much smaller than the result is a factor for many of its elements

# [name, FLOPs, elements of weights, [[place of the kernel that wrote them, or -1 for the input, elements], ...],
#  elements written], of one image
Row = list[Any]


@dataclass(frozen=True)
class Read:
    """Elements of a value that an operation reads; equal `view` means the same ones."""

    value: int
    view: Hashable
    elements: int


@dataclass(frozen=True)
class Node:
    """An operation; `outputs` maps the values that it makes to their elements, `weights` are elements of parameters.

    One of kind `join` makes a value of others, without a kernel.
    """

    name: str
    kind: Literal["kernel", "pointwise", "join"]
    reads: tuple[Read, ...]
    outputs: dict[int, int]
    module: str = ""  # in whose call it ran
    flops: int = 0
    weights: int = 0


@dataclass
class Kernels:
    """The kernels of a trace, as rows, and the names of all operations in each."""

    rows: list[Row]
    members: list[list[str]]
    modules: dict[str, list[str]] = field(default_factory=dict)  # the rows' names that each module's time counts to


def join_kernels(nodes: Sequence[Node], input_elements: int, results: Iterable[Read]) -> Kernels:
    """Return the kernels of the operations `nodes` in their order; `results` is what the network returns."""
    return _Joining(nodes, input_elements, list(results)).kernels()


class _Joining:
    """Finds the kernel of each operation, what is in memory, and what each kernel reads of it and writes."""

    def __init__(self, nodes: Sequence[Node], input_elements: int, results: list[Read]) -> None:
        self.nodes, self.results = nodes, results
        self.maker = {value: place for place, node in enumerate(nodes) for value in node.outputs}
        self.size = {INPUT: input_elements} | {v: size for node in nodes for v, size in node.outputs.items()}
        self.kernel: list[int | None] = []  # the place of the operation that begins each one's kernel
        for place, node in enumerate(nodes):
            newest = max((k for read in node.reads if (k := self._owner(read.value)) is not None), default=None)
            self.kernel.append(place if node.kind == "kernel" else newest)
        self.readers = self._readers()
        self.inlined: set[int] = set()  # operations that run where their results are read
        for place, node in enumerate(nodes):
            if node.kind == "pointwise" and self._runs_where_read(place, node):
                self.inlined.add(place)
        self._pieces: dict[int, dict[int, float]] = {}

    def _owner(self, value: int) -> int | None:
        return self.kernel[self.maker[value]] if value in self.maker else None

    def _readers(self) -> dict[int, set[int | None]]:
        """Return the kernels that read each value, itself or as a piece of another; None is the caller."""
        readers: dict[int, set[int | None]] = defaultdict(set)
        for read in self.results:
            readers[read.value].add(None)
        for place in reversed(range(len(self.nodes))):
            node = self.nodes[place]
            joined = {kernel for value in node.outputs for kernel in readers[value]}
            for read in node.reads:
                readers[read.value] |= joined if node.kind == "join" else {self.kernel[place]}
        return readers

    def _runs_where_read(self, place: int, node: Node) -> bool:
        if any(None in self.readers[value] for value in node.outputs):
            return False
        if self.kernel[place] is None:  # of the input alone
            return True
        whole = max(node.outputs.values())
        large = [read.value for read in node.reads if read.elements * BROADCAST > whole]
        return len(large) == 1 and self._is_in_memory(large[0])

    def _is_in_memory(self, value: int) -> bool:
        """Return whether a value is in memory, whoever else reads it."""
        if value == INPUT or self.maker[value] in self.inlined:
            return True
        node = self.nodes[self.maker[value]]
        if node.kind == "join":
            owners = {self._owner(read.value) for read in node.reads}
            return len(owners) > 1 or all(self._is_in_memory(read.value) for read in node.reads)
        return bool(self.readers[value] - {self._owner(value)})

    def pieces(self, value: int) -> dict[int, float]:
        """Return the elements in memory that are read for the whole of a value, by the value that was written."""
        if value not in self._pieces:
            place = self.maker.get(value)
            if place is None or (self.nodes[place].kind != "join" and place not in self.inlined):
                self._pieces[value] = {value: self.size[value]}
            else:
                pieces: Counter[int] = Counter()
                for elements in self._read(self.nodes[place].reads).values():
                    pieces.update(elements)
                self._pieces[value] = dict(pieces)
        return self._pieces[value]

    def _read(self, reads: Iterable[Read]) -> dict[tuple[int, Hashable], dict[int, float]]:
        """Return the elements in memory that are read, by the part of a value that they are read for."""
        parts = {}
        for read in reads:
            share = min(1.0, read.elements / self.size[read.value])
            parts[read.value, read.view] = {v: share * n for v, n in self.pieces(read.value).items()}
        return parts

    def kernels(self) -> Kernels:
        running = [place for place in range(len(self.nodes)) if place not in self.inlined]
        parts: dict[int, list[Node]] = defaultdict(list)
        for place in running:
            kernel = self.kernel[place]
            if self.nodes[place].kind != "join" and kernel is not None:
                parts[kernel].append(self.nodes[place])
        reads = {kernel: self._reads_of(kernel, nodes) for kernel, nodes in parts.items()}
        kept = {value for of_kernel in reads.values() for value in of_kernel}
        kept |= {value for read in self.results for value in self.pieces(read.value)}
        written: Counter[int] = Counter()
        for value in kept - {INPUT}:
            owner = self._owner(value)
            assert owner is not None
            written[owner] += self.size[value]
        order = [kernel for kernel in sorted(parts) if written[kernel] or self.nodes[kernel].flops]
        index = {kernel: number for number, kernel in enumerate(order)}
        work: dict[int, list[int]] = {kernel: [0, 0] for kernel in order}
        members: dict[int, list[Node]] = {kernel: [] for kernel in order}
        for place, node in enumerate(self.nodes):
            kernel = self.kernel[place]
            if kernel in index and node.kind != "join":
                members[kernel].append(node)
                work[kernel][0] += node.flops
                work[kernel][1] += node.weights
        names = _unique(self.nodes[kernel].name for kernel in order)
        rows: list[Row] = []
        for kernel, name in zip(order, names, strict=True):
            sources: Counter[int] = Counter()
            for value, elements in reads[kernel].items():
                owner = self._owner(value)
                sources[-1 if owner is None else index.get(owner, -1)] += elements
            rows.append([name, *work[kernel], [list(pair) for pair in sources.items()], written[kernel]])
        listed = [[node.name for node in members[kernel]] for kernel in order]
        return Kernels(rows, listed, self._modules(members, dict(zip(order, names, strict=True))))

    def _reads_of(self, kernel: int, nodes: Iterable[Node]) -> dict[int, int]:
        """Return the elements that a kernel reads of each value in memory that others wrote."""
        elements: Counter[int] = Counter()
        for part in self._read(read for node in nodes for read in node.reads).values():
            for value, count in part.items():
                if value == INPUT or self._owner(value) != kernel:
                    elements[value] += count  # type: ignore[assignment]
        return {value: min(round(count), self.size[value]) for value, count in elements.items()}

    def _modules(self, members: dict[int, list[Node]], names: dict[int, str]) -> dict[str, list[str]]:
        """Return the names of the kernels that each module's time counts to: of those it begins, else of its one.

        A module whose pointwise operations run in several kernels has none: its time is a row of its own.
        """
        begun: dict[str, list[str]] = defaultdict(list)
        joined: dict[str, dict[str, None]] = defaultdict(dict)
        for kernel, nodes in members.items():
            begun[self.nodes[kernel].module].append(names[kernel])
            for node in nodes:
                joined[node.module][names[kernel]] = None
        alone = {module: list(kernels) if len(kernels) == 1 else [] for module, kernels in joined.items()}
        return alone | begun


def _unique(names: Iterable[str]) -> list[str]:
    """Return the names, with a number behind each that was there before."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}:{seen[name]}")
    return unique
