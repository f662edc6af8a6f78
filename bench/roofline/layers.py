"""A case layer by layer: what its child timed, put to the network's operations, with a floor beside each time.

A row is a layer, or the layers that the variant computes together: a convolution with the sum behind it, say. Its
operations are those of `resnet.cost`. Norms and ReLUs belong to the layer before them, as they do there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import CaseError, WorkError
from bench.machine.environment import device
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.plan import Settings
from bench.roofline.ceilings import load_ceilings, machine_name
from bench.runs.job import REFERENCE_LIMIT_S, LayersAnswer, LayersJob, PartRow, reference_job
from bench.runs.process import ask
from bench.runs.request import request
from bench.stats import median_interval
from resnet.cost import Operation, operations
from resnet.floors import Ceilings, part_floors

SCHEMA = 1
TRIFLE = 0.05  # kernels with less of a row's time are not named: allocations, views

Told = dict[str, Any]


def layers(
    case: Case,
    facts: Environment,
    executions: int,
    source: str = "photos",
    seed: int = 0,
    trace: Path | None = None,
    stage: Callable[[str], None] = lambda name: None,
) -> Told:
    """Time `case` on this machine, which `facts` describe, as a `layers` file keeps it (docs/FORMAT.md).

    Raises CaseError for a case without a batch of its own, WorkError for one that failed.
    """
    if case.largest:
        raise CaseError(f"bench layers times one batch: {case.name} is a search for one; write b32, say, for bmax")
    where, settings = device(facts), Settings()
    stage("reference")
    reference = request(reference_job([case], settings, where, seed, source), REFERENCE_LIMIT_S, ask=ask)
    if reference.status != "ok":
        raise WorkError(f"{case.name}: no reference to hold it against: {reference.reason}")
    paths, trace_to = reference.data["paths"], str(trace.resolve()) if trace else ""
    job = LayersJob(case, settings, where, seed, source, paths, executions=executions, trace=trace_to)
    answer = request(job, settings.limit_s, stage, ask)
    if answer.status != "ok":
        raise WorkError(f"{case.name}: {answer.status}: {answer.reason}")
    about = {"layers": SCHEMA, "case": case.name, "device": where, "machine": machine_name(facts)}
    about |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "environment": facts}
    return about | put_together(case, answer.data, load_ceilings(facts))


def put_together(case: Case, told: LayersAnswer, ceilings: Ceilings | None) -> Told:
    """The rows and their sum from what a child told; times in microseconds.

    `outside_us` is what the whole takes beyond its rows. `error_us` is how far the sum may be from what the rows take
    of an untouched execution: what the timing added (on a CPU), half the 95 % intervals of the medians with and without
    it, and how far the median of the executions' sums is from the sum of the layers' medians, as it is where a machine
    stalls now in one layer, now in another. Raises WorkError if there is no row.
    """
    found = operations(case.model, case.batch, case.image, case.precision)
    rows = _rows(told["parts"], found)
    whole, timed = (median(ns) / 1e3 for ns in (told["whole_ns"], told["timed_ns"]))
    if not rows:
        raise WorkError(f"{case.name}: no kernel was seen in any layer; on a GPU, may this process read its counters?")
    total = sum(row["us"] for row in rows)
    together = median(map(sum, zip(*(row.pop("ns") for row in rows), strict=True))) / 1e3
    # a profiler costs the host time between kernels, not the GPU's in them
    touched = 0.0 if told["device"] == "cuda" else abs(timed - whole)
    floors = _floors(rows, found, ceilings, case.precision)
    for row in rows:
        row["share"] = row["us"] / whole
        row |= floors.get(tuple(row["operations"]), {"floor_us": None, "bound": None})
        row["of_floor"] = row["floor_us"] / row["us"] if row["floor_us"] and row["us"] else None
    # without what a library computes inside another layer, and has no time of, it is a floor all the same
    complete = {operation.name for operation in found if operation.flops} <= {n for r in rows for n in r["operations"]}
    known = [row["floor_us"] for row in rows if row["floor_us"] is not None]
    return {
        "executions": len(told["whole_ns"]),
        "how": told["how"],
        "note": told["note"],
        "whole_us": whole,
        "whole_interval_us": _interval(told["whole_ns"]),
        "gpu_us": median(told["gpu_ns"]) / 1e3 if told["gpu_ns"] else None,
        "timed_us": timed,
        "sum_us": total,
        "outside_us": whole - total,
        "error_us": touched + _half(told["whole_ns"]) + _half(told["timed_ns"]) + abs(together - total),
        "floor_us": sum(known) if complete and known else None,
        "ceilings": _about(ceilings),
        "details": told["details"],
        "rows": rows,
    }


def _about(ceilings: Ceilings | None) -> Told | None:
    if ceilings is None:
        return None
    return {"machine": ceilings.machine, "source": ceilings.source, "date": ceilings.provenance.get("date")}


def _interval(ns: Sequence[float]) -> list[float] | None:
    found = median_interval(ns)
    return [bound / 1e3 for bound in found] if found else None


def _half(ns: Sequence[float]) -> float:
    """Half the median's interval in microseconds; of too few samples for one, half of all they span."""
    low, high = median_interval(ns) or (min(ns), max(ns))
    return (high - low) / 2e3


