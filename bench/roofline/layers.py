"""The times of a case by layer, assigned to the network's operations, with a floor beside each time.

A row is a layer, or the layers that the variant computes together, such as a convolution with the sum behind it. Its
operations are those of `resnet.cost`: of a model from outside, its kernels as they were counted. Norms and ReLUs belong
to the layer before them, as they do there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import CaseError, WorkError
from bench.machine.environment import device
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.plan import Settings
from bench.records.quality import wide_precisions
from bench.roofline.ceilings import load_ceilings, machine_name
from bench.runs.job import MODELS_OWN, REFERENCE_LIMIT_S, LayersAnswer, LayersJob, PartRow, reference_job
from bench.runs.process import ask, request
from bench.stats import median_interval
from resnet.cost import Operation, network_operations
from resnet.floors import Ceilings, part_floors, part_groups
from resnet.names import Build, is_outside

SCHEMA = 1
USUAL = Settings()
CONVERSIONS = "conversions"  # the name of the row of what converts between formats, and is in no layer
NOISE_LIMIT = 0.1  # relative: a larger error of the sum means that the machine was busy
MIN_KERNEL_SHARE = 0.05  # kernels with less of a row's time are left out: allocations, views

JsonObject = dict[str, Any]


def measure_layers(
    case: Case,
    facts: Environment,
    executions: int,
    source: str = "photos",
    seed: int = 0,
    trace: Path | None = None,
    stage: Callable[[str], None] = lambda name: None,
    build: Build = MODELS_OWN,
    settings: Settings = USUAL,
) -> JsonObject:
    """Time the layers of `case` on this machine, which `facts` describe, and return them as docs/FORMAT.md has them.

    `source` names the input images, `trace` is where a Chrome trace is written, `stage` receives the child's stages,
    `settings` has the CPU's threads, and how 8 bits are calibrated.
    Raises CaseError for a case that is a search for a batch, WorkError for one that failed.
    """
    if case.largest:
        raise CaseError(f"bench layers times one batch: {case.name} is a search for one; write b32, say, for bmax")
    where = device(facts)
    stage("reference")
    reference = request(reference_job([case], settings, where, seed, source, build), REFERENCE_LIMIT_S, by=ask)
    if reference.status != "ok":
        raise WorkError(f"{case.name}: no reference to hold it against: {reference.reason}")
    paths, trace_to = reference.data["paths"], str(trace.resolve()) if trace else ""
    job = LayersJob(case, settings, where, seed, source, paths, build=build, executions=executions, trace=trace_to)
    answer = request(job, settings.limit_s, stage, ask)
    if answer.status != "ok":
        raise WorkError(f"{case.name}: {answer.status}: {answer.reason}")
    about = {"layers": SCHEMA, "case": case.name, "device": where, "machine": machine_name(facts)}
    about |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "environment": facts}
    return about | assemble_layers(case, answer.data, load_ceilings(facts))


def assemble_layers(case: Case, answer: LayersAnswer, ceilings: Ceilings | None) -> JsonObject:
    """Return the rows of a child's answer, their sum and the whole; times in microseconds.

    `outside_us` is what the whole takes beyond its rows. `error_us` bounds the difference between the sum and what the
    rows take of an undisturbed execution: the time that the timing added (on a CPU), half the 95 % intervals of the
    medians with and without it, and the difference between the median of the executions' sums and the sum of the
    layers' medians, which is large where a machine stalls now in one layer, now in another.
    Raises WorkError if there is no row.
    """
    wide = wide_precisions(answer["details"].get("quantized") or {}, answer["device"])
    network = network_operations(case.model, case.batch, case.image, case.precision, answer["network"], wide)
    find = partial(_counted, modules=answer["modules"]) if is_outside(case.model) else _finder(network)
    rows = _rows(answer["parts"], network, find)
    whole, timed = (median(ns) / 1e3 for ns in (answer["whole_ns"], answer["timed_ns"]))
    if not rows:
        raise WorkError(f"{case.name}: no kernel was seen in any layer; on a GPU, may this process read its counters?")
    total = sum(row["us"] for row in rows)
    median_of_sums = median(map(sum, zip(*(row.pop("ns") for row in rows), strict=True))) / 1e3
    # a profiler costs the host time between kernels, not the GPU's in them
    overhead = 0.0 if answer["device"] == "cuda" else abs(timed - whole)
    for row in rows:
        row["share"] = row["us"] / whole
    add_work(rows, network, ceilings)
    # an operation without FLOPs may have no row, where a library computes it inside another layer
    computed = {operation.name for operation in network if operation.flops}
    is_complete = computed <= {name for row in rows for name in row["operations"]}
    floors_us = [row["floor_us"] for row in rows if row["floor_us"] is not None]
    noise_us = sum(map(_half_width, (answer["whole_ns"], answer["timed_ns"])))
    return {
        "executions": len(answer["whole_ns"]),
        "how": answer["how"],
        "note": answer["note"],
        "whole_us": whole,
        "whole_interval_us": _interval(answer["whole_ns"]),
        "gpu_us": median(answer["gpu_ns"]) / 1e3 if answer["gpu_ns"] else None,
        "timed_us": timed,
        "sum_us": total,
        "outside_us": whole - total,
        "error_us": overhead + noise_us + abs(median_of_sums - total),
        "floor_us": sum(floors_us) if is_complete and floors_us else None,
        "ceilings": ceilings
        and {"machine": ceilings.machine, "source": ceilings.source, "date": ceilings.provenance.get("date")}
        | {"flops": ceilings.flops, "bandwidth": ceilings.bandwidth, "l2": ceilings.l2},
        "details": answer["details"],
        "rows": rows,
    }


def _interval(ns: Sequence[float]) -> list[float] | None:
    """Return the 95 % interval of the median in microseconds, from nanoseconds; None with too few samples."""
    interval = median_interval(ns)
    return [bound / 1e3 for bound in interval] if interval else None


def _half_width(ns: Sequence[float]) -> float:
    """Return half the median's 95 % interval in microseconds; with too few samples for one, half their range."""
    low, high = median_interval(ns) or (min(ns), max(ns))
    return (high - low) / 2e3


