"""The methods of timing a variant's parts; `bench.worker.layers.times` says which is for which variant."""

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
    """A timed part, with the modules of the model that it computes; there are none where nothing says which."""

    name: str
    modules: tuple[str, ...]
    ns: list[float]  # in each execution
    kernels: list[KernelRow] = field(default_factory=list)  # of one execution

    def row(self) -> PartRow:
        """Return the part as it is in the answer."""
        return {"name": self.name, "modules": list(self.modules), "ns": self.ns, "kernels": self.kernels}


@dataclass
class Timed:
    """The parts, timed by the method `how`; `ns` are whole executions while the parts were timed."""

    how: str
    parts: list[Part]
    ns: list[int]
    note: str = ""


@dataclass
class Samples:
    """Executions timed one at a time, with the inputs in rotation."""

    run: Callable[[Tensor], Tensor]
    inputs: Sequence[Tensor]
    clock: Clock
    host: list[int] = field(default_factory=list)

    def take(self, count: int, around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        """Time `count` executions more, each inside a new `around()`."""
        for _ in range(count):
            x = self.inputs[len(self.host) % len(self.inputs)]
            with around():
                host, _ = self.clock.sample(partial(self.run, x))
            self.host.append(host)


def by_hooks(
    run: TorchRunner, marks: Marks, inputs: Sequence[Tensor], clock: Clock, executions: int, trace_to: str
) -> Timed:
    """Time modules by the host's clock in hooks; the names of their operators come from the profiler."""
    stamps: list[tuple[int, str | None]] = []

    def enter(name: str) -> None:
        stamps.append((time.perf_counter_ns(), name))

    def leave(name: str) -> None:
        stamps.append((time.perf_counter_ns(), None))

    samples = Samples(run, inputs, clock)
    ns: dict[str, list[float]] = {}
    with marks.around(enter, leave):
        samples.take(1)  # the first execution looks the names up
        for number in range(executions):
            stamps.clear()
            samples.take(1)
            for name, exclusive_ns in exclusive_times(stamps).items():
                ns.setdefault(name, [0.0] * executions)[number] = exclusive_ns
    with marks.ranges():
        events = profiled(run, inputs, clock, 1, trace_to)
    kernels: dict[str, list[trace.Kernel]] = {}
    for kernel in trace.host_kernels(events):
        if kernel.layer is not None:
            kernels.setdefault(kernel.layer, []).append(kernel)
    parts = [Part(name, marks.names(name), times, trace.by_name(kernels.get(name, ()))) for name, times in ns.items()]
    return Timed("hooks", parts, samples.host[1:])


def exclusive_times(stamps: Sequence[tuple[int, str | None]]) -> dict[str, float]:
    """Return the nanoseconds by part, without those of inner parts.

    A stamp with a name begins a part; a stamp without ends the part that began last.
    """
    exclusive: dict[str, float] = {}
    running: list[str] = []
    last = 0
    for ns, name in stamps:
        if running:
            exclusive[running[-1]] = exclusive.get(running[-1], 0.0) + ns - last
        if name is None:
            running.pop()
        else:
            running.append(name)
        last = ns
    return exclusive


def by_ranges(
    run: TorchRunner, marks: Marks, inputs: Sequence[Tensor], clock: Clock, executions: int, trace_to: str
) -> Timed:
    """Time a GPU's kernels by the range they were launched in."""
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
    """Time a graph's kernels; their layers are those of the same kernels launched one by one."""
    with marks.ranges():
        inner(inputs[0])
        (launched,) = trace.device_kernels(profiled(inner, inputs, clock, 1, ""))
    samples = Samples(run, inputs, clock)
    replayed = trace.device_kernels(profiled(run, inputs, clock, executions, trace_to, samples))
    names = [kernel.name for kernel in launched]
    if trace.most_frequent([[kernel.name for kernel in replay] for replay in replayed]) != tuple(names):
        return Timed("profiler", parts_in_order(replayed), samples.host, GRAPH_NOTE)
    matched = [
        [trace.Kernel(kernel.name, kernel.us, twin.layer) for kernel, twin in zip(replay, launched, strict=True)]
        for replay in replayed
        if [kernel.name for kernel in replay] == names
    ]
    return Timed("profiler", parts_by_layer(matched, marks.names), samples.host)


def in_order(run: Any, inputs: Sequence[Tensor], clock: Clock, executions: int, trace_to: str, note: str) -> Timed:
    """Time kernels in the order they ran; nothing says which layer one is of."""
    samples = Samples(run, inputs, clock)
    events = profiled(run, inputs, clock, executions, trace_to, samples)
    if inputs[0].is_cuda:
        return Timed("profiler", parts_in_order(trace.device_kernels(events)), samples.host, note)
    calls = trace.host_calls(events)
    expected = trace.most_frequent([[call.name for call in execution] for execution in calls])
    alike = [execution for execution in calls if tuple(call.name for call in execution) == expected]
    parts = [
        Part(name, (), [execution[index].us * 1e3 for execution in alike], trace.by_name(alike[0][index].inside))
        for index, name in enumerate(expected)
    ]
    return Timed("profiler", parts, samples.host, note)


def parts_by_layer(executions: Sequence[Sequence[trace.Kernel]], names: Names) -> list[Part]:
    """Return a part for each layer, in the order they first ran; kernels of no layer are left out."""
    order = dict.fromkeys(kernel.layer for kernels in executions for kernel in kernels if kernel.layer is not None)
    parts = []
    for layer in order:
        of_layer = [[kernel for kernel in kernels if kernel.layer == layer] for kernels in executions]
        parts.append(Part(layer, names(layer), [_ns(kernels) for kernels in of_layer], trace.by_name(of_layer[0])))
    return parts


def parts_in_order(executions: Sequence[Sequence[trace.Kernel]]) -> list[Part]:
    """Return a part for each kernel, from the executions that ran the most frequent sequence of kernels."""
    expected = trace.most_frequent([[kernel.name for kernel in kernels] for kernels in executions])
    alike = [kernels for kernels in executions if tuple(kernel.name for kernel in kernels) == expected]
    return [
        Part(name, (), [_ns([kernels[index]]) for kernels in alike], trace.by_name([alike[0][index]]))
        for index, name in enumerate(expected)
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
    """Return the profiler's events over some executions; another one's go to the file `trace_to`, if that is named."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if inputs[0].is_cuda else [])]
    samples = samples or Samples(run, inputs, clock)

    def record(target: Samples, count: int, path: Path) -> None:
        with profile(activities=activities) as profiler:
            target.take(count, around=lambda: record_function(EXECUTION))
        profiler.export_chrome_trace(str(path))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        record(samples, executions, path)
        events = json.loads(path.read_text())["traceEvents"]
    if trace_to:
        record(Samples(run, inputs, clock), 1, Path(trace_to))
    return trace.complete(events)