def _rows(parts: Iterable[PartRow], found: Sequence[Operation]) -> list[Told]:
    """Parts of the same operations as one row, in the network's order; parts of none as they come, or left out.

    A part without modules is a kernel of an unknown layer and has a row; one whose modules are no operation's (the
    network itself, a stage) is not in any layer.
    """
    owner = owners(found)
    place = {operation.name: number for number, operation in enumerate(found)}
    owned: list[tuple[set[str], PartRow]] = []
    foreign: list[Told] = []
    for part in parts:
        names = {name for module in part["modules"] if (name := _resolved(module, owner))}
        if names:
            owned.append((names, part))
        elif not part["modules"]:
            foreign.append(_row(part["name"], (), [part]))
    joined = []
    for names in merged(names for names, _ in owned):
        ordered = sorted(names, key=place.__getitem__)
        head = max(ordered, key=lambda name: (found[place[name]].flops, -place[name]))
        joined.append(_row(head, ordered, [part for mine, part in owned if mine <= names]))
    return sorted(joined, key=lambda row: place[row["name"]]) + foreign


def _row(name: str, operations: Sequence[str], parts: Sequence[PartRow]) -> Told:
    times = [sum(one) for one in zip(*(part["ns"] for part in parts), strict=True)]
    kernels: dict[str, Told] = {}
    for kernel in (kernel for part in parts for kernel in part["kernels"]):
        known = kernels.setdefault(kernel["name"], {"name": kernel["name"], "us": 0.0, "count": 0})
        known["us"] += kernel["us"]
        known["count"] += kernel["count"]
    least = TRIFLE * sum(kernel["us"] for kernel in kernels.values())
    longest = sorted((kernel for kernel in kernels.values() if kernel["us"] >= least), key=lambda one: -one["us"])
    return {"name": name, "operations": list(operations), "us": median(times) / 1e3} | {
        "half_us": _half(times),
        "kernels": longest,
        "ns": times,
    }


def owners(found: Iterable[Operation]) -> dict[str, str]:
    """The operation that a module's time is counted to, by the module's name."""
    owner = {"pool_pad": "maxpool"}
    for operation in found:
        owner |= dict.fromkeys((operation.name, *operation.passes), operation.name)
    return owner


def _resolved(module: str, owner: dict[str, str]) -> str | None:
    """The operation of a module, or of the nearest module around it; of a block itself, its sum."""
    while module:
        for name in (module, f"{module}.add"):
            if name in owner:
                return owner[name]
        module = module.rpartition(".")[0]
    return None


def merged(sets: Iterable[set[str]]) -> list[set[str]]:
    """Sets that share a member as one."""
    found: list[set[str]] = []
    for one in sets:
        apart = [other for other in found if not other & one]
        found = [*apart, set(one).union(*(other for other in found if other & one))]
    return found


def _floors(
    rows: Iterable[Told], found: Sequence[Operation], ceilings: Ceilings | None, precision: str
) -> dict[tuple[str, ...], Told]:
    """By a row's operations, the least time of one kernel that computes them, and what bounds it."""
    if ceilings is None or precision not in ceilings.flops:
        return {}
    place = {operation.name: number for number, operation in enumerate(found)}
    parts = [[found[place[name]] for name in row["operations"]] for row in rows if row["operations"]]
    return {
        floor.names: {"floor_us": floor.seconds * 1e6, "bound": floor.bound}
        for floor in part_floors(parts, found, ceilings)
    }


def compared(one: Told, other: Told) -> list[Told]:
    """Layer by layer what `one` takes beyond `other`, the largest difference first.

    Where they compute different layers together, so are they compared. A layer that one of them does not tell of is
    not compared. A difference is `sure` where it is more than half the 95 % intervals of all medians it is made of.
    """
    both = [row for told in (one, other) for row in told["rows"] if row["operations"]]
    found = []
    for names in merged(set(row["operations"]) for row in both):
        mine, theirs = (
            [row for row in told["rows"] if row["operations"] and set(row["operations"]) <= names]
            for told in (one, other)
        )
        if not mine or not theirs:
            continue
        rows = max((mine, theirs), key=lambda rows: len(rows[0]["operations"]))
        us, against = (sum(row["us"] for row in rows) for rows in (mine, theirs))
        operations = [name for row in (mine if len(mine) <= len(theirs) else theirs) for name in row["operations"]]
        told = {"name": rows[0]["name"], "operations": operations, "us": us, "against_us": against}
        told |= {"difference_us": us - against, "percent": 100 * (us / against - 1) if against else None}
        found.append(told | {"sure": abs(us - against) > sum(row["half_us"] for row in mine + theirs)})
    return sorted(found, key=lambda row: -abs(row["difference_us"]))