def _finder(network: Sequence[Operation]) -> Callable[[str], set[str] | None]:
    operation_of = operation_by_module(network)
    return lambda module: {name} if (name := enclosing_operation(module, operation_of)) else None


def _counted(module: str, modules: Mapping[str, list[str]]) -> set[str] | None:
    """Return the kernels of a module from outside: none of one whose work is in several, None where it has no work."""
    kernels = modules.get(module)
    return None if kernels is None else set(kernels)


def _rows(
    parts: Iterable[PartRow], network: Sequence[Operation], find: Callable[[str], set[str] | None]
) -> list[JsonObject]:
    """Join the parts of the same operations into a row, in the network's order, and put kernels of no layer last.

    `find` returns the operations of a module. A part without modules is a kernel of an unknown layer and has a row, as
    has one whose modules' operations are not known; one whose modules do no work of their own (the network itself, a
    stage) is left out.
    """
    place = {operation.name: number for number, operation in enumerate(network)}
    assigned: list[tuple[set[str], PartRow]] = []
    unassigned: list[JsonObject] = []
    for part in parts:
        operations_of = [names for module in part["modules"] if (names := find(module)) is not None]
        names = set[str]().union(*operations_of)
        if names:
            assigned.append((names, part))
        elif operations_of or not part["modules"]:
            unassigned.append(_row(part["name"], (), [part]))
    rows = []
    for names in merge_overlapping(names for names, _ in assigned):
        ordered = sorted(names, key=place.__getitem__)
        largest = max(ordered, key=lambda name: (network[place[name]].flops, -place[name]))
        rows.append(_row(largest, ordered, [part for part_names, part in assigned if part_names <= names]))
    return sorted(rows, key=lambda row: place[row["name"]]) + unassigned


def _row(name: str, operations: Sequence[str], parts: Sequence[PartRow]) -> JsonObject:
    """Return the row of some parts: the median of their sums by execution, and the kernels that take the most."""
    times = [sum(execution) for execution in zip(*(part["ns"] for part in parts), strict=True)]
    kernels: dict[str, JsonObject] = {}
    for kernel in (kernel for part in parts for kernel in part["kernels"]):
        total = kernels.setdefault(kernel["name"], {"name": kernel["name"], "us": 0.0, "count": 0})
        total["us"] += kernel["us"]
        total["count"] += kernel["count"]
    threshold = MIN_KERNEL_SHARE * sum(kernel["us"] for kernel in kernels.values())
    longest = sorted((kernel for kernel in kernels.values() if kernel["us"] >= threshold), key=lambda k: -k["us"])
    row: JsonObject = {"name": name, "operations": list(operations), "us": median(times) / 1e3}
    return row | {"half_us": _half_width(times), "kernels": longest, "ns": times}


def operation_by_module(network: Iterable[Operation]) -> dict[str, str]:
    """Return the operation that each module's time counts to, by the module's name."""
    operation_of = {"pool_pad": "maxpool"}
    for operation in network:
        operation_of |= dict.fromkeys((operation.name, *operation.passes), operation.name)
    return operation_of


def enclosing_operation(module: str, operation_of: dict[str, str]) -> str | None:
    """Return the operation of a module, or of the nearest module around it; of a block itself, its sum."""
    while module:
        for name in (module, f"{module}.add"):
            if name in operation_of:
                return operation_of[name]
        module = module.rpartition(".")[0]
    return None


def merge_overlapping(sets: Iterable[set[str]]) -> list[set[str]]:
    """Return the unions of the sets that share members, directly or through others."""
    unions: list[set[str]] = []
    for members in sets:
        disjoint = [union for union in unions if not union & members]
        unions = [*disjoint, set(members).union(*(union for union in unions if union & members))]
    return unions


def add_work(rows: Iterable[JsonObject], network: Sequence[Operation], ceilings: Ceilings | None) -> None:
    """Put into rows what one kernel that computes a row's operations has to do, its least time, and what bounds it.

    All are None of a row whose operations `network` does not have; without ceilings the least time is.
    """
    operation = {operation.name: operation for operation in network}
    known = [names for row in rows if (names := row["operations"]) and operation.keys() >= {*names}]
    parts = [[operation[name] for name in names] for names in known]
    works = {group.names: group for group in part_groups(parts, network)}
    rated = ceilings is not None and {operation.precision for operation in network} <= ceilings.flops.keys()
    floors = {floor.names: floor for floor in (part_floors(parts, network, ceilings) if ceilings and rated else ())}
    for row in rows:
        names = tuple(row["operations"])
        work, floor = works.get(names), floors.get(names)
        row |= {"flops": work and work.flops, "bytes": work and work.bytes}
        row |= {"floor_us": floor and floor.seconds * 1e6, "bound": floor and floor.bound}
        row["of_floor"] = row["floor_us"] / row["us"] if row["floor_us"] and row["us"] else None


def layer_name(row: JsonObject) -> str:
    """Return a row's name, with the number of other operations that are computed together with it."""
    others = len(row["operations"]) - 1
    return str(row["name"]) + (f" +{others}" if others > 0 else "")
