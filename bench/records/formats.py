"""Records in the formats that other tools document, and back from pytest-benchmark's.

    pytest-benchmark         the JSON of --benchmark-json, samples and all
                             (https://pytest-benchmark.readthedocs.io, `pytest_benchmark.plugin` 5.3.1); what
                             github-action-benchmark reads as `tool: pytest`, Bencher as `python_pytest`
    github-action-benchmark  `tool: customSmallerIsBetter`: medians in ms
    github-action-benchmark-bigger  `tool: customBiggerIsBetter`: images/s
                             (https://github.com/benchmark-action/github-action-benchmark, README, "Custom benchmarks")
    bencher                  Bencher Metric Format, `--adapter json`
                             (https://bencher.dev/docs/reference/bencher-metric-format)

CodSpeed documents no file of results: its plugin measures, by the `benchmark` fixture that `bench/suite` uses.
Only measured and right cases are exported. A case's number is the median over its processes of each process's median.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any

from bench.errors import InteropError, RecordError
from bench.machine.facts import Environment
from bench.machine.provenance import sha_of
from bench.plans.case import Case
from bench.records.record import SCHEMA, Record
from bench.records.same import by_way, in_words
from bench.records.speed import images_per_second
from bench.records.store import FOLDER_ROUNDS
from bench.stats import median_interval
from bench.text import plural

MS, S = 1e6, 1e9  # nanoseconds
TEST = "bench/suite/test_cases.py::test_case"
PIP = "pip install 'pytest-benchmark>=5.1'"


@dataclass(frozen=True)
class CaseSummary:
    """A case over its processes, with times in nanoseconds.

    `low` and `high` are the least and the largest of the processes' medians. Of a single process they are the 95 %
    interval of its median, or None where it has too few samples for one.
    """

    case: str
    processes: int
    samples: int
    median: float
    low: float | None
    high: float | None
    images_per_s: float | None
    gpu_median: float | None


def with_latency(records: Iterable[Record]) -> list[Record]:
    """Return the records that have a latency. Raises InteropError where there is none."""
    chosen = [record for record in records if record.status == "ok" and record.kept("latency_ns")]
    if not chosen:
        raise InteropError("no case was measured there, so there is nothing to export")
    return chosen


def summaries_of(records: Iterable[Record]) -> list[CaseSummary]:
    """Return one summary a case, and a way of running it, in the order of their first records."""
    return [
        _summary(f"{case.name} ({in_words(traits)})" if traits else case.name, group)
        for (case, traits), group in by_way(records).items()
    ]


def _summary(case: str, records: list[Record]) -> CaseSummary:
    samples = [record.kept("latency_ns") for record in records]
    medians = [median(times) for times in samples]
    interval = (min(medians), max(medians)) if len(medians) > 1 else median_interval(samples[0])
    low, high = interval or (None, None)
    rates = [images_per_second(record) for record in records if record.throughput]
    gpu_medians = [median(times) for record in records if (times := record.kept("gpu_ns"))]
    rate, gpu = median(rates) if rates else None, median(gpu_medians) if gpu_medians else None
    return CaseSummary(case, len(records), sum(map(len, samples)), median(medians), low, high, rate, gpu)


def smaller_is_better(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return github-action-benchmark's customSmallerIsBetter: latency, and GPU time where there is one."""
    entries = []
    for summary in summaries_of(records):
        entries.append(_entry(summary, "", "ms", summary.median / MS))
        if summary.low is not None and summary.high:
            entries[-1]["range"] = f"± {(summary.high - summary.low) / 2 / MS:.4g}"
        if summary.gpu_median is not None:
            entries.append(_entry(summary, " GPU time", "ms", summary.gpu_median / MS))
    return entries


