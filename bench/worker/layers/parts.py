"""The ways of timing a variant's parts, and what they find; which is for what, `bench.worker.layers.times` says."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from bench.runs.job import KernelRow, PartRow
from bench.worker.layers import trace
from bench.worker.layers.marks import Marks, Names
from bench.worker.layers.trace import EXECUTION
from bench.worker.measure.clock import Clock
from resnet.runner import GraphRunner, TorchRunner

GRAPH_NOTE = "the graph's kernels are not those of the same layers without it: kernels in the order they ran"


@dataclass
class Part:
    """A part that was timed: the model's modules that it computes, none where that is not known."""

    name: str
    modules: tuple[str, ...]
    ns: list[float]  # in each execution
    kernels: list[KernelRow] = field(default_factory=list)  # of one execution

    def row(self) -> PartRow:
        """The part as it is answered."""
        return {"name": self.name, "modules": list(self.modules), "ns": self.ns, "kernels": self.kernels}


@dataclass
class Timed:
    """What one of the ways found; `ns` are whole executions while the parts were timed."""

    how: str
    parts: list[Part]
    ns: list[int]
    note: str = ""


@dataclass
class Samples:
    """Executions one at a time, inputs in rotation."""

    run: Callable[[Tensor], Tensor]
    inputs: Sequence[Tensor]
    clock: Clock
    host: list[int] = field(default_factory=list)

    def take(self, count: int, around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        for _ in range(count):
            x = self.inputs[len(self.host) % len(self.inputs)]
            with around():
                host, _ = self.clock.sample(partial(self.run, x))
            self.host.append(host)


def by_hooks(
    run: TorchRunner, marks: Marks, inputs: Sequence[Tensor], clock: Clock, executions: int, trace_to: str
) -> Timed:
    """Times by the host's clock, names of operators by the profiler."""
    stamps: list[tuple[int, str | None]] = []

    def enter(name: str) -> None:
        stamps.append((time.perf_counter_ns(), name))

    def leave(name: str) -> None:
        stamps.append((time.perf_counter_ns(), None))

    samples = Samples(run, inputs, clock)
    ns: dict[str, list[float]] = {}
    with marks.around(enter, leave):
        samples.take(1)  # names looked up
        for number in range(executions):
            stamps.clear()
            samples.take(1)
            for name, spent in own_times(stamps).items():
                ns.setdefault(name, [0.0] * executions)[number] = spent
    with marks.ranges():
        events = profiled(run, inputs, clock, 1, trace_to)
    kernels: dict[str, list[trace.Kernel]] = {}
    for kernel in trace.host_kernels(events):
        if kernel.layer is not None:
            kernels.setdefault(kernel.layer, []).append(kernel)
    parts = [Part(name, marks.names(name), spent, trace.by_name(kernels.get(name, ()))) for name, spent in ns.items()]
    return Timed("hooks", parts, samples.host[1:])


def own_times(stamps: Sequence[tuple[int, str | None]]) -> dict[str, float]:
    """Nanoseconds by part: a stamp with a name begins it, one without ends the last begun. Inner ones do not count."""
    found: dict[str, float] = {}
    running: list[str] = []
    last = 0
    for ns, name in stamps:
        if running:
            found[running[-1]] = found.get(running[-1], 0.0) + ns - last
        if name is None:
            running.pop()
        else:
            running.append(name)
        last = ns
    return found


def by_ranges(
    run: TorchRunner, marks: Marks, inputs: Sequence[Tensor], clock: Clock, executions: int, trace_to: str
) -> Timed:
    """A GPU's kernels by the range they were launched in."""
    samples = Samples(run, inputs, clock)
    with marks.ranges():
        samples.take(1)
        events = profiled(run, inputs, clock, executions, trace_to, samples)
    return Timed("profiler", parts_by_layer(trace.device_kernels(events), marks.names), samples.host[1:])


def by_graph(
    run: GraphRunner,
    inner: TorchRunner,
    marks: Marks,
    inputs: Sequence[Tensor],
    clock: Clock,
    executions: int,
    trace_to: str,
) -> Timed:
    """A graph's kernels, with the layers that the same kernels have when they are launched one by one."""
    with marks.ranges():
        inner(inputs[0])
        (single,) = trace.device_kernels(profiled(inner, inputs, clock, 1, ""))
    samples = Samples(run, inputs, clock)
    replayed = trace.device_kernels(profiled(run, inputs, clock, executions, trace_to, samples))
    names = [kernel.name for kernel in single]
    if trace.usual([[kernel.name for kernel in one] for one in replayed]) != tuple(names):
        return Timed("profiler", parts_in_order(replayed), samples.host, GRAPH_NOTE)
    matched = [
        [trace.Kernel(kernel.name, kernel.us, known.layer) for kernel, known in zip(one, single, strict=True)]
        for one in replayed
        if [kernel.name for kernel in one] == names
    ]
    return Timed("profiler", parts_by_layer(matched, marks.names), samples.host)


def in_order(run: Any, inputs: Sequence[Tensor], clock: Clock, executions: int, trace_to: str, note: str) -> Timed:
    """Kernels in the order they ran, of no layer."""
    samples = Samples(run, inputs, clock)
    events = profiled(run, inputs, clock, executions, trace_to, samples)
    if inputs[0].is_cuda:
        return Timed("profiler", parts_in_order(trace.device_kernels(events)), samples.host, note)
    calls = trace.host_calls(events)
    expected = trace.usual([[call.name for call in one] for one in calls])
    alike = [one for one in calls if tuple(call.name for call in one) == expected]
    parts = [
        Part(name, (), [one[place].us * 1e3 for one in alike], trace.by_name(alike[0][place].inside))
        for place, name in enumerate(expected)
    ]
    return Timed("profiler", parts, samples.host, note)


def parts_by_layer(executions: Sequence[Sequence[trace.Kernel]], names: Names) -> list[Part]:
    """The layers of what ran, in the order they first ran; what ran in none is left out."""
    order = dict.fromkeys(kernel.layer for one in executions for kernel in one if kernel.layer is not None)
    parts = []
    for layer in order:
        mine = [[kernel for kernel in one if kernel.layer == layer] for one in executions]
        parts.append(Part(layer, names(layer), [_ns(kernels) for kernels in mine], trace.by_name(mine[0])))
    return parts


def parts_in_order(executions: Sequence[Sequence[trace.Kernel]]) -> list[Part]:
    """A part a kernel, of the executions that ran the usual ones."""
    expected = trace.usual([[kernel.name for kernel in one] for one in executions])
    alike = [one for one in executions if tuple(kernel.name for kernel in one) == expected]
    return [
        Part(name, (), [_ns([one[place]]) for one in alike], trace.by_name([alike[0][place]]))
        for place, name in enumerate(expected)
    ]


def _ns(kernels: Sequence[trace.Kernel]) -> float:
    return 1e3 * sum(kernel.us for kernel in kernels)


def profiled(
    run: Callable[[Tensor], Tensor],
    inputs: Sequence[Tensor],
    clock: Clock,
    executions: int,
    trace_to: str,
    samples: Samples | None = None,
) -> list[dict[str, Any]]:
    """The profiler's events over some executions; those of one more go to the file `trace_to`, if it is named."""
    wanted = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if inputs[0].is_cuda else [])]
    samples = samples or Samples(run, inputs, clock)

    def record(taken: Samples, count: int, path: Path) -> None:
        with profile(activities=wanted) as made:
            taken.take(count, around=lambda: record_function(EXECUTION))
        made.export_chrome_trace(str(path))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        record(samples, executions, path)
        events = json.loads(path.read_text())["traceEvents"]
    if trace_to:
        record(Samples(run, inputs, clock), 1, Path(trace_to))
    return trace.complete(events)
