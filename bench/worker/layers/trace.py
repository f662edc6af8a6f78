"""A profiler's trace: the kernels that ran in each range of each execution.

The events are those of torch.profiler's Chrome export, whose times are microseconds. A GPU's kernel belongs to the
range in which the host launched it: launch and kernel carry the same correlation.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

EXECUTION = "bench execution"  # the name of the range around an execution
LAYER = "layer "  # the prefix of the name of a layer's range

LAUNCHES = {"cuda_runtime", "cuda_driver"}
KERNELS = {"kernel", "gpu_memset", "gpu_memcpy"}


@dataclass(frozen=True)
class Kernel:
    """A kernel, or an operation on the host: its microseconds, and the layer's range in which it was launched, if any.

    An outermost operation has its inclusive microseconds, and the operations in which it spent them `inside`.
    """

    name: str
    us: float
    layer: str | None = None
    inside: list[Kernel] = field(default_factory=list)


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


def host_calls(events: Sequence[dict[str, Any]]) -> list[list[Kernel]]:
    """Return the outermost operations of each execution, in order."""
    calls: dict[int, Kernel] = {}
    spans = {id(event): index for index, event in enumerate(event for event in events if _is_range(event, EXECUTION))}
    executions: list[list[Kernel]] = [[] for _ in spans]
    for operation, exclusive_us, around in _nested(events):
        execution = next((spans[id(outer)] for outer in around if id(outer) in spans), None)
        if execution is None:
            continue
        outermost = next(filter(_is_operation, around), operation)
        if outermost is operation:
            calls[id(operation)] = Kernel(operation["name"], operation["dur"])
            executions[execution].append(calls[id(operation)])
        calls[id(outermost)].inside.append(Kernel(operation["name"], exclusive_us))
    return executions


def _nested(events: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], float, list[dict[str, Any]]]]:
    """Return each operation on the host, its exclusive microseconds, and the ranges around it from the outside in."""
    operations: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    inner_us: dict[int, float] = defaultdict(float)  # by the id of an operation, of the operations directly inside
    stacks: dict[Any, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") not in ("cpu_op", "user_annotation"):
            continue
        stack = stacks.setdefault(event.get("tid"), [])
        while stack and event["ts"] >= stack[-1]["ts"] + stack[-1]["dur"]:
            stack.pop()
        if _is_operation(event):
            operations.append((event, list(stack)))
            for outer in filter(_is_operation, reversed(stack)):
                inner_us[id(outer)] += event["dur"]
                break
        stack.append(event)
    return [(event, max(0.0, event["dur"] - inner_us[id(event)]), around) for event, around in operations]


def _is_operation(event: dict[str, Any]) -> bool:
    """Return whether the event is an operator or a kernel of Inductor's; names of its bookkeeping have spaces."""
    return event["cat"] == "cpu_op" and " " not in event["name"]


def _is_range(event: dict[str, Any], name: str) -> bool:
    return event.get("cat") == "user_annotation" and event["name"] == name


def _correlation(event: dict[str, Any]) -> Any:
    return event.get("args", {}).get("correlation")


def usual_executions(executions: Sequence[Sequence[Kernel]]) -> list[Sequence[Kernel]]:
    """Return the executions that ran the most frequent sequence of names."""
    names = [tuple(kernel.name for kernel in execution) for execution in executions]
    ((usual, _),) = Counter(names).most_common(1)
    return [execution for execution, sequence in zip(executions, names, strict=True) if sequence == usual]
