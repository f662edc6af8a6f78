"""The views of a table: named sets of columns over the same rows, each within 80 characters of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from bench.plans.words import variant_cell
from bench.records.fields import Energy
from bench.records.record import Record
from bench.report.rows import Row, describe_fastest, group_without_speed, largest_batches, rows_from_records
from bench.text import digits

MIB = 1 << 20
NONE = "-"


@dataclass(frozen=True)
class Column:
    """A column of a table: `value` is what --json has under `key`; `show` formats a value that is not None."""

    title: str
    key: str
    value: Callable[[Row], Any]
    show: Callable[[Any], str] = str
    text: bool = False  # words, aligned to the left

    def cell(self, row: Row) -> str:
        value = self.value(row)
        return NONE if value is None else self.show(value)


@dataclass(frozen=True)
class View:
    """The columns of a table and their meaning; `more` are columns, each with its meaning, for wide terminals."""

    columns: tuple[Column, ...]
    meaning: str
    more: tuple[tuple[Column, str], ...] = ()

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(column.title for column in self.columns)

    def cells(self, row: Row) -> tuple[str, ...]:
        return tuple(column.cell(row) for column in self.columns)

    def within(self, rows: list[Row], width: int) -> View:
        """Return the view with each column of `more` that has a value in some row and still fits `width` characters."""
        view = self
        for column, meaning in self.more:
            wider = View((*view.columns, column), f"{view.meaning} {meaning}", self.more)
            lines = [wider.titles, *map(wider.cells, rows)]
            needed = sum(1 + max(map(len, cells)) for cells in zip(*lines, strict=True)) - 1
            if needed <= width and any(column.value(row) is not None for row in rows):
                view = wider
        return view


def _ms(value: float) -> str:
    return digits(value / 1e6)


def _mib(value: float) -> str:
    return f"{value / MIB:.0f}"


def _tenth(value: float) -> str:
    return f"{value:.1f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _noise(row: Row) -> tuple[float, float] | None:
    return None if row.noise is None or row.noise_target is None else (row.noise, row.noise_target)


def _against(row: Row) -> Any:
    return row.against and (row.against.ratio, row.against.twin.precision == row.case.precision)


def _ratio(value: Any) -> str:
    ratio, same = value
    width = "" if ratio.half_width is None else f"±{100 * ratio.half_width:.0f}%"
    return f"{ratio.value:.2f}{width}{'' if same else '*'}"


def _cold(part: str) -> Callable[[Row], float | None]:
    return lambda row: row.median_over_rounds(lambda record: record.cold.get(part))


def _cold_total(row: Row) -> float | None:
    return row.median_over_rounds(lambda record: sum(v for k, v in record.cold.items() if k.endswith("_s")) or None)


def _caches(row: Row) -> str | None:
    return ", ".join(dict.fromkeys(record.cold["caches"] for record in row.records if "caches" in record.cold)) or None


def _energy(value: Callable[[Energy], float | None]) -> Callable[[Row], float | None]:
    return lambda row: row.median_over_rounds(
        lambda record: value(record.energy) if "joules" in record.energy else None
    )


def _watched(name: Literal["sm_mhz", "cpu_mhz", "power_w", "temperature_c"]) -> Callable[[Row], float | None]:
    """Return a column's function: the median over the rounds of what was read during the timing."""
    return lambda row: row.median_over_rounds(lambda record: record.watch[name][1] if name in record.watch else None)


def _of_floor(fusion: str) -> Callable[[Row], float | None]:
    def share(row: Row) -> float | None:
        floor = row.floor_ns(fusion)
        return floor / row.p50_ns if floor and row.p50_ns else None

    return share


def _memory_share(row: Row) -> float | None:
    floors = row.floors("conv")
    seconds = sum(floor.seconds for floor in floors)
    return sum(floor.seconds for floor in floors if floor.bound == "memory") / seconds if seconds else None


def _whole_percent(value: float) -> str:
    return f"{100 * value:.0f}%"


def _throttled_share(row: Row) -> float:
    samples = sum(len(record.latency_ns) for record in row.records)
    return (samples - len(row.latency_samples)) / samples


