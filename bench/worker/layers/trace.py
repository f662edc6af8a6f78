"""A profiler's trace: the kernels that ran in each range of each execution.

The events are those of torch.profiler's Chrome export, whose times are microseconds. A GPU's kernel belongs to the
range in which the host launched it: launch and kernel carry the same correlation.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.runs.job import KernelRow

EXECUTION = "bench execution"  # the name of the range around an execution
LAYER = "layer "  # the prefix of the name of a layer's range

LAUNCHES = {"cuda_runtime", "cuda_driver"}
KERNELS = {"kernel", "gpu_memset", "gpu_memcpy"}


@dataclass(frozen=True)
class Kernel:
    """A kernel that ran: its name, its microseconds, and the layer's range in which it was launched, if any."""

    name: str
    us: float
    layer: str | None = None

    @property
    def inside(self) -> list[Kernel]:
        """The kernel itself, as a Call has those inside it."""
        return [self]


@dataclass
class _OpenRange:
    event: dict[str, Any]
    inner_us: float = 0.0  # of the operations inside


@dataclass
class Call:
    """An outermost operation on the host: its inclusive microseconds, and the operations in which it spent them."""

    name: str
    us: float
    inside: list[Kernel] = field(default_factory=list)


T = TypeVar("T", Kernel, Call, Kernel | Call)


def complete(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events with a start and a duration, in order of their start; an outer one before its inner ones."""
    spans = [event for event in events if event.get("ph") == "X" and isinstance(event.get("ts"), int | float)]
    return sorted(spans, key=lambda event: (event["ts"], -event["dur"]))


def device_kernels(events: Sequence[dict[str, Any]]) -> list[list[Kernel]]:
    """Return the kernels of each execution on a GPU, in the order in which they began."""
    spans = [event for event in events if _is_range(event, EXECUTION)]
    begins = [span["ts"] for span in spans]
    launches = {_correlation(event): event for event in events if event.get("cat") in LAUNCHES}
    layers = [event for event in events if event.get("cat") == "user_annotation" and event["name"].startswith(LAYER)]
    starts = [layer["ts"] for layer in layers]
    kernels: list[list[Kernel]] = [[] for _ in spans]
    for event in events:
        if event.get("cat") not in KERNELS:
            continue
        launch = launches.get(_correlation(event), event)
        execution = bisect_right(begins, launch["ts"]) - 1
        if execution >= 0 and launch["ts"] <= spans[execution]["ts"] + spans[execution]["dur"]:
            begun = layers[bisect_left(starts, begins[execution]) : bisect_right(starts, launch["ts"])]
            kernels[execution].append(Kernel(event["name"], event["dur"], _innermost(launch, begun)))
    return kernels


def _innermost(launch: dict[str, Any], begun: Sequence[dict[str, Any]]) -> str | None:
    """Return the layer of the innermost range around a launch; `begun` are its execution's ranges that began before."""
    for layer in reversed(begun):
        if layer["tid"] == launch["tid"] and launch["ts"] <= layer["ts"] + layer["dur"]:
            return str(layer["name"]).removeprefix(LAYER)
    return None


def host_kernels(events: Sequence[dict[str, Any]]) -> list[Kernel]:
    """Return the operations on the host with their exclusive times, and the innermost range they ran in."""
    kernels: list[Kernel] = []
    for operation, exclusive_us, around in _nested(events):
        layers = [outer["name"] for outer in around if outer["name"].startswith(LAYER)]
        layer = layers[-1].removeprefix(LAYER) if layers else None
        kernels.append(Kernel(operation["name"], exclusive_us, layer))
    return kernels


def host_calls(events: Sequence[dict[str, Any]]) -> list[list[Call]]:
    """Return the outermost operations of each execution, in order."""
    calls: dict[int, Call] = {}
    spans = {id(event): index for index, event in enumerate(event for event in events if _is_range(event, EXECUTION))}
    executions: list[list[Call]] = [[] for _ in spans]
    for operation, exclusive_us, around in sorted(_nested(events), key=lambda nested: nested[0]["ts"]):
        execution = next((spans[id(outer)] for outer in around if id(outer) in spans), None)
        if execution is None:
            continue
        outermost = next((outer for outer in around if _is_operation(outer)), operation)
        if id(outermost) not in calls:
            calls[id(outermost)] = Call(outermost["name"], outermost["dur"])
            executions[execution].append(calls[id(outermost)])
        calls[id(outermost)].inside.append(Kernel(operation["name"], exclusive_us))
    return executions


def _nested(events: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], float, list[dict[str, Any]]]]:
    """Return each operation on the host, its exclusive microseconds, and the ranges around it from the outside in."""
    operations: list[tuple[dict[str, Any], float, list[dict[str, Any]]]] = []
    stacks: dict[Any, list[_OpenRange]] = {}

    def close(stack: list[_OpenRange]) -> None:
        last = stack.pop()
        if _is_operation(last.event):
            around = [outer.event for outer in stack]
            operations.append((last.event, max(0.0, last.event["dur"] - last.inner_us), around))
            for outer in reversed(stack):
                if _is_operation(outer.event):
                    outer.inner_us += last.event["dur"]
                    break

    for event in events:
        if event.get("cat") not in ("cpu_op", "user_annotation"):
            continue
        stack = stacks.setdefault(event.get("tid"), [])
        while stack and event["ts"] >= stack[-1].event["ts"] + stack[-1].event["dur"]:
            close(stack)
        stack.append(_OpenRange(event))
    for stack in stacks.values():
        while stack:
            close(stack)
    return operations


def _is_operation(event: dict[str, Any]) -> bool:
    """Return whether the event is an operator or a kernel of Inductor's; names of its bookkeeping have spaces."""
    return event["cat"] == "cpu_op" and " " not in event["name"]


def _is_range(event: dict[str, Any], name: str) -> bool:
    return event.get("cat") == "user_annotation" and event["name"] == name


def _correlation(event: dict[str, Any]) -> Any:
    return event.get("args", {}).get("correlation")


def by_name(kernels: Iterable[Kernel]) -> list[KernelRow]:
    """Return a row for all kernels of one name, as files of layers have them."""
    rows: dict[str, KernelRow] = {}
    for kernel in kernels:
        row = rows.setdefault(kernel.name, {"name": kernel.name, "us": 0.0, "count": 0})
        row["us"] += kernel.us
        row["count"] += 1
    return list(rows.values())


def usual_executions(executions: Sequence[Sequence[T]]) -> list[Sequence[T]]:
    """Return the executions that ran the most frequent sequence of names."""
    names = [tuple(kernel.name for kernel in execution) for execution in executions]
    ((usual, _),) = Counter(names).most_common(1)
    return [execution for execution, sequence in zip(executions, names, strict=True) if sequence == usual]
