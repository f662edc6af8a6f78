"""Records in the formats that other tools document, and back from pytest-benchmark's.

    pytest-benchmark         the JSON of --benchmark-json, samples and all
                             (https://pytest-benchmark.readthedocs.io, `pytest_benchmark.plugin` 5.3.1); what
                             github-action-benchmark reads as `tool: pytest`, Bencher as `python_pytest`
    github-action-benchmark  `tool: customSmallerIsBetter`: medians in ms
    github-action-benchmark-bigger  `tool: customBiggerIsBetter`: images/s
                             (https://github.com/benchmark-action/github-action-benchmark, README, "Custom benchmarks")
    bencher                  Bencher Metric Format, `--adapter json`
                             (https://bencher.dev/docs/reference/bencher-metric-format)

CodSpeed documents no file of results: its own plugin measures, by the `benchmark` fixture that `bench/suite` uses.
Only what was measured and right is exported. A case's number is the median over its processes of each one's median.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

from bench.errors import InteropError, RecordError
from bench.machine.facts import Environment
from bench.machine.provenance import sha_of
from bench.plans.case import Case
from bench.records.record import SCHEMA, Record
from bench.stats import median_interval

MS, S = 1e6, 1e9  # nanoseconds
TEST = "bench/suite/test_cases.py::test_case"
PIP = "pip install 'pytest-benchmark>=5.1'"


@dataclass(frozen=True)
class Measured:
    """A case over its processes. Times in nanoseconds; `low`, `high`: of the medians of processes, or of one's median.

    `low` and `high` are the least and the largest process, of one process the 95 % interval of its median, where its
    samples are enough for one.
    """

    case: str
    processes: int
    samples: int
    median: float
    low: float | None
    high: float | None
    images_per_s: float | None
    gpu_median: float | None


def timed(records: Iterable[Record]) -> list[Record]:
    """Those with a latency to tell. Raises InteropError where there is none."""
    found = [record for record in records if record.status == "ok" and record.kept("latency_ns")]
    if not found:
        raise InteropError("no case was measured there, so there is nothing to export")
    return found


def measured(records: Iterable[Record]) -> list[Measured]:
    """Each case once, in the order of its first record."""
    groups: dict[Case, list[Record]] = {}
    for record in records:
        groups.setdefault(record.case, []).append(record)
    return [_measured(case.name, group) for case, group in groups.items()]


def _measured(case: str, records: list[Record]) -> Measured:
    samples = [record.kept("latency_ns") for record in records]
    medians = [median(taken) for taken in samples]
    interval = (min(medians), max(medians)) if len(medians) > 1 else median_interval(samples[0])
    low, high = interval or (None, None)
    rates = [r.throughput["images"] / r.throughput["ns"] * S for r in records if r.throughput]
    gpu = [median(taken) for record in records if (taken := record.kept("gpu_ns"))]
    return Measured(
        case,
        len(records),
        sum(map(len, samples)),
        median(medians),
        low,
        high,
        median(rates) if rates else None,
        median(gpu) if gpu else None,
    )


def smaller_is_better(records: Iterable[Record]) -> list[dict[str, Any]]:
    """github-action-benchmark's customSmallerIsBetter: latency, and GPU time where there is one."""
    entries = []
    for one in measured(records):
        spread = {"range": f"± {(one.high - one.low) / 2 / MS:.4g}"} if one.low is not None and one.high else {}
        entries.append(_entry(one.case, "ms", one.median / MS) | spread | _extra(one))
        if one.gpu_median is not None:
            entries.append(_entry(f"{one.case} GPU time", "ms", one.gpu_median / MS) | _extra(one))
    return entries


def bigger_is_better(records: Iterable[Record]) -> list[dict[str, Any]]:
    """github-action-benchmark's customBiggerIsBetter: throughput. Raises InteropError where no window was measured."""
    found = [one for one in measured(records) if one.images_per_s is not None]
    if not found:
        raise InteropError("no throughput was measured there (throughput_s = 0), so there is nothing to export")
    return [_entry(one.case, "images/s", float(one.images_per_s or 0)) | _extra(one) for one in found]


def _entry(name: str, unit: str, value: float) -> dict[str, Any]:
    return {"name": name, "unit": unit, "value": value}


def _extra(one: Measured) -> dict[str, str]:
    return {"extra": f"{one.processes} processes, {one.samples} samples"}


def bencher(records: Iterable[Record]) -> dict[str, Any]:
    """Bencher Metric Format: the measures `latency` (ns), `throughput` (images/s), `gpu-time` (ns)."""
    told = {}
    for one in measured(records):
        latency = {"value": one.median}
        if one.low is not None and one.high is not None:
            latency |= {"lower_value": one.low, "upper_value": one.high}
        told[one.case] = {"latency": latency}
        if one.images_per_s is not None:
            told[one.case]["throughput"] = {"value": one.images_per_s}
        if one.gpu_median is not None:
            told[one.case]["gpu-time"] = {"value": one.gpu_median}
    return told


