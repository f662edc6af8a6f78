"""What a table shows: named sets of columns over the same rows, each within 80 characters of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

from bench.records.fields import Energy
from bench.records.record import Record
from bench.report.rows import Row, answer, largest, left_out, rows
from bench.text import WORDS, digits

MIB = 1 << 20
NONE = "-"


@dataclass(frozen=True)
class Column:
    """A column: `value` for --json, under `key`; `show` sets a value that is not None as text."""

    title: str
    key: str
    value: Callable[[Row], Any]
    show: Callable[[Any], str] = str
    text: bool = False  # set to the left, as words are

    def cell(self, row: Row) -> str:
        value = self.value(row)
        return NONE if value is None else self.show(value)


@dataclass(frozen=True)
class View:
    """A table's columns, and what they mean; `more` are columns for where there is room, each with its meaning."""

    columns: tuple[Column, ...]
    meaning: str
    more: tuple[tuple[Column, str], ...] = ()

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(column.title for column in self.columns)

    def cells(self, row: Row) -> tuple[str, ...]:
        return tuple(column.cell(row) for column in self.columns)

    def within(self, found: list[Row], width: int) -> View:
        """The view with each of `more` that has a value in some row and still fits so many characters."""
        view = self
        for column, meaning in self.more:
            wider = View((*view.columns, column), f"{view.meaning} {meaning}", self.more)
            lines = [wider.titles, *map(wider.cells, found)]
            taken = sum(1 + max(map(len, cells)) for cells in zip(*lines, strict=True)) - 1
            if taken <= width and any(column.value(row) is not None for row in found):
                view = wider
        return view


def _ms(value: float) -> str:
    return digits(value / 1e6)


def _mib(value: float) -> str:
    return f"{value / MIB:.0f}"


def _noise(row: Row) -> tuple[float, float | None] | None:
    return None if row.noise is None else (row.noise, row.asked)


def _half_width(pair: tuple[float, float | None]) -> str:
    """The half-width in percent; where it is wider than the target, the target too, as 7.3>5."""
    reached, target = pair
    return f"{100 * reached:.1f}" + (f">{100 * target:g}" if target and reached > target else "")


def _against(row: Row) -> Any:
    return row.against and (row.against.ratio, row.against.baseline.precision == row.case.precision)


def _ratio(value: Any) -> str:
    ratio, same = value
    width = "" if ratio.half_width is None else f"±{100 * ratio.half_width:.0f}%"
    return f"{ratio.value:.2f}{width}{'' if same else '*'}"


def _cold(part: str) -> Callable[[Row], float | None]:
    return lambda row: row.middle(lambda record: record.cold.get(part))


def _cold_total(row: Row) -> float | None:
    return row.middle(lambda record: sum(v for k, v in record.cold.items() if k.endswith("_s")) or None)


def _caches(row: Row) -> str | None:
    return ", ".join(dict.fromkeys(record.cold["caches"] for record in row.records if "caches" in record.cold)) or None


def _energy(value: Callable[[Energy], float | None]) -> Callable[[Row], float | None]:
    return lambda row: row.middle(lambda record: value(record.energy) if "joules" in record.energy else None)


def _watched(name: Literal["sm_mhz", "cpu_mhz", "power_w", "temperature_c"]) -> Callable[[Row], float | None]:
    """The median of what was read beside the timing."""
    return lambda row: row.middle(lambda record: record.watch[name][1] if name in record.watch else None)


def _of_floor(fusion: str) -> Callable[[Row], float | None]:
    def share(row: Row) -> float | None:
        floor = row.floor_ns(fusion)
        return floor / row.p50_ns if floor and row.p50_ns else None

    return share


def _memory_share(row: Row) -> float | None:
    found = row.floors("conv")
    seconds = sum(floor.seconds for floor in found)
    return sum(floor.seconds for floor in found if floor.bound == "memory") / seconds if seconds else None


def _whole_percent(value: float) -> str:
    return f"{100 * value:.0f}%"


