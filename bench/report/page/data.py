"""Records as the rows of the page: one for each case, with its samples reduced to points, and one for each record.

Samples are not embedded: at most POINTS quantiles and POINTS medians of consecutive samples stand for each case.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

from bench.plans.words import label
from bench.records import quality, same
from bench.records.baseline import Against
from bench.records.fields import MemoryNumber
from bench.records.record import Record
from bench.records.store import FOLDER_ROUNDS
from bench.report.answer import bits_of
from bench.report.cells import MIB, times_eager
from bench.report.layers import rows as layers
from bench.report.page.contests import contest_rows
from bench.report.page.encoding import COLD_PARTS
from bench.report.page.overview import Overview, read_overview
from bench.report.page.settings import Setting, case_fields, depth, read_settings
from bench.report.rows import Row, group_rows, joules_per_image, watts
from bench.report.views import VIEWS
from bench.stats import median_interval, ratio
from bench.text import at_pixels

POINTS = 33
DIGITS = 5  # significant ones of a number: no more than a chart can show
# The fields of a record that the page shows beside its case: all but the samples and the gate's checks.
SHOWN_FIELDS = (
    *("environment", "runtime", "settings", "plan", "input", "details", "warmup", "watch", "latency_stop", "quantized"),
    *("score", "flushed_stop", "throttled", "energy", "cold", "memory", "attempts", "weights", "seed", "largest"),
)


COLUMNS = {id(column): column for view in VIEWS.values() for column in view.columns}  # which views share


@dataclass
class PageData:
    """Everything that the page shows, as plain values."""

    settings: list[Setting]
    damage: list[str]  # a sentence for each line or file that could not be read
    cases: list[dict[str, Any]] = field(default_factory=list)
    cells: dict[int, list[str]] = field(default_factory=lambda: {key: [] for key in COLUMNS})  # of COLUMNS, by case
    contests: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)  # the fields of records, each different value once
    layers: list[dict[str, Any]] = field(default_factory=list)  # a row for each layer of `bench layers -o`
    overview: Overview = field(default_factory=Overview)  # of the commits

    @property
    def history(self) -> list[dict[str, Any]]:
        """A row for each case and metric over commits."""
        return self.overview.series

    @property
    def datasets(self) -> dict[str, list[dict[str, Any]]]:
        """The rows that charts draw."""
        return {"cases": self.cases, "layers": self.layers, "history": self.history}


def gather(folders: Iterable[str | Path]) -> PageData:
    """Return the data of some results folders. Raises StoreError for a folder without records."""
    paths = list(dict.fromkeys(Path(folder) for folder in folders))
    settings, damage = read_settings(paths)
    data = PageData(settings, damage)
    # thousands of records share a few environments, often as objects (`newest`): each is kept once, by its place
    places, newest = dict[str, int](), dict[str, tuple[Any, int]]()
    for place, setting in enumerate(settings):
        _add_rows(data, place, setting)
        for record in setting.records:
            fields = {"setting": place, "folder": str(paths[record.round // FOLDER_ROUNDS])}
            data.records.append(fields | rounded(_record_fields(record, places, newest)))
    data.values = [json.loads(text) for text in places]
    keys = {setting.key: place for place, setting in reversed(list(enumerate(settings)))}
    data.layers = rounded(layer_rows(paths, keys, damage))
    if any(setting.commit for setting in settings):
        data.overview = read_overview(paths)
        data.overview.series = rounded(data.overview.series)
    return data


def layer_rows(folders: Iterable[Path], settings: dict[same.Key, int], damage: list[str]) -> list[dict[str, Any]]:
    """Return the rows of the files of `bench layers -o` in some folders; what cannot be read adds to `damage`.

    A file of a machine without records here is shown with every setting.
    """
    rows: list[dict[str, Any]] = []
    for timed, rival, apart in layers.with_rivals(layers.read_files(folders, damage)):
        fields = {"setting": settings.get(same.group_key(timed.record))} | case_fields(timed.case)
        fields["panel"] = f"{fields['group']}: {fields['way']}{apart}"
        fields |= {"beside": fields["panel"], "rival": None, "rival_variant": None}
        if rival:
            fields |= {"rival": label(rival.case), "rival_variant": rival.case.variant}
            fields["beside"] += f"; outlined: {fields['rival']}"
        rows += [{"id": len(rows) + place} | fields | row for place, row in enumerate(layers.rows_of(timed, rival))]
    return rows


def rounded(value: Any) -> Any:
    """Return a value for JSON, its floats with DIGITS significant digits; None in place of a NaN or an infinity."""
    if isinstance(value, list):
        return [rounded(element) for element in value]
    if isinstance(value, dict):
        return {key: rounded(element) for key, element in value.items()}
    if type(value) is not float:
        return value
    if not isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() else short


def pack(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as `n`, their number, and `of`, a column for each field."""
    fields = dict.fromkeys(field for row in rows for field in row)
    return {"n": len(rows), "of": {field: pack_column([row.get(field) for row in rows]) for field in fields}}