OF_FLOOR = Column("of floor", "of_floor", _of_floor("conv"), _whole_percent)
CASE = (
    Column("variant", "variant", lambda row: variant_cell(row.case), text=True),
    Column("prec", "precision", lambda row: row.case.precision, text=True),
    Column("batch", "batch", lambda row: row.case.batch),
)
P50 = Column("p50 ms", "p50_ns", lambda row: row.p50_ns, _ms)

VIEWS = {
    "speed": View(
        (
            *CASE,
            P50,
            Column("±/ask %", "noise", _noise, lambda pair: f"{100 * pair[0]:.1f}/{100 * pair[1]:g}"),
            Column("images/s", "images_per_s", lambda row: row.images_per_s, digits),
            Column("vs eager", "vs_eager", _against, _ratio),
            Column("MiB", "memory_bytes", lambda row: row.memory, _mib),
            Column("gate", "gate_multiple", lambda row: row.worst("rms_multiple"), _tenth),
        ),
        """p50: one execution at a time, host time; ±/ask: half its 95 % interval, and what was asked; images/s:
        enqueued back to back; vs eager: ratio of images/s, over rounds their geometric mean and half its 95 %
        interval, eager in the same precision (*: in fp32, as eager has no such case); MiB: {memory}; gate:
        largest error as a multiple of plain torch's in that precision (3 is refused).""",
        ((OF_FLOOR, "of floor: how near p50 is to what the machine's ceilings allow (--view floor)."),),
    ),
    "floor": View(
        (
            *CASE,
            P50,
            Column("floor", "floor_ns", lambda row: row.floor_ns("conv"), _ms),
            OF_FLOOR,
            Column("least", "least_ns", lambda row: row.floor_ns("block"), _ms),
            Column("of least", "of_least", _of_floor("block"), _whole_percent),
            Column("bytes", "floor_memory_share", _memory_share, _whole_percent),
        ),
        """floor: what p50 would be, in ms, with one kernel a convolution, each at the machine's measured ceilings;
        least: with one a block; of floor, of least: that as a share of p50; bytes: the share of the floor that memory
        sets, not FLOPs. A - has no ceilings of its own machine (bench ceilings measures them). Over 100%: they were
        measured while the machine was busy, or work was saved: kernels fused further, bytes that stayed in a cache,
        an algorithm that multiplies less.""",
    ),
    "latency": View(
        (
            *CASE,
            P50,
            Column("gpu", "gpu_p50_ns", lambda row: row.p50("gpu_ns"), _ms),
            Column("flushed", "flushed_p50_ns", lambda row: row.p50("flushed_ns"), _ms),
            Column("gpu fl.", "flushed_gpu_p50_ns", lambda row: row.p50("flushed_gpu_ns"), _ms),
            Column("fell %", "fallen", _throttled_share, _percent),
            Column(
                "warm-up",
                "warmup_s",
                lambda row: row.median_over_rounds(lambda r: r.warmup.get("s")),
                lambda s: f"{s:.1f} s",
            ),
        ),
        """Medians, in ms. p50: host time, call to result ready; gpu: device time, the host not in it, of other
        executions; flushed: the same two with the device's last-level cache emptied before each (small batches);
        fell: share of the latency samples taken while the machine throttled, which no number here counts; warm-up:
        until the times were stationary.""",
    ),
    "tail": View(
        (
            *CASE,
            Column("samples", "samples", lambda row: len(row.latency_samples)),
            P50,
            Column("p99", "p99_ns", lambda row: row.p99 and row.p99.value, _ms),
            Column("p99 ≤", "p99_upper_ns", lambda row: row.p99 and row.p99.upper, _ms),
            Column("p99.9", "p999_ns", lambda row: row.p999 and row.p999.value, _ms),
            Column("p99.9 ≤", "p999_upper_ns", lambda row: row.p999 and row.p999.upper, _ms),
        ),
        """Host time in ms. p50: the rounds' median; p99, p99.9: over the samples of all rounds; ≤: what the
        quantile is at most, with 99 % confidence and whatever the distribution. A quantile with too few samples
        to support it is not told: p99 needs 662, p99.9 6636 (raise latency_s, or --rounds).""",
    ),
    "cold": View(
        (
            *CASE,
            Column("import", "import_s", _cold("import_s"), digits),
            Column("build", "build_s", _cold("build_s"), digits),
            Column("prepare", "prepare_s", _cold("prepare_s"), digits),
            Column("first", "first_call_s", _cold("first_call_s"), digits),
            Column("total s", "cold_s", _cold_total, digits),
            Column("caches", "caches", _caches, text=True),
        ),
        """Seconds of a fresh process up to its first answer. import: of torch; build: the model; prepare: the
        variant (exporting, compiling, tuning); first: the first call; total: all, and placing inputs; caches:
        how the compile caches on disk were found (--cold empties them).""",
    ),
    "memory": View(
        (
            *CASE,
            Column("weights", "weights_bytes", lambda row: row.peak_memory("weights"), _mib),
            Column("alloc.", "allocator_allocated_peak", lambda row: row.peak_memory("allocator_allocated_peak"), _mib),
            Column("reserved", "allocator_reserved_peak", lambda row: row.peak_memory("allocator_reserved_peak"), _mib),
            Column("device", "device_process", lambda row: row.peak_memory("device_process"), _mib),
            Column("host", "host_resident_peak", lambda row: row.peak_memory("host_resident_peak"), _mib),
        ),
        """MiB, the most of the rounds. weights: as the variant holds them; alloc., reserved: peaks of torch's
        allocator while measuring; device: this process on the device (NVML), which alone sees ONNX Runtime and
        captured graphs; host: peak resident set while measuring.""",
    ),
    "energy": View(
        (
            *CASE,
            Column("J/image", "joules_per_image", _energy(lambda e: e["joules"] / e["images"]), lambda v: f"{v:.4f}"),
            Column("W", "energy_w", _energy(lambda e: e["joules"] / e["s"] if e["s"] else None), lambda v: f"{v:.0f}"),
            Column("°C", "temperature_c", _energy(lambda e: median(e["temperature_c"])), lambda v: f"{v:.0f}"),
            Column("MHz", "sm_mhz", _watched("sm_mhz"), lambda v: f"{v:.0f}"),
            Column("images/s", "images_per_s", lambda row: row.images_per_s, digits),
        ),
        """J/image: the whole card's energy counter over a window of throughput (measure.energy_s of the plan, at
        least 5 s); W: the same by time; °C: between its ends; MHz: the median clock beside the timing; images/s:
        as in the speed view.""",
    ),
    "accuracy": View(
        (
            *CASE,
            Column("rms", "rms_multiple", lambda row: row.worst("rms_multiple"), lambda v: f"{v:.2f}"),
            Column("max", "max_multiple", lambda row: row.worst("max_multiple"), lambda v: f"{v:.2f}"),
            Column("top-1", "top1", lambda row: row.worst("top1"), lambda v: f"{v:.2f}"),
            Column("plain", "top1_plain", lambda row: row.worst("top1_plain"), lambda v: f"{v:.2f}"),
        ),
        """rms, max: the error as a multiple of plain torch's in that precision (3 and 4 are refused); top-1:
        agreement with float64, plain: that of plain torch. The worst of all checks and rounds.""",
    ),
}


