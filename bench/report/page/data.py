"""Records as what the page holds: a row per case, its samples reduced to points, and where each record is from.

Samples are not embedded: at most POINTS quantiles and POINTS medians of consecutive samples stand for each case.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from bench.records.fields import MemoryNumber
from bench.report.page.commits import history_rows
from bench.report.page.layers import layer_rows
from bench.report.page.numbers import number, over, short
from bench.report.page.settings import Placed, Setting, apart, axes, depth
from bench.report.rows import Row
from bench.report.views import MIB, VIEWS
from bench.stats import median_interval, ratio

POINTS = 33
# What is told of each record beside its case: all that is not samples, nor the gate's reports.
TOLD = (
    *("environment", "runtime", "settings", "plan", "input", "details", "warmup", "watch", "latency_stop"),
    *("flushed_stop", "throttled", "energy", "cold", "memory", "attempts", "weights", "seed", "largest"),
)
PARTS = ("import", "build", "prepare", "place", "first_call")


@dataclass
class Data:
    """Everything that the page shows, as plain values."""

    settings: list[Setting]
    cases: list[dict[str, Any]]
    tables: dict[str, list[list[str]]]  # of each view, the cells of each case
    records: list[dict[str, Any]]
    things: list[Any]  # what records tell, each different value once
    damage: list[str]
    layers: list[dict[str, Any]] = field(default_factory=list)  # a row a layer, of what `bench layers -o` left
    history: list[dict[str, Any]] = field(default_factory=list)  # a row a case, metric and commit

    def rows(self, dataset: str) -> list[dict[str, Any]]:
        """The rows of what a chart draws: `cases`, `layers` or `history`."""
        return list(getattr(self, dataset))


def gather(folders: Iterable[str | Path]) -> Data:
    """The data of some results folders. Raises StoreError for one that is none."""
    places = list(dict.fromkeys(Path(folder) for folder in folders))
    settings, placed, damage = apart(places)
    numbers = {id(setting): number for number, setting in enumerate(settings)}
    things = Things()
    told = [_told(one, numbers[id(one.setting)], things) for one in placed]
    data = Data(settings, [], {name: [] for name in VIEWS}, told, things.values, damage)
    for place, setting in enumerate(settings):
        _add_rows(data, place, setting)
    keys = {setting.key: numbers[id(setting)] for setting in reversed(settings)}
    data.layers = layer_rows(places, keys, damage)
    if any(setting.commit for setting in settings):
        data.history = history_rows(places, damage)
    return data


def _add_rows(data: Data, place: int, setting: Setting) -> None:
    ranks: dict[str, int] = defaultdict(int)
    for row in setting.rows:
        case = case_row(row)
        ranks[case["group"]] += 1
        data.cases.append({"id": len(data.cases), "setting": place, "rank": ranks[case["group"]]} | case)
        for name, view in VIEWS.items():
            data.tables[name].append(list(view.cells(row)))


def case_row(row: Row) -> dict[str, Any]:
    """What the charts draw of a case: times in ms, memory in MiB, cold starts in s; what is not known is left out."""
    case = row.case
    half = row.noise or 0.0
    speed = ratio([(record.throughput["images"] / record.throughput["ns"] * 1e9, 1.0) for record in row.records])
    held = row.against
    made = axes(case) | {
        "sized": f"batch {case.batch}" + ("" if case.image == 224 else f" at {case.image} px"),
        "kind": case.model.replace(str(depth(case.model)), "", 1),
        "depth": depth(case.model),
        "rounds": row.rounds,
        "p50": row.p50_ns / 1e6,
        "low": row.p50_ns / 1e6 * (1 - half),
        "high": row.p50_ns / 1e6 * (1 + half),
        "noise": None if row.noise is None else 100 * row.noise,
        "p99": row.p99 and row.p99.value / 1e6,
        "speed": row.images_per_s,
        "speed_low": speed.low,
        "speed_high": speed.high,
        "eager": held and held.ratio.value,
        "of_floor": over(row.floor_ns("conv"), row.p50_ns),
        "error": row.worst("rms_multiple"),
        "top1": row.worst("top1"),
        "total": row.memory and row.memory / MIB,
        "energy": row.median_over_rounds(lambda r: over(r.energy.get("joules"), r.energy.get("images"))),
        "watts": row.median_over_rounds(lambda r: over(r.energy.get("joules"), r.energy.get("s"))),
        "caches": ", ".join(dict.fromkeys(str(r.cold["caches"]) for r in row.records if "caches" in r.cold)) or None,
    }
    made |= {f"m_{name}": size / MIB for name, size in memory_parts(row).items()}
    made |= {f"c_{part}": _cold(row, f"{part}_s") for part in PARTS}
    return {key: short(value) for key, value in (made | spread(row)).items() if value is not None}


def _cold(row: Row, part: str) -> float | None:
    return row.median_over_rounds(lambda record: number(record.cold.get(part)))


def memory_parts(row: Row) -> dict[str, int]:
    """The device's memory (on a CPU the host's) in parts that add up to the whole process's, in bytes.

    The five numbers lie within one another: each part is what the next has beyond all before it. Nothing, where the
    whole is not known.
    """
    names: dict[str, MemoryNumber] = {"weights": "weights"}
    if row.device == "cuda":
        names |= {"work": "allocator_allocated_peak", "spare": "allocator_reserved_peak", "rest": "device_process"}
    else:
        names["rest"] = "host_resident_peak"
    if row.peak_memory(names["rest"]) is None:
        return {}
    parts, reached = {}, 0
    for part, key in names.items():
        size = row.peak_memory(key) or 0
        parts[part] = max(0, size - reached)
        reached = max(reached, size)
    return parts


def spread(row: Row) -> dict[str, list[float]]:
    """The samples as percent of their median: quantiles of all rounds, the first round in order, a median per round."""
    rounds = [record.kept("latency_ns") for record in row.records]
    middle = row.p50_ns
    if not middle or not any(rounds):
        return {}
    percent = [[100 * sample / middle for sample in samples] for samples in rounds]
    made = {
        "quantiles": quantiles(sorted(sample for samples in percent for sample in samples)),
        "sequence": sequence(percent[0]),
    }
    if len(rounds) > 1:
        made["by_round"] = [median(samples) for samples in percent if samples]
        between = [median_interval(samples) or (median(samples),) * 2 for samples in percent if samples]
        made["round_low"], made["round_high"] = ([pair[side] for pair in between] for side in (0, 1))
    return made


def quantiles(ordered: list[float]) -> list[float]:
    """Ascending samples as at most POINTS quantiles, least and largest among them, equally far apart."""
    if len(ordered) <= POINTS:
        return ordered
    places = [(len(ordered) - 1) * step / (POINTS - 1) for step in range(POINTS)]
    return [_between(ordered, place) for place in places]


def _between(ordered: list[float], place: float) -> float:
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def sequence(samples: list[float]) -> list[float]:
    """Samples in the order taken as at most POINTS medians of as many consecutive ones each."""
    count = len(samples)
    if count <= POINTS:
        return samples
    edges = [count * step // POINTS for step in range(POINTS + 1)]
    return [median(samples[first:last]) for first, last in pairwise(edges)]


class Things:
    """Values, each kept once: thousands of records share a few environments."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        key = json.dumps(value, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def _told(placed: Placed, setting: int, things: Things) -> dict[str, Any]:
    """Where a record is from and how it came about."""
    record = placed.record
    return {
        "setting": setting,
        "case": record.case.name,
        "folder": str(placed.folder),
        "round": record.round,
        "status": record.status,
        "reason": record.reason,
        "started": record.started,
        "wall_s": short(number(record.wall_s)),
        "order": record.order,
        "device": record.device,
        "told": {name: things.place(value) for name in TOLD if (value := getattr(record, name)) not in ({}, [], "")},
    }
