"""The methods of timing a variant's parts; `bench.worker.layers.times` says which is for which variant."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from bench.files import owned_folder, write_file
from bench.runs.job import KernelRow, PartRow
from bench.worker.layers import trace
from bench.worker.layers.marks import Marks, Names
from bench.worker.layers.trace import EXECUTION
from bench.worker.measure.clock import Clock
from resnet.runner import GraphRunner, TorchRunner

GRAPH_NOTE = "the graph's kernels are not those of the same layers without it: kernels in the order they ran"


@dataclass(frozen=True)
class Setup:
    """The placed inputs in rotation, the clock, and the executions of a timing.

    The profiler's trace of one more execution goes to the file `trace_to`, if that is named.
    """

    inputs: Sequence[Tensor]
    clock: Clock
    executions: int
    trace_to: str = ""


@dataclass
class Timed:
    """The parts, timed by the method `how`; `ns` are whole executions while the parts were timed."""

    how: str
    parts: list[PartRow]
    ns: list[int]
    note: str = ""


@dataclass
class Samples:
    """Executions timed one at a time, with the inputs in rotation."""

    run: Callable[[Tensor], Tensor]
    setup: Setup
    host: list[int] = field(default_factory=list)

    def take(self, count: int, around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        """Time `count` executions more, each inside a new `around()`."""
        for _ in range(count):
            x = self.setup.inputs[len(self.host) % len(self.setup.inputs)]
            with around():
                host, _ = self.setup.clock.sample(partial(self.run, x))
            self.host.append(host)


def by_hooks(runner: TorchRunner, marks: Marks, setup: Setup) -> Timed:
    """Time modules by the host's clock in hooks; the names of their operators come from the profiler."""
    stamps: list[tuple[int, str | None]] = []

    def enter(name: str) -> None:
        stamps.append((time.perf_counter_ns(), name))

    def leave(name: str) -> None:
        stamps.append((time.perf_counter_ns(), None))

    samples = Samples(runner, setup)
    ns: dict[str, list[float]] = {}
    with marks.around(enter, leave):
        samples.take(1)  # the first execution looks the names up
        for number in range(setup.executions):
            stamps.clear()
            samples.take(1)
            for name, exclusive_ns in exclusive_times(stamps).items():
                ns.setdefault(name, [0.0] * setup.executions)[number] = exclusive_ns
    with marks.ranges():
        events = profiled(Samples(runner, replace(setup, executions=1)))
    kernels: dict[str, list[trace.Kernel]] = {}
    for kernel in trace.host_kernels(events):
        if kernel.layer is not None:
            kernels.setdefault(kernel.layer, []).append(kernel)
    parts = [layer_part(name, marks.names, times, kernels.get(name, ())) for name, times in ns.items()]
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


def by_ranges(runner: TorchRunner, marks: Marks, setup: Setup) -> Timed:
    """Time a GPU's kernels by the range they were launched in."""
    samples = Samples(runner, setup)
    with marks.ranges():
        samples.take(1)
        executions = trace.device_kernels(profiled(samples))
    return Timed("profiler", parts_by_layer(executions, marks.names), samples.host[1:])


def by_graph(runner: GraphRunner, marks: Marks, setup: Setup) -> Timed:
    """Time a graph's kernels; their layers are those of the same kernels launched one by one."""
    with marks.ranges():
        runner._inner(setup.inputs[0])
        single = Samples(runner._inner, replace(setup, executions=1, trace_to=""))
        (launched,) = trace.device_kernels(profiled(single))
    samples = Samples(runner, setup)
    replays = trace.device_kernels(profiled(samples))
    usual = trace.usual_executions(replays)
    if [kernel.name for kernel in usual[0]] != [kernel.name for kernel in launched]:
        return Timed("profiler", parts_in_order(replays), samples.host, GRAPH_NOTE)
    layers = [kernel.layer for kernel in launched]
    matched = [[replace(kernel, layer=layer) for kernel, layer in zip(replay, layers, strict=True)] for replay in usual]
    return Timed("profiler", parts_by_layer(matched, marks.names), samples.host)


def in_order(run: Callable[[Tensor], Tensor], setup: Setup, note: str) -> Timed:
    """Time kernels in the order they ran; nothing says which layer one is of."""
    samples = Samples(run, setup)
    events = profiled(samples)
    executions = trace.device_kernels(events) if setup.inputs[0].is_cuda else trace.host_calls(events)
    return Timed("profiler", parts_in_order(executions), samples.host, note)


def _part(name: str, modules: Iterable[str], ns: list[float], kernels: Iterable[trace.Kernel]) -> PartRow:
    """Return a part: its modules, if they are known, its ns, and the kernels of one execution, each a row."""
    rows: list[KernelRow] = [{"name": kernel.name, "us": kernel.us, "count": 1} for kernel in kernels]
    return {"name": name, "modules": list(modules), "ns": ns, "kernels": rows}


def layer_part(name: str, names: Names, ns: list[float], kernels: Iterable[trace.Kernel]) -> PartRow:
    """Return a part of a network that has layers: one that is of none converts between formats."""
    modules = names(name)
    return _part(name if modules else "conversions", modules, ns, kernels)


def parts_by_layer(executions: Sequence[Sequence[trace.Kernel]], names: Names) -> list[PartRow]:
    """Return a part for each layer, in the order they first ran; kernels of no layer are left out."""
    order = dict.fromkeys(kernel.layer for kernels in executions for kernel in kernels if kernel.layer is not None)
    parts = []
    for layer in order:
        of_layer = [[kernel for kernel in kernels if kernel.layer == layer] for kernels in executions]
        ns = [1e3 * sum(kernel.us for kernel in kernels) for kernels in of_layer]
        parts.append(layer_part(layer, names, ns, of_layer[0]))
    return parts


def parts_in_order(executions: Sequence[Sequence[trace.Kernel]]) -> list[PartRow]:
    """Return a part for each kernel or call, from the executions that ran the most frequent sequence of them."""
    usual = trace.usual_executions(executions)
    return [
        _part(first.name, (), [1e3 * execution[index].us for execution in usual], first.inside or [first])
        for index, first in enumerate(usual[0])
    ]


def profiled(samples: Samples) -> list[dict[str, Any]]:
    """Take the samples under the profiler, and return its events; another execution's trace goes to a file."""
    setup = samples.setup
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if setup.inputs[0].is_cuda else [])]

    def record(target: Samples, count: int, path: Path) -> None:
        with profile(activities=activities) as profiler:
            target.take(count, around=lambda: record_function(EXECUTION))
        profiler.export_chrome_trace(str(path))

    with owned_folder("layers") as folder:
        path = folder / "trace.json"
        record(samples, setup.executions, path)
        events = json.loads(path.read_text())["traceEvents"]
        if setup.trace_to:
            record(Samples(samples.run, setup), 1, path)
            write_file(Path(setup.trace_to), path.read_bytes())
    return trace.complete(events)