def _throttled(row: Row) -> float:
    lost = sum(len(r.latency_ns) - len(r.kept("latency_ns")) for r in row.records)
    return lost / sum(len(r.latency_ns) for r in row.records)


OF_ROOF = Column("% of roof", "roof_share", _of_floor("conv"), _whole_percent)
CASE = (
    Column(
        "variant",
        "variant",
        lambda row: row.case.variant + ("+graph" if row.case.launch == "graph" else ""),
        text=True,
    ),
    Column("prec", "precision", lambda row: row.case.precision, text=True),
    Column("batch", "batch", lambda row: row.case.batch),
)
P50 = Column("p50 ms", "p50_ns", lambda row: row.p50_ns, _ms)

VIEWS = {
    "speed": View(
        (
            *CASE,
            P50,
            Column("±%", "p50_half_width", _noise, _half_width),
            Column("images/s", "images_per_s", lambda row: row.images_per_s, digits),
            Column("vs eager", "vs_eager", _against, _ratio),
            Column("MiB", "memory_bytes", lambda row: row.memory, _mib),
            Column("error", "rms_multiple", lambda row: row.worst("rms_multiple"), lambda v: f"{v:.1f}"),
        ),
        """p50: median latency, host time, one execution at a time; ±%: half-width of its 95 % confidence interval,
        and behind a > the plan's target where that was not reached; images/s: throughput, executions enqueued back
        to back; vs eager: ratio of images/s to eager's in the same precision (*: in fp32, as eager has no such case),
        over rounds the geometric mean and the half-width of its 95 % confidence interval; MiB: {memory}; error:
        largest error as a multiple of plain torch's in that precision (above 3 a case is refused).""",
        ((OF_ROOF, "% of roof: the least time that the machine's ceilings allow, over p50 (--view floor)."),),
    ),
    "floor": View(
        (
            *CASE,
            P50,
            Column("floor", "floor_ns", lambda row: row.floor_ns("conv"), _ms),
            OF_ROOF,
            Column("block", "block_floor_ns", lambda row: row.floor_ns("block"), _ms),
            Column("block %", "block_roof_share", _of_floor("block"), _whole_percent),
            Column("mem %", "floor_memory_share", _memory_share, _whole_percent),
        ),
        """floor: the least p50 by the roofline model, in ms, with one kernel a convolution, each as fast as the
        machine's measured ceilings allow; block: the same with one kernel a residual block; % of roof, block %: that
        time over p50, so that 100% is as fast as the roofline; mem %: share of the floor in kernels that memory
        traffic limits, not FLOPs. A - has no ceilings of its own machine (bench ceilings measures them). Over 100%
        the machine was busy while they were measured, or work was saved: kernels fused further, bytes that stayed in
        a cache, an algorithm that multiplies less.""",
    ),
    "latency": View(
        (
            *CASE,
            replace(P50, title="p50"),
            Column("gpu", "gpu_p50_ns", lambda row: row.p50("gpu_ns"), _ms),
            Column("cold L2", "cold_l2_p50_ns", lambda row: row.p50("flushed_ns"), _ms),
            Column("gpu cold", "cold_l2_gpu_p50_ns", lambda row: row.p50("flushed_gpu_ns"), _ms),
            Column("dropped", "throttled_share", _throttled, lambda share: f"{100 * share:.1f}%"),
            Column("warmup", "warmup_s", lambda row: row.middle(lambda r: r.warmup.get("s")), lambda s: f"{s:.1f} s"),
        ),
        """Medians, in ms. p50: host time from the call to the result, caches warm; gpu: device time without the
        host's share, of other executions; cold L2, gpu cold: the same two with the last-level cache (a GPU's L2)
        emptied before each execution (small batches); dropped: share of the latency samples that count in no
        number here, as the machine throttled meanwhile; warmup: time until the samples were stationary.""",
    ),
    "tail": View(
        (
            *CASE,
            Column("samples", "samples", lambda row: sum(len(r.kept("latency_ns")) for r in row.records)),
            P50,
            Column("p99", "p99_ns", lambda row: row.p99 and row.p99.value, _ms),
            Column("p99 ≤", "p99_upper_ns", lambda row: row.p99 and row.p99.upper, _ms),
            Column("p99.9", "p999_ns", lambda row: row.p999 and row.p999.value, _ms),
            Column("p99.9 ≤", "p999_upper_ns", lambda row: row.p999 and row.p999.upper, _ms),
        ),
        """Host time in ms. samples: latency samples that count; p50: the rounds' median; p99, p99.9: percentiles of
        the samples of all rounds; ≤: the percentile's upper bound with 99 % confidence, whatever the distribution. A
        percentile with too few samples is left out: p99 needs 662, p99.9 6636 (raise latency_s, or --rounds).""",
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
        """Cold start, in seconds of a fresh process up to its first answer. import: of torch; build: the model;
        prepare: the variant (exporting, compiling, tuning); first: the first call; total: all, and placing inputs;
        caches: how the compile caches on disk were found (--cold empties them).""",
    ),
    "memory": View(
        (
            *CASE,
            Column("weights", "weights_bytes", lambda row: row.most("weights"), _mib),
            Column("alloc.", "allocator_allocated_peak", lambda row: row.most("allocator_allocated_peak"), _mib),
            Column("reserved", "allocator_reserved_peak", lambda row: row.most("allocator_reserved_peak"), _mib),
            Column("device", "device_process", lambda row: row.most("device_process"), _mib),
            Column("host", "host_resident_peak", lambda row: row.most("host_resident_peak"), _mib),
        ),
        """MiB, the largest of the rounds. weights: as the variant holds them; alloc., reserved: peaks of torch's
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
        least 5 s); W: the mean power of that window; °C: the mean of the temperatures at its ends; MHz: the median SM
        clock during the timing; images/s: as in the speed view.""",
    ),
    "accuracy": View(
        (
            *CASE,
            Column("rms error", "rms_multiple", lambda row: row.worst("rms_multiple"), lambda v: f"{v:.2f}"),
            Column("max error", "max_multiple", lambda row: row.worst("max_multiple"), lambda v: f"{v:.2f}"),
            Column("top-1", "top1", lambda row: row.worst("top1"), lambda v: f"{v:.2f}"),
            Column("torch top-1", "top1_plain", lambda row: row.worst("top1_plain"), lambda v: f"{v:.2f}"),
        ),
        """rms error, max error: as multiples of plain torch's in that precision (above 3 or 4 a case is refused);
        top-1: share of pictures whose top class is that of a float64 reference; torch top-1: that share of plain
        torch. The worst of all checks and rounds.""",
    ),
}