def bigger_is_better(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return github-action-benchmark's customBiggerIsBetter: throughput.

    Raises InteropError where no throughput was measured.
    """
    rates = [(summary, rate) for summary in summaries_of(records) if (rate := summary.images_per_s) is not None]
    if not rates:
        raise InteropError("no throughput was measured there (throughput_s = 0), so there is nothing to export")
    return [_entry(summary, "", "images/s", rate) for summary, rate in rates]


def _entry(summary: CaseSummary, what: str, unit: str, value: float) -> dict[str, Any]:
    counts = f"{summary.processes} {plural(summary.processes, 'process', 'processes')}, {summary.samples} samples"
    return {"name": f"{summary.case}{what}", "unit": unit, "value": value, "extra": counts}


def bencher(records: Iterable[Record]) -> dict[str, Any]:
    """Return the Bencher Metric Format: the measures `latency` (ns), `throughput` (images/s), `gpu-time` (ns)."""
    metrics = {}
    for summary in summaries_of(records):
        latency = {"value": summary.median}
        if summary.low is not None and summary.high is not None:
            latency |= {"lower_value": summary.low, "upper_value": summary.high}
        metrics[summary.case] = {"latency": latency}
        if summary.images_per_s is not None:
            metrics[summary.case]["throughput"] = {"value": summary.images_per_s}
        if summary.gpu_median is not None:
            metrics[summary.case]["gpu-time"] = {"value": summary.gpu_median}
    return metrics


def pytest_benchmark(records: Iterable[Record]) -> dict[str, Any]:
    """Return what `--benchmark-json` writes: a benchmark for each record, under the name it has in `bench/suite`.

    The record's other fields are in `extra_info`, as the suite writes them. Rounds after the first have their number in
    the name, as pytest-benchmark compares by name. Raises InteropError where pytest-benchmark, which computes the
    statistics, is not installed.
    """
    try:
        from pytest_benchmark import __version__
        from pytest_benchmark.stats import Stats
    except ImportError:
        raise InteropError(f"pytest-benchmark computes the statistics of its format: {PIP}") from None
    records = list(records)
    benchmarks, taken = [], set[tuple[Case, int]]()
    for record in (_with_own_round(one, taken) for one in records):
        stats = Stats()
        for ns in record.kept("latency_ns"):
            stats.update(ns / S)
        name = f"test_case[{record.case.name}]" + (f" round {record.round}" if record.round else "")
        other_fields = json.loads(record.line())
        for samples in ("latency_ns", "throttled"):  # throttled samples are not among the data
            del other_fields[samples]
        benchmarks.append(
            {
                "group": None,
                "name": name,
                "fullname": TEST.removesuffix("test_case") + name,
                "params": {"case": record.case.name},
                "param": record.case.name,
                "extra_info": {"case": record.case.name, "record": other_fields},
                "options": {"timer": "perf_counter", "warmup": True},
                "stats": stats.as_dict() | {"data": stats.data, "iterations": 1},
            }
        )
    environment = records[0].environment
    when = records[0].started
    infos = {"machine_info": _machine_info(environment), "commit_info": _commit_info(environment, when)}
    return infos | {"benchmarks": benchmarks, "datetime": when, "version": __version__}


def _machine_info(env: Environment) -> dict[str, Any]:
    """Return the machine as pytest-benchmark describes one, as far as a record has it."""
    cpu = env.get("cpu", {})
    platform_info = {"machine": platform.machine(), "processor": platform.machine(), "system": platform.system()}
    return platform_info | {
        "cpu": {"brand_raw": cpu.get("name", ""), "count": cpu.get("cores", 0)},
        "gpu": env.get("gpu", {}),
    }


def _commit_info(env: Environment, when: str) -> dict[str, Any]:
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


def import_pytest_benchmark(data: Any) -> tuple[list[Record], list[str]]:
    """Return the records of pytest-benchmark's JSON, and a sentence for each benchmark that was left out.

    A benchmark is a record if it names its case in `extra_info`, as those of `bench/suite` do. Samples become integer
    nanoseconds; `details.imported` says where they come from. Raises InteropError for data that pytest-benchmark did
    not write, and where no benchmark is a record.
    """
    if not isinstance(data, dict) or not isinstance(data.get("benchmarks"), list):
        raise InteropError("it is no JSON of pytest-benchmark: there is no list `benchmarks`")
    records: list[Record] = []
    left_out: list[str] = []
    taken: set[tuple[Case, int]] = set()
    for number, benchmark in enumerate(data["benchmarks"], 1):
        name = f"benchmark {number}"
        try:
            name = str(benchmark["fullname"])
            record = _imported_record(benchmark, f"pytest-benchmark {data.get('version', '')}".strip())
            records.append(_with_own_round(record, taken))
        except (InteropError, RecordError) as error:
            left_out.append(f"{name}: {error}")
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            left_out.append(f"{name}: damaged ({type(error).__name__}: {error})")
    if not records:
        raise InteropError(f"nothing in it is a record: {left_out[0] if left_out else 'it has no benchmark'}")
    return records, left_out


def _with_own_round(record: Record, taken: set[tuple[Case, int]]) -> Record:
    """Return the record in the first free round of its case, from its own on, and count that as taken."""
    number = record.round % FOLDER_ROUNDS  # of several folders a case may be there twice
    while (record.case, number) in taken:
        number += 1
    taken.add((record.case, number))
    return replace(record, round=number)


def _imported_record(benchmark: Mapping[str, Any], source: str) -> Record:
    extra = benchmark.get("extra_info") or {}
    if "case" not in extra:
        raise InteropError("names no case in extra_info; those of `pytest bench/suite` do")
    data = benchmark["stats"].get("data")
    if not data:
        raise InteropError("has no samples: save them with --benchmark-save-data or --benchmark-json")
    latency_ns = [round(float(seconds) * S) for seconds in data]
    field_names = {field.name for field in fields(Record)}
    kept: dict[str, Any] = {"schema": SCHEMA, "round": 0, "status": "ok"} | dict(extra.get("record") or {})
    if kept["status"] != "ok" or min(latency_ns) <= 0:
        raise InteropError("is not of a case that was measured")
    origin = {
        "from": source,
        "iterations": benchmark["stats"].get("iterations", 1),
    }  # calls that a sample is the mean of
    kept |= {"case": extra["case"], "latency_ns": latency_ns, "details": kept.get("details", {}) | {"imported": origin}}
    return Record.from_json({key: value for key, value in kept.items() if key in field_names})
