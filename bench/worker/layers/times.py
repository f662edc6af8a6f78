"""Where a case's time goes: each part of a prepared variant timed, in a child. What the parts are is
`bench.roofline.layers`'.

Four ways, by what the variant lets one see:
- modules on a CPU (and our own steps): clock readings in hooks around every module, what an inner one takes not counted
  to the outer; the operators' names from one execution under the profiler;
- modules on a GPU: the profiler's kernel times, each kernel in the range of the module that launched it;
- a CUDA graph: its kernels, matched one by one to those of the same callable launched without a graph;
- compiled code: kernels in order. ONNX Runtime on a CPU: nodes, by its own profiler (`bench.worker.layers.onnx_nodes`).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

import resnet
from bench.worker.gate import Truth, Wrong, check, poison
from bench.worker.layers import trace
from bench.worker.layers.marks import Marks, Names
from bench.worker.layers.trace import EXECUTION
from bench.worker.measure.clock import Clock, on_device
from bench.worker.runtime import runtime
from resnet.held import NotHeld
from resnet.inputs import find, pictures
from resnet.runner import GraphRunner, TorchRunner
from resnet.variants import VARIANTS

if TYPE_CHECKING:
    from bench.worker.__main__ import Job

WARM_UP_S, WARM_UP = 0.5, 5  # at least so long, and so many executions

COMPILED_NOTE = "compiled code has no layers: kernels in the order they ran"
FOREIGN_NOTE = "this provider does not say which layer a kernel is of: kernels in the order they ran"
GRAPH_NOTE = "the graph's kernels are not those of the same layers without it: kernels in the order they ran"


@dataclass
class Part:
    """A part that was timed: the model's modules that it computes, none where that is not known."""

    name: str
    modules: tuple[str, ...]
    ns: list[float]  # in each execution
    kernels: list[dict[str, Any]] = field(default_factory=list)  # of one execution: name, us, count


@dataclass
class Timed:
    """What one of the ways found; `ns` are whole executions while the parts were timed."""

    how: str
    parts: list[Part]
    ns: list[int]
    note: str = ""


def layer_times(job: Job, truth: Truth, executions: int, trace_to: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """Prepare the case as the worker does, check its answers, time it whole and in parts; with the status.

    `trace_to` is a file for a trace of one execution, or nothing.
    """
    case = job.case
    with on_device(job.device) as clock:
        tell("build")
        source = find(job.source)
        model = resnet.build(case.model, seed=job.seed, source=source)
        count = (job.settings.buffers + 1) * case.batch
        batches = pictures(count, case.image, seed=job.seed, source=source).split(case.batch)[:-1]
        tell("prepare")
        if VARIANTS[case.variant].runs == "compiled" and job.device == "cpu":
            torch._inductor.config.cpp.enable_kernel_profile = True  # else its kernels have no names
        run = resnet.prepare(case.variant, model, batches[0].to(job.device), case.precision, case.launch)
        inputs = [run.place(batch) for batch in batches]
        tell("gate")
        poison(run(inputs[0]), clock)
        try:
            check(run, inputs, range(len(inputs)), truth, clock)
        except Wrong as wrong:
            return {"status": "wrong", "reason": str(wrong)}
        tell("whole")
        _warm_up(run, inputs, clock)
        whole = Samples(run, inputs, clock)
        whole.take((executions + 1) // 2)
        tell("parts")
        timed = _timed(case.variant, run, model, inputs, clock, executions, trace_to)
        tell("whole")
        whole.take(executions // 2)
        gpu = _device_times(run, inputs, clock, executions)
    return {
        "status": "ok",
        "device": job.device,
        "whole_ns": whole.host,
        "gpu_ns": gpu,
        "timed_ns": timed.ns,
        "how": timed.how,
        "note": timed.note,
        "parts": [asdict(part) for part in timed.parts],
        "details": run.details,
        "runtime": runtime(job.device),
    }


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


def _device_times(
    run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock, executions: int
) -> list[int]:
    """Device times of the whole; none on a CPU, nor of what cannot be held."""
    turns = islice(cycle(inputs), executions if clock.how else 0)
    try:
        return [clock.device(partial(run, x)).ns for x in turns]
    except NotHeld:
        return []


def _warm_up(run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], clock: Clock) -> None:
    samples, end = Samples(run, inputs, clock), time.monotonic() + WARM_UP_S
    while time.monotonic() < end or len(samples.host) < WARM_UP:
        samples.take(1)


def _timed(
    variant: str, run: Any, model: Any, inputs: Sequence[Tensor], clock: Clock, executions: int, trace_to: str
) -> Timed:
    cuda = inputs[0].is_cuda
    if not isinstance(run, TorchRunner | GraphRunner):
        if not cuda:
            from bench.worker.layers.onnx_nodes import node_times

            return node_times(run, model, inputs, clock, executions, trace_to)
        return in_order(run, inputs, clock, executions, trace_to, FOREIGN_NOTE)
    if VARIANTS[variant].runs == "compiled":
        return in_order(run, inputs, clock, executions, trace_to, COMPILED_NOTE)
    if isinstance(run, GraphRunner):
        marks = Marks(run._inner, inputs[0])
        return by_graph(run, run._inner, marks, inputs, clock, executions, trace_to)
    way = by_ranges if cuda else by_hooks
    return way(run, Marks(run, inputs[0]), inputs, clock, executions, trace_to)


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