def pytest_benchmark(records: Iterable[Record]) -> dict[str, Any]:
    """The file that `--benchmark-json` writes: a benchmark for each record, under the name it has in `bench/suite`.

    What else the record holds is in `extra_info`, as the suite writes it. Rounds but the first have their number in
    the name, as pytest-benchmark compares by name. Raises InteropError without pytest-benchmark, whose statistics
    they are.
    """
    try:
        from pytest_benchmark import __version__
        from pytest_benchmark.stats import Stats
    except ImportError:
        raise InteropError(f"pytest-benchmark computes the statistics of its format: {PIP}") from None
    found = list(records)
    benchmarks = []
    for record in found:
        stats = Stats()
        for ns in record.kept("latency_ns"):
            stats.update(ns / S)
        name = f"test_case[{record.case.name}]" + (f" round {record.round}" if record.round else "")
        rest = json.loads(record.line())
        for samples in ("latency_ns", "throttled"):  # those that fell are not among the data
            del rest[samples]
        benchmarks.append(
            {
                "group": None,
                "name": name,
                "fullname": TEST.removesuffix("test_case") + name,
                "params": {"case": record.case.name},
                "param": record.case.name,
                "extra_info": {"case": record.case.name, "record": rest},
                "options": {"timer": "perf_counter", "warmup": True},
                "stats": stats.as_dict() | {"data": stats.data, "iterations": 1},
            }
        )
    env = found[0].environment
    return {
        "machine_info": _machine(env),
        "commit_info": _commit(env, found[0].started),
        "benchmarks": benchmarks,
        "datetime": found[0].started,
        "version": __version__,
    }


def _machine(env: Environment) -> dict[str, Any]:
    """As pytest-benchmark describes one, as far as a record does."""
    cpu = env.get("cpu", {})
    told = {"machine": platform.machine(), "processor": platform.machine(), "system": platform.system()}
    return told | {"cpu": {"brand_raw": cpu.get("name", ""), "count": cpu.get("cores", 0)}, "gpu": env.get("gpu", {})}


def _commit(env: Environment, when: str) -> dict[str, Any]:
    sha = sha_of(env)
    commit = env.get("git")
    dirty = commit.get("dirty") is True if sha and isinstance(commit, dict) else None
    return {"id": sha or "unversioned", "time": when, "dirty": dirty, "project": "resnet-bench"}


EXPORTS: dict[str, Callable[[Iterable[Record]], Any]] = {
    "pytest-benchmark": pytest_benchmark,
    "github-action-benchmark": smaller_is_better,
    "github-action-benchmark-bigger": bigger_is_better,
    "bencher": bencher,
}


def imported(data: Any) -> tuple[list[Record], list[str]]:
    """The records of pytest-benchmark's JSON, and what was left out of it, a sentence each.

    A benchmark is a record if it names its case in `extra_info`, as those of `bench/suite` do. A sample is in whole
    nanoseconds; `details.imported` says where it is from. Raises InteropError for what is no such file, and where
    nothing is left.
    """
    if not isinstance(data, dict) or not isinstance(data.get("benchmarks"), list):
        raise InteropError("it is no JSON of pytest-benchmark: there is no list `benchmarks`")
    records: list[Record] = []
    left: list[str] = []
    taken: set[tuple[Case, int]] = set()
    for number, benchmark in enumerate(data["benchmarks"], 1):
        name = f"benchmark {number}"
        try:
            name = str(benchmark["fullname"])
            record = _record(benchmark, f"pytest-benchmark {data.get('version', '')}".strip())
        except (InteropError, RecordError) as error:
            left.append(f"{name}: {error}")
            continue
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            left.append(f"{name}: damaged ({type(error).__name__}: {error})")
            continue
        while (record.case, record.round) in taken:  # the same case, measured twice
            record.round += 1
        taken.add((record.case, record.round))
        records.append(record)
    if not records:
        raise InteropError(f"nothing in it is a record: {left[0] if left else 'it has no benchmark'}")
    return records, left


def _record(benchmark: Mapping[str, Any], source: str) -> Record:
    extra = benchmark.get("extra_info") or {}
    if "case" not in extra:
        raise InteropError("names no case in extra_info; those of `pytest bench/suite` do")
    data = benchmark["stats"].get("data")
    if not data:
        raise InteropError("has no samples: save them with --benchmark-save-data or --benchmark-json")
    latency_ns = [round(float(seconds) * S) for seconds in data]
    known = {item.name for item in fields(Record)}
    rest: dict[str, Any] = {"schema": SCHEMA, "round": 0, "status": "ok"} | dict(extra.get("record") or {})
    if rest["status"] != "ok" or min(latency_ns) <= 0:
        raise InteropError("is not of a case that was measured")
    mark = {"from": source, "iterations": benchmark["stats"].get("iterations", 1)}  # calls that a sample is the mean of
    rest |= {"case": extra["case"], "latency_ns": latency_ns, "details": rest.get("details", {}) | {"imported": mark}}
    return Record.of({key: value for key, value in rest.items() if key in known})