def notes(view: View, rows: list[Row]) -> str:
    """Return what the view's columns mean, as one line."""
    on_gpu = any(row.device == "cuda" for row in rows)
    memory = "this process on the device" if on_gpu else "this process's peak resident memory while measuring"
    return " ".join(view.meaning.split()).format(memory=memory)


def report_as_json(records: list[Record]) -> dict[str, Any]:
    """Return the answer, every column of every view, the largest batches and what was left out, for --json."""
    rows = rows_from_records(records)
    return {
        "answer": describe_fastest(rows),
        "rows": [_row_as_json(row) for row in rows],
        "largest": [{"case": case.name} | search for case, search in largest_batches(records)],
        "left_out": [
            {"status": status, "reason": reason, "cases": [case.name for case in cases]}
            for status, reason, cases in group_without_speed(records)
        ],
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    values = {"case": row.case.name, "rounds": row.rounds}
    for view in VIEWS.values():
        values |= {column.key: column.value(row) for column in view.columns}
    against = row.against
    return values | {
        "noise": row.noise,
        "noise_asked": row.noise_target,
        "vs_eager": against and against.ratio.value,
        "vs_eager_interval": against and [against.ratio.low, against.ratio.high],
        "vs_eager_in_same_precision": against and against.twin.precision == row.case.precision,
    }