def pack_column(values: list[Any]) -> Any:
    """Return values as they are, or words that are repeated as `words` and the place of each, from 1; 0 is none."""
    words = list(dict.fromkeys(value for value in values if type(value) in (str, bool)))
    if not words or 2 * len(words) > len(values) or any(type(v) not in (str, bool, type(None)) for v in values):
        return values
    places = {word: place for place, word in enumerate(words, 1)}
    return {"words": words, "at": [0 if value is None else places[value] for value in values]}


def _add_rows(data: PageData, place: int, setting: Setting) -> None:
    kinds, ids = dict[tuple[Any, ...], int](), dict[int, int]()
    for group in group_rows(setting.rows).values():
        for rank, row in enumerate(group, 1):
            case = row.case
            of = (case.model, case.image, case.batch, case.launch, row.choices, bits_of(row))
            ids[id(row)] = len(data.cases)
            places = {"id": len(data.cases), "setting": place, "rank": rank}
            places["contest"] = kinds.setdefault(of, len(kinds))
            data.cases.append(places | rounded(case_row(row)))
            for key, column in COLUMNS.items():
                data.cells[key].append(column.cell(row))
    data.contests += [{"setting": place} | rounded(contest) for contest in contest_rows(setting, ids)]


def case_row(row: Row) -> dict[str, Any]:
    """Return what the charts draw of a case: times in ms, memory in MiB, cold starts in s, without missing values."""
    case = row.case
    low, high = row.images_per_s_interval or (None, None)
    fields = case_fields(case, row.choices) | {
        "sized": f"batch {case.batch}{at_pixels(case.image)}",
        "like": f"{case.precision}, batch {case.batch}{at_pixels(case.image)}",
        "kind": case.model.replace(str(depth(case.model) or ""), "", 1),
        "depth": depth(case.model),
        "rounds": row.rounds,
        "p50": row.p50_ns / 1e6,
        "noise": None if row.noise is None else 100 * row.noise,
        "speed": row.images_per_s,
        "speed_low": low,
        "speed_high": high,
        "eager": row.against and times_eager(row.against),
        **(_over_eager(row.against) if row.against else {}),
        "of_floor": row.floor_share("conv"),
        "error": row.worst("rms_multiple"),
        "total": row.memory and row.memory / MIB,
        "energy": row.median_over_rounds(joules_per_image),
        "watts": row.median_over_rounds(watts),
        "caches": row.caches,
        "eight": row.is_eight_bits or None,
        "disturbed": row.is_disturbed or None,
        "choices": row.choices or None,
    }
    shares = {"agree": quality.agreement, "right": quality.accuracy, "loss": quality.loss}
    for name, read in shares.items():
        if share := read(row.score):
            ends = (name, f"{name}_low", f"{name}_high")
            fields |= {end: 100 * value for end, value in zip(ends, (share.value, share.low, share.high), strict=True)}
    fields |= _of_charts(row) | {f"m_{name}": size / MIB for name, size in memory_parts(row).items()}
    fields |= {f"c_{part}": row.cold(f"{part}_s") for part in COLD_PARTS}
    return {key: value for key, value in (fields | sample_points(row)).items() if value is not None}


