"""One record as one flat row: the columns of the frame, and where each value comes from.

A column is a row of COLUMNS. Where a record lacks a value, or has one of another type or an `unreadable:`, the row has
None.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from bench.machine.environment import onnxruntime
from bench.machine.facts import Environment
from bench.machine.provenance import unreadable
from bench.records import quality
from bench.records.fields import at
from bench.records.record import GPU_HOW, Record
from bench.records.record import SAMPLES as FIELDS
from bench.records.same import in_words, unusual
from bench.records.speed import images_per_second, share_of_others
from bench.stats import median_interval, quantile

TAILS = {"p90": 0.9, "p99": 0.99}
SHARED = ("case", "axes", "sweep", "seed", "weights", "input", "network", "plan", "environment")  # heads of paths
MOST_ALIKE = 4096  # rows of cases in a sweep whose shared values are kept
FEW = 100  # samples
TRANSIENT = ("clock_mhz", "temperature_c", "processes")  # readings of a GPU that differ from sweep to sweep


class Column(NamedTuple):
    """A column: `kind` is a key of `_KINDS`, `path` leads to its value: of a record, or derived."""

    kind: str
    path: str
    meaning: str


# text: what a person groups by; word: few different values, stored as a category. NA or NaN where a record has none,
# and in every column of times unless the status is `ok`.
COLUMNS: dict[str, Column] = {
    "folder": Column("text", "", "as passed to `load`, or to `export` before it"),
    "case": Column("text", "case", "name of the case"),
    "model": Column("text", "axes.model", "the case's axes, one a column"),
    "variant": Column("text", "axes.variant", ""),
    "precision": Column("text", "axes.precision", ""),
    "batch": Column("int", "axes.batch", "images; none of a case with batch `max`"),
    "image": Column("int", "axes.image", "pixels a side"),
    "launch": Column("text", "axes.launch", ""),
    "round": Column("int", "round", "which pass over the cases"),
    "order": Column("int", "order", "place in the round"),
    "status": Column("text", "status", "a key of `bench.records.record.STATUSES`"),
    "reason": Column("text", "reason", "why it is not `ok`"),
    "attempts": Column("int", "derived.attempts", "earlier processes of this case and round"),
    "device": Column("text", "device", "cpu or cuda"),
    "started": Column("time", "started", "UTC"),
    "wall_s": Column("float", "wall_s", "s: the process from start to end"),
    "p50_ns": Column("float", "latency_ns.p50", "ns: median latency, throttled samples left out, as in all of these"),
    "p50_low_ns": Column("float", "latency_ns.low", "ns: its 95 % interval, of samples that follow each other"),
    "p50_high_ns": Column("float", "latency_ns.high", "ns"),
    "p90_ns": Column("float", "latency_ns.p90", "ns: 90 % of latencies are at most it; NaN of under 64 that count"),
    "p90_low_ns": Column("float", "latency_ns.p90_low", "ns: lower bound of this process's, with 99 % confidence"),
    "p90_high_ns": Column("float", "latency_ns.p90_high", "ns: upper bound of this process's, with 99 % confidence"),
    "p99_ns": Column("float", "latency_ns.p99", "ns: 99 % of latencies are at most it; NaN of under 662 that count"),
    "p99_low_ns": Column("float", "latency_ns.p99_low", "ns: lower bound of this process's, with 99 % confidence"),
    "p99_high_ns": Column("float", "latency_ns.p99_high", "ns: upper bound of this process's, with 99 % confidence"),
    "samples": Column("int", "latency_ns.kept", "latency samples that count"),
    "dropped": Column("int", "latency_ns.dropped", "latency samples left out, as the machine throttled"),
    "gpu_p50_ns": Column("float", "gpu_ns.p50", "ns: median device time; NaN of records up to schema 2, see FORMAT"),
    "gpu_how": Column("word", "gpu_how", f"how device time was measured: {GPU_HOW}, or none"),
    "gpu_samples": Column("int", "gpu_ns.kept", "device times that count"),
    "gpu_dropped": Column("int", "gpu_ns.dropped", "device times left out, as the machine throttled"),
    "flushed_p50_ns": Column("float", "flushed_ns.p50", "ns: median latency on a cold cache"),
    "flushed_samples": Column("int", "flushed_ns.kept", "cold-cache samples that count"),
    "flushed_dropped": Column("int", "flushed_ns.dropped", "cold-cache samples left out, as the machine throttled"),
    "flushed_gpu_p50_ns": Column("float", "flushed_gpu_ns.p50", "ns: median time on the device, on a cold cache"),
    "stop_rule": Column("word", "latency_stop.rule", "what ended the sampling: noise or time"),
    "noise": Column("float", "latency_stop.reached", "relative half-width of p50's interval when sampling ended"),
    "images_per_s": Column("float", "derived.images_per_s", "images enqueued back to back, per second"),
    "windows": Column("int", "derived.windows", "undisturbed throughput windows, of which images_per_s is the median"),
    "other_work": Column("float", "derived.other_work", "share of the CPU's time that others took; none on a GPU"),
    "windows_disturbed": Column("int", "derived.windows_disturbed", "those that do not count; if `windows` is 0, all"),
    "throughput_throttled_s": Column("float", "throttled.throughput_s", "s of the throughput windows, throttled"),
    "warmup_s": Column("float", "warmup.s", "s"),
    "warmup_executions": Column("int", "warmup.executions", ""),
    "warmup_stationary": Column("bool", "warmup.stationary", "whether the times had stopped falling"),
    "import_s": Column("float", "cold.import_s", "s of the cold start: imports"),
    "build_s": Column("float", "cold.build_s", "s: model and pictures"),
    "prepare_s": Column("float", "cold.prepare_s", "s: what the variant does before its first call"),
    "place_s": Column("float", "cold.place_s", "s: inputs to the device"),
    "first_call_s": Column("float", "cold.first_call_s", "s"),
    "artefact": Column("word", "cold.artefact.kind", "file that one would deploy"),
    "artefact_bytes": Column("int", "cold.artefact.bytes", "its bytes"),
    "load_s": Column("float", "cold.artefact.load_s", "s to have it ready, in a process that found it"),
    "first_answer_s": Column("float", "derived.first_answer_s", "s of such a process: import_s, load_s, place_s, call"),
    "caches": Column("word", "cold.caches", "compile caches at the start: fresh, cold, partly, warm, unused"),
    "process": Column("word", "runtime.process", "how the process was started: forked from a server, or fresh"),
    "memory_weights": Column("int", "memory.weights", "bytes, as the variant holds them"),
    "memory_allocator_allocated_peak": Column("int", "memory.allocator_allocated_peak", "bytes"),
    "memory_allocator_reserved_peak": Column("int", "memory.allocator_reserved_peak", "bytes"),
    "memory_device_process": Column("int", "memory.device_process", "bytes: this process on the device, from NVML"),
    "memory_host_resident": Column("int", "memory.host_resident", "bytes; of schema 1: read after the timing"),
    "memory_host_resident_peak": Column("int", "memory.host_resident_peak", "bytes"),
    "largest_batch": Column("int", "largest.fits", "of a case with batch `max`: images that fit"),
    "gate_rms_multiple": Column("float", "derived.rms_multiple", "worst RMS error, over plain torch's"),
    "gate_max_multiple": Column("float", "derived.max_multiple", "worst single error, over plain torch's"),
    "top1": Column("float", "derived.top1", "least share of pictures whose top class is the exact one"),
    **{name: Column(*row) for name, row in quality.COLUMNS.items()},
    "energy_j_per_image": Column("float", "derived.j_per_image", "J"),
    "temperature_c": Column("float", "derived.temperature_c", "degrees Celsius: the hottest of the energy window"),
    "seed": Column("int", "seed", "of weights and pictures"),
    "plan": Column("word", "plan.name", ""),
    "plan_digest": Column("word", "plan.digest", ""),
    "weights": Column("word", "weights", "digest"),
    "weights_from": Column("word", "network.weights", "synthetic (from the seed), trained (digits), file, own"),
    "origin": Column("word", "network.origin", "package that has the model's code, with the version"),
    "num_classes": Column("int", "network.num_classes", "of the model: its logits"),
    "in_channels": Column("int", "network.in_channels", "of the model: of a picture"),
    "parameters": Column("int", "network.parameters", "of the model: numbers that training sets"),
    "input": Column("word", "input.source", "where the pictures are from"),
    "git_sha": Column("word", "environment.git.sha", "commit of this project"),
    "git_dirty": Column("bool", "environment.git.dirty", "whether its code differed from that commit"),
    "cpu": Column("word", "environment.cpu.name", ""),
    "cores": Column("int", "environment.cpu.cores", "that the process could use"),
    "gpu": Column("word", "environment.gpu.name", ""),
    "driver": Column("word", "environment.gpu.driver", "version"),
    "python": Column("word", "environment.python", "version"),
    "torch": Column("word", "environment.packages.torch", "version"),
    "triton": Column("word", "environment.packages.triton", "version"),
    "onnxruntime": Column("word", "sweep.onnxruntime", "version"),
    "openvino": Column("word", "environment.packages.openvino", "version"),
    "torchao": Column("word", "environment.packages.torchao", "version"),
    "environment": Column("word", "sweep.environment", "digest of machine and software, without this project's commit"),
}
# With `samples`: integer ns in the order taken, and the indices of those that were taken while the machine throttled.
SAMPLES: dict[str, Column] = {
    "latency_ns": Column("list", "latency_ns.all", "ns: host time of each execution"),
    "latency_fallen": Column("list", "latency_ns.throttled", "indices of its throttled samples"),
    "gpu_ns": Column("list", "gpu_ns.all", "ns: device time, of separate executions"),
    "gpu_fallen": Column("list", "gpu_ns.throttled", "indices of its throttled samples"),
    "flushed_ns": Column("list", "flushed_ns.all", "ns, on a cold cache"),
    "flushed_fallen": Column("list", "flushed_ns.throttled", "indices of its throttled samples"),
    "flushed_gpu_ns": Column("list", "flushed_gpu_ns.all", "ns: device time on a cold cache"),
    "flushed_gpu_fallen": Column("list", "flushed_gpu_ns.throttled", "indices of its throttled samples"),
}


@cache
def schema(samples: bool, inner: bool = False) -> Any:
    """Return the Arrow schema of the frame; `inner` leaves out `folder`, which lines do not have."""
    import pyarrow as pa

    types = {
        "text": pa.string(), "word": pa.dictionary(pa.int32(), pa.string()), "int": pa.int64(), "float": pa.float64(),
        "bool": pa.bool_(), "time": pa.timestamp("us", "UTC"), "list": pa.list_(pa.int64()),
    }  # fmt: skip
    chosen = COLUMNS | SAMPLES if samples else COLUMNS
    fields = [pa.field(name, types[column.kind]) for name, column in chosen.items()]
    return pa.schema(fields[1:] if inner else fields)


def row_maker(names: list[str]) -> Callable[[Record], list[Any]]:
    """Return a function that makes the values of these columns, in order, from a record.

    Those that the records of a case in a sweep have alike, as they have the same objects, are worked out once.
    """
    columns = map((COLUMNS | SAMPLES).__getitem__, names)
    cells_of = [(tuple(column.path.split(".")), _KINDS[column.kind]) for column in columns]
    shared = [(path if path[0] in SHARED else (), to_cell) for path, to_cell in cells_of]
    own: dict[tuple[str, ...], list[tuple[int, str, Callable[[Any], Any]]]] = {}
    for place, (path, to_cell) in enumerate(cells_of):
        if path[0] not in SHARED:
            own.setdefault(path[:-1], []).append((place, path[-1], to_cell))
    samples = {(field,) for field in FIELDS}
    with_samples = not SAMPLES.keys().isdisjoint(names)
    alike: dict[Any, tuple[list[Any], Any]] = {}
    newest: tuple[Environment | None, str | None] = None, None  # with its digest

    def row(record: Record) -> list[Any]:
        nonlocal newest
        objects = (record.case, record.environment, record.network, record.input, record.plan, record.settings)
        key = (record.weights, record.seed, *map(id, objects))
        if key not in alike:
            if len(alike) >= MOST_ALIKE:
                alike.clear()
            if newest[0] is not record.environment:
                newest = record.environment, _digest(record.environment) if record.environment else None
            source = _shared_source(record, newest[1])  # with `objects`, which keep their ids as long as these are keys
            alike[key] = [to_cell(at(source, path)) if path else None for path, to_cell in shared], objects
        cells = alike[key][0].copy()
        source = {**vars(record), "derived": _derived(record)}
        for parent, columns_of in own.items():
            values = _sample_statistics(record, parent[0], with_samples) if parent in samples else at(source, parent)
            for place, name, to_cell in columns_of if values else ():
                if (value := values.get(name)) is not None:
                    cells[place] = to_cell(value)
        return cells

    return row


def _text(value: Any) -> str | None:
    if type(value) is not str:
        return None
    # a file's name in a library's message may hold half of a surrogate pair, which Arrow refuses
    return value if value.isascii() else value.encode(errors="replace").decode()


def _word(value: Any) -> str | None:
    """Return a name or a version; None for the reason why one could not be read."""
    return None if unreadable(value) else _text(value)


def _readable(value: Any) -> Any:
    """Return a value whose type `Record.parse` has checked; None for the reason why it could not be read."""
    return None if type(value) is str else value


def _time(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None


_KINDS: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "word": _word,
    "int": _readable,
    "float": lambda value: float(value) if type(value) in (float, int) else None,
    "bool": _readable,
    "time": _time,
    "list": _readable,
}


def _shared_source(record: Record, environment: str | None) -> dict[str, Any]:
    """Return what the paths of columns lead into that begin with one of SHARED; `environment` is its digest."""
    axes = vars(record.case) | ({"batch": None} if record.case.largest else {})
    sweep = {
        "choices": in_words(unusual(record)) or None,
        "onnxruntime": onnxruntime(record.environment),
        "environment": environment,
    }
    fields = {name: value for name, value in vars(record).items() if name in SHARED}
    return fields | {"case": record.case.name, "axes": axes, "sweep": sweep}


def _sample_statistics(record: Record, field: str, with_samples: bool) -> dict[str, Any]:
    """Return counts of one field of samples, and its statistics where the status is `ok`."""
    import numpy as np

    taken = getattr(record, field)
    if not taken and not with_samples:
        return {"kept": 0, "dropped": 0}
    kept: Any = record.kept(field)
    if len(taken) >= FEW:  # a thousand samples sort in half the time that a list takes, which a few do not
        kept = np.array(kept, np.int64)
    ordered: Any = np.sort(kept) if len(taken) >= FEW else sorted(kept)
    n = len(ordered)
    dropped = len(record.throttled_indices(field)) if n < len(taken) else 0
    statistics: dict[str, Any] = {"kept": n, "dropped": dropped}
    if n and record.status == "ok":
        statistics["p50"] = (int(ordered[(n - 1) // 2]) + int(ordered[n // 2])) / 2
        if field == "latency_ns" and (interval := median_interval(kept, ordered=ordered)):
            statistics["low"], statistics["high"] = map(int, interval)
        for name, p in TAILS.items() if field == "latency_ns" else ():
            if tail := quantile(kept, p, ordered=ordered):
                statistics |= {name: int(tail.value), f"{name}_low": int(tail.lower), f"{name}_high": int(tail.upper)}
    if with_samples:
        statistics["all"] = np.array(taken, np.int64)
        statistics["throttled"] = np.array(record.throttled_indices(field), np.int64)
    return statistics


def _derived(record: Record) -> dict[str, Any]:
    """Return the values that are computed from several fields, or from several values of one."""
    hottest = max(record.energy.get("temperature_c", ()), default=None)
    derived = quality.derived_values(record) | {"attempts": len(record.attempts), "temperature_c": hottest}
    derived |= {"other_work": share_of_others(record), "first_answer_s": record.first_answer_s}
    if record.status == "ok" and record.throughput:
        derived["images_per_s"] = images_per_second(record)
        if record.windows:  # none up to schema 4
            derived["windows"] = sum("disturbed" not in window for window in record.windows)
            derived["windows_disturbed"] = len(record.windows) - derived["windows"]
    if record.energy.get("images") and record.energy.get("joules") is not None:
        derived["j_per_image"] = record.energy["joules"] / record.energy["images"]
    return derived


def _digest(environment: Environment) -> str:
    """Return a digest of what stays the same from sweep to sweep, on one machine with one set of packages."""
    gpu = {key: value for key, value in environment.get("gpu", {}).items() if key not in TRANSIENT}
    text = json.dumps(environment | {"gpu": gpu, "git": None}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