def notes(view: View, found: list[Row]) -> str:
    """What the columns mean, and where the words are explained."""
    on_gpu = any(row.device == "cuda" for row in found)
    memory = "memory of the process on the device" if on_gpu else "peak resident memory of the process"
    return f"{' '.join(view.meaning.split())} {WORDS}".format(memory=memory)


def as_json(records: list[Record]) -> dict[str, Any]:
    """The answer, every column of every view, the largest batches and what was left out, for --json."""
    found = rows(records)
    return {
        "answer": answer(found),
        "rows": [_plain(row) for row in found],
        "largest": [{"case": case.name} | told for case, told in largest(records)],
        "left_out": [
            {"status": status, "reason": reason, "cases": [case.name for case in cases]}
            for status, reason, cases in left_out(records)
        ],
    }


def _plain(row: Row) -> dict[str, Any]:
    told = {"case": row.case.name, "rounds": row.rounds}
    for view in VIEWS.values():
        told |= {column.key: column.value(row) for column in view.columns}
    held = row.against
    return told | {
        "p50_half_width": row.noise,
        "p50_half_width_target": row.asked,
        "vs_eager": held and held.ratio.value,
        "vs_eager_interval": held and [held.ratio.low, held.ratio.high],
        "vs_eager_in_same_precision": held and held.baseline.precision == row.case.precision,
    }