def _over_eager(against: Against) -> dict[str, Any]:
    """Return the ratio of images/s to eager's, with its interval, and a mark of a baseline that is unlike."""
    ratio = against.ratio
    marks = "*" * (not against.same_precision) + "^" * (not against.same_launch)
    return {"times": ratio.value, "times_low": ratio.low, "times_high": ratio.high, "unlike": marks}


def _of_charts(row: Row) -> dict[str, Any]:
    """Return the ends of intervals of latency and energy, and the memory of the device in MiB (on a CPU the host's)."""
    fields: dict[str, Any] = {}
    if row.noise is not None:
        ends = (max(0.01, 1 - row.noise), 1 + row.noise)
        fields["p50_low"], fields["p50_high"] = (row.p50_ns / 1e6 * end for end in ends)
    joules = [energy for record in row.records if (energy := joules_per_image(record)) is not None]
    if joules and (half := ratio([(energy, 1.0) for energy in joules]).half_width):
        fields["energy_low"], fields["energy_high"] = (median(joules) * end for end in (max(0.01, 1 - half), 1 + half))
    environment = row.records[-1].environment
    size = (environment.get("gpu", {}) if row.device == "cuda" else environment).get("memory_bytes")
    return fields | ({"limit": size / MIB} if isinstance(size, int) else {})


def memory_parts(row: Row) -> dict[str, int]:
    """Return the device's memory (on a CPU the host's) in bytes, in parts that add up to that of the process.

    The numbers of a record lie within one another: a part is what a number has beyond all before it. Empty where that
    of the whole process was not read.
    """
    numbers: dict[str, MemoryNumber] = {"weights": "weights"}
    if row.device == "cuda":
        numbers |= {"work": "allocator_allocated_peak", "spare": "allocator_reserved_peak", "rest": "device_process"}
    else:
        numbers["rest"] = "host_resident_peak"
    if row.peak_memory(numbers["rest"]) is None:
        return {}
    parts, reached = {}, 0
    for part, number in numbers.items():
        size = row.peak_memory(number) or 0
        parts[part] = max(0, size - reached)
        reached = max(reached, size)
    return parts


def sample_points(row: Row) -> dict[str, list[float]]:
    """Return the samples as percent of their median, reduced for three charts.

    These are quantiles over all rounds, the first round in the order taken, and the median of each round with its 95 %
    confidence interval, where there are several.
    """
    rounds = [record.kept("latency_ns") for record in row.records]
    if not row.p50_ns or not any(rounds):
        return {}
    percent = [[100 * sample / row.p50_ns for sample in samples] for samples in rounds]
    points = {"quantiles": quantiles(list(chain.from_iterable(percent))), "sequence": sequence(percent[0])}
    if len(rounds) > 1:
        points["by_round"] = [median(samples) for samples in percent if samples]
        intervals = [median_interval(samples) or (median(samples),) * 2 for samples in percent if samples]
        points["round_low"], points["round_high"] = (list(bounds) for bounds in zip(*intervals, strict=True))
    return points


def quantiles(samples: list[float]) -> list[float]:
    """Return samples as at most POINTS ascending quantiles, equally far apart from the least to the largest."""
    import numpy as np

    return np.quantile(samples, np.linspace(0, 1, min(len(samples), POINTS))).tolist()


def sequence(samples: list[float]) -> list[float]:
    """Return samples in the order taken as at most POINTS medians of equally many consecutive ones."""
    points = min(len(samples), POINTS)
    edges = [len(samples) * point // points for point in range(points + 1)]
    return [median(samples[first:last]) for first, last in pairwise(edges)]


def _record_fields(record: Record, places: dict[str, int], newest: dict[str, tuple[Any, int]]) -> dict[str, Any]:
    """Return a record's case, round and status, and its SHOWN_FIELDS, as `of NAME`, as places in the list of values."""
    values = {name: value for name in SHOWN_FIELDS if (value := getattr(record, name)) not in ({}, [], "")}
    for name, value in values.items():
        if name not in newest or newest[name][0] is not value:
            newest[name] = value, places.setdefault(json.dumps(value), len(places))
    return {
        "case": record.case.name,
        "round": record.round % FOLDER_ROUNDS,
        **{name: getattr(record, name) for name in ("status", "reason", "started", "wall_s", "order", "device")},
        **{f"of {name}": newest[name][1] for name in values},
    }
