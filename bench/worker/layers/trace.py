"""A profiler's trace, read: which kernels ran in which range of which execution.

The events are those of torch.profiler's Chrome export, whose times are microseconds. A GPU's kernel belongs to the
range in which the host launched it: launch and kernel carry the same correlation.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.runs.job import KernelRow

EXECUTION = "bench execution"  # the range around each
LAYER = "layer "  # begins the name of a range that is a layer

LAUNCHES = {"cuda_runtime", "cuda_driver"}
KERNELS = {"kernel", "gpu_memset", "gpu_memcpy"}


@dataclass(frozen=True)
class Kernel:
    """What ran: its name, microseconds, and the layer's range it was launched in, if any."""

    name: str
    us: float
    layer: str | None = None


@dataclass
class _Open:
    event: dict[str, Any]
    inner: float = 0.0  # us of the operations inside


@dataclass
class Call:
    """An operation on the host that no other contains: inclusive microseconds, and what it spent them in."""

    name: str
    us: float
    inside: list[Kernel] = field(default_factory=list)


def complete(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with a beginning and a length, in the order in which they began; an outer one before its inner ones."""
    found = [event for event in events if event.get("ph") == "X" and isinstance(event.get("ts"), int | float)]
    return sorted(found, key=lambda event: (event["ts"], -event["dur"]))


def device_kernels(events: Sequence[dict[str, Any]]) -> list[list[Kernel]]:
    """The kernels of each execution on a GPU, in the order in which they began."""
    spans = [event for event in events if _is(event, EXECUTION)]
    begins = [span["ts"] for span in spans]
    launches = {_correlation(event): event for event in events if event.get("cat") in LAUNCHES}
    layers = [event for event in events if event.get("cat") == "user_annotation" and event["name"].startswith(LAYER)]
    starts = [layer["ts"] for layer in layers]
    found: list[list[Kernel]] = [[] for _ in spans]
    for event in events:
        if event.get("cat") not in KERNELS:
            continue
        launch = launches.get(_correlation(event), event)
        at = bisect_right(begins, launch["ts"]) - 1
        if at >= 0 and launch["ts"] <= spans[at]["ts"] + spans[at]["dur"]:
            begun = layers[bisect_left(starts, begins[at]) : bisect_right(starts, launch["ts"])]
            found[at].append(Kernel(event["name"], event["dur"], _innermost(launch, begun)))
    return found


def _innermost(launch: dict[str, Any], begun: Sequence[dict[str, Any]]) -> str | None:
    """Of the ranges around a launch the last to begin; `begun` are those of its execution that began before it."""
    for layer in reversed(begun):
        if layer["tid"] == launch["tid"] and launch["ts"] <= layer["ts"] + layer["dur"]:
            return str(layer["name"]).removeprefix(LAYER)
    return None


def host_kernels(events: Sequence[dict[str, Any]]) -> list[Kernel]:
    """Operations on the host with the time they spent themselves, and the innermost range they ran in."""
    found: list[Kernel] = []
    for operation, own, around in _nested(events):
        layers = [outer["name"] for outer in around if outer["name"].startswith(LAYER)]
        layer = layers[-1].removeprefix(LAYER) if layers else None
        found.append(Kernel(operation["name"], own, layer))
    return found


def host_calls(events: Sequence[dict[str, Any]]) -> list[list[Call]]:
    """The outermost operations of each execution, in order."""
    calls: dict[int, Call] = {}
    spans = {id(event): place for place, event in enumerate(event for event in events if _is(event, EXECUTION))}
    found: list[list[Call]] = [[] for _ in spans]
    for operation, own, around in sorted(_nested(events), key=lambda one: one[0]["ts"]):
        execution = next((spans[id(outer)] for outer in around if id(outer) in spans), None)
        if execution is None:
            continue
        top = next((outer for outer in around if _is_operation(outer)), operation)
        if id(top) not in calls:
            calls[id(top)] = Call(top["name"], top["dur"])
            found[execution].append(calls[id(top)])
        calls[id(top)].inside.append(Kernel(operation["name"], own))
    return found


def _nested(events: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], float, list[dict[str, Any]]]]:
    """Each operation on the host, its own time, and what contains it, from the outside in."""
    found: list[tuple[dict[str, Any], float, list[dict[str, Any]]]] = []
    stacks: dict[Any, list[_Open]] = {}

    def close(stack: list[_Open]) -> None:
        last = stack.pop()
        if _is_operation(last.event):
            around = [outer.event for outer in stack]
            found.append((last.event, max(0.0, last.event["dur"] - last.inner), around))
            for outer in reversed(stack):
                if _is_operation(outer.event):
                    outer.inner += last.event["dur"]
                    break

    for event in events:
        if event.get("cat") not in ("cpu_op", "user_annotation"):
            continue
        stack = stacks.setdefault(event.get("tid"), [])
        while stack and event["ts"] >= stack[-1].event["ts"] + stack[-1].event["dur"]:
            close(stack)
        stack.append(_Open(event))
    for stack in stacks.values():
        while stack:
            close(stack)
    return found


def _is_operation(event: dict[str, Any]) -> bool:
    """An operator, or a kernel that Inductor wrote; not its bookkeeping, whose names have spaces."""
    return event["cat"] == "cpu_op" and " " not in event["name"]


def _is(event: dict[str, Any], name: str) -> bool:
    return event.get("cat") == "user_annotation" and event["name"] == name


def _correlation(event: dict[str, Any]) -> Any:
    return event.get("args", {}).get("correlation")


def by_name(kernels: Iterable[Kernel]) -> list[KernelRow]:
    """Kernels of one name as one; as `layers` files keep them."""
    found: dict[str, KernelRow] = {}
    for kernel in kernels:
        one = found.setdefault(kernel.name, {"name": kernel.name, "us": 0.0, "count": 0})
        one["us"] += kernel.us
        one["count"] += 1
    return list(found.values())


def usual(sequences: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The sequence of names that most executions had."""
    counted = Counter(tuple(names) for names in sequences)
    return counted.most_common(1)[0][0] if counted else ()
