"""The views of a table: named sets of columns over the same rows, each within 80 characters of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from bench.plans.words import variant_cell
from bench.records.baseline import Against
from bench.records.record import Record
from bench.report.answer import times
from bench.report.rows import Row, joules_per_image, watts
from bench.text import WORDS, digits, half_width_percent

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
    mark: Callable[[Row], str] = lambda row: ""  # behind a value, with what the meaning says

    def cell(self, row: Row) -> str:
        value = self.value(row)
        if isinstance(value, float) and abs(value) >= 1e15:  # no measurement: not shown with all its digits
            return digits(value)
        return NONE if value is None else self.show(value) + self.mark(row)


@dataclass(frozen=True)
class View:
    """The columns of a table and their meaning."""

    columns: tuple[Column, ...]
    meaning: str

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(column.title for column in self.columns)

    def cells(self, row: Row) -> tuple[str, ...]:
        return tuple(column.cell(row) for column in self.columns)


def _ms(value: float) -> str:
    return digits(value / 1e6)


def _mib(value: float) -> str:
    return f"{value / MIB:.0f}"


def _noise(row: Row) -> tuple[float, float | None] | None:
    return None if row.noise is None else (row.noise, row.noise_target)


def _half_width(pair: tuple[float, float | None]) -> str:
    """Format the half-width in percent; where it is wider than the target, with the target: 7.3>5."""
    reached, target = pair
    return half_width_percent(reached) + (f">{100 * target:g}" if target and target < reached <= 1 else "")


def times_eager(against: Against) -> str:
    """Return the ratio to eager, with its half-width and with marks of a baseline in fp32, or of the other launch."""
    if against.case == against.baseline:
        return "1.00"
    marks = ("" if against.same_precision else "*") + ("" if against.same_launch else "^")
    return times(against.ratio).replace("±>100%", "±?") + marks  # so that it fits the column


def _cold_total(row: Row) -> float | None:
    return row.median_over_rounds(lambda record: sum(v for k, v in record.cold.items() if k.endswith("_s")) or None)


def _warmup_s(record: Record) -> float | None:
    return record.warmup.get("s")


def _temperature(record: Record) -> float | None:
    return median(record.energy["temperature_c"]) if "joules" in record.energy else None


def _mhz(record: Record) -> float | None:
    return record.watch["sm_mhz"][1] if "sm_mhz" in record.watch else None


def _memory_share(row: Row) -> float | None:
    floors = row.floors("conv")
    seconds = sum(floor.seconds for floor in floors)
    return sum(floor.seconds for floor in floors if floor.bound == "memory") / seconds if seconds else None


def _throttled_share(row: Row) -> float:
    samples = sum(len(record.latency_ns) for record in row.records)
    return (samples - len(row.latency_samples)) / samples


CASE = (
    Column("variant", "variant", lambda row: variant_cell(row.case), text=True),
    Column("prec", "precision", lambda row: row.case.precision, text=True),
    Column("batch", "batch", lambda row: row.case.batch),
)
P50 = Column("p50 ms", "p50_ns", lambda row: row.p50_ns, _ms)
SAMPLES = Column("samples", "samples", lambda row: len(row.latency_samples))
P99 = Column("p99", "p99_ns", lambda row: row.p99 and row.p99.value, _ms)
P99_BOUND = Column("p99 ≤", "p99_upper_ns", lambda row: row.p99 and row.p99.upper, _ms)
IMAGES_PER_S = Column(
    "images/s", "images_per_s", lambda row: row.images_per_s, digits, mark=lambda row: "!" * row.is_disturbed
)
DISTURBED = "An ! behind images/s: every window was disturbed, and no ratio rests on it."
MEMORY = Column("MiB", "memory_bytes", lambda row: row.memory, _mib)
TOP1 = Column("top-1", "top1", lambda row: row.worst("top1"), "{:.2f}".format)
ENERGY = Column("J/image", "joules_per_image", lambda row: row.median_over_rounds(joules_per_image), "{:.4f}".format)

VIEWS = {
    "speed": View(
        (
            *CASE,
            P50,
            Column("±%", "p50_half_width", _noise, _half_width),
            IMAGES_PER_S,
            Column("vs eager", "vs_eager", lambda row: row.against, times_eager),
            MEMORY,
            Column("error", "rms_multiple", lambda row: row.worst("rms_multiple"), "{:.1f}".format),
        ),
        """p50: median latency, host time, one execution at a time; ±%: half-width of its 95 % confidence interval,
        and behind a > the plan's target where that was not reached; images/s: throughput, executions enqueued back
        to back; vs eager: ratio of images/s to eager's in the same precision and launch (*: in fp32, ^: with the other
        launch, as eager has no such case), with the half-width of its 95 % confidence interval over the rounds,
        else the turns of one, else each process's windows (none: too few, ?: over 100 %); MiB: {memory}; error:
        RMS error of the worst check, a multiple of plain torch's in that precision (above 3 a case is refused).""",
    ),
    "floor": View(
        (
            *CASE,
            P50,
            Column("floor", "floor_ns", lambda row: row.floor_ns("conv"), _ms),
            Column("% of roof", "roof_share", lambda row: row.floor_share("conv"), "{:.0%}".format),
            Column("block", "block_floor_ns", lambda row: row.floor_ns("block"), _ms),
            Column("block %", "block_roof_share", lambda row: row.floor_share("block"), "{:.0%}".format),
            Column("mem %", "floor_memory_share", _memory_share, "{:.0%}".format),
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
            Column("dropped", "throttled_share", _throttled_share, "{:.1%}".format),
            Column("warmup", "warmup_s", lambda row: row.median_over_rounds(_warmup_s), "{:.1f} s".format),
        ),
        """Medians, in ms. p50: host time from the call to the result, caches warm; gpu: device time without the
        host's share, of other executions; cold L2, gpu cold: the same two with the last-level cache (a GPU's L2)
        emptied before each execution (small batches); dropped: share of the latency samples that count in no
        number here, as the machine throttled meanwhile; warmup: time until the samples were stationary.""",
    ),
    "tail": View(
        (
            *CASE,
            SAMPLES,
            P50,
            P99,
            P99_BOUND,
            Column("p99.9", "p999_ns", lambda row: row.p999 and row.p999.value, _ms),
            Column("p99.9 ≤", "p999_upper_ns", lambda row: row.p999 and row.p999.upper, _ms),
        ),
        """Host time in ms. samples: latency samples that count; p50: the rounds' median; p99, p99.9: percentiles of
        the samples of all rounds; ≤: the percentile's upper bound with 99 % confidence, whatever the distribution. A
        percentile with too few samples is left out: p99 needs 662, p99.9 6636 (--p99, or more --rounds).""",
    ),
    "cold": View(
        (
            *CASE,
            Column("import", "import_s", lambda row: row.cold("import_s"), digits),
            Column("build", "build_s", lambda row: row.cold("build_s"), digits),
            Column("prepare", "prepare_s", lambda row: row.cold("prepare_s"), digits),
            Column("first", "first_call_s", lambda row: row.cold("first_call_s"), digits),
            Column("total s", "cold_s", _cold_total, digits),
            Column("caches", "caches", lambda row: row.caches, text=True),
        ),
        """Cold start, in seconds of a fresh process up to its first answer. import: of torch; build: the model;
        prepare: the variant (exporting, compiling, tuning); first: the first call; total: all, and placing inputs;
        caches: how the compile caches on disk were found (--cold empties them).""",
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
        """MiB, the largest of the rounds. weights: as the variant holds them; alloc., reserved: peaks of torch's
        allocator while measuring; device: this process on the device (NVML), which alone sees ONNX Runtime and
        captured graphs; host: peak resident set while measuring.""",
    ),
    "energy": View(
        (
            *CASE,
            ENERGY,
            Column("W", "energy_w", lambda row: row.median_over_rounds(watts), "{:.0f}".format),
            Column("°C", "temperature_c", lambda row: row.median_over_rounds(_temperature), "{:.0f}".format),
            Column("MHz", "sm_mhz", lambda row: row.median_over_rounds(_mhz), "{:.0f}".format),
            IMAGES_PER_S,
        ),
        """J/image: the whole card's energy counter over a window of throughput (measure.energy_s of the plan, at
        least 5 s); W: the mean power of that window; °C: the mean of the temperatures at its ends; MHz: the median SM
        clock during the timing; images/s: as in the speed view.""",
    ),
    "accuracy": View(
        (
            *CASE,
            Column("rms error", "rms_multiple", lambda row: row.worst("rms_multiple"), "{:.2f}".format),
            Column("max error", "max_multiple", lambda row: row.worst("max_multiple"), "{:.2f}".format),
            TOP1,
            Column("torch top-1", "top1_plain", lambda row: row.worst("top1_plain"), "{:.2f}".format),
        ),
        """rms error, max error: as multiples of plain torch's in that precision (above 3 or 4 a case is refused);
        top-1: share of pictures whose top class is that of a float64 reference; torch top-1: that share of plain
        torch. The worst of all checks and rounds.""",
    ),
}


def notes(view: View, rows: list[Row]) -> str:
    """Return what the view's columns mean, and where the words are explained, as one line."""
    on_gpu = any(row.device == "cuda" for row in rows)
    memory = "memory of the process on the device" if on_gpu else "peak resident memory of the process"
    marked = f"{DISTURBED} " * (IMAGES_PER_S in view.columns and any(row.is_disturbed for row in rows))
    return f"{' '.join(view.meaning.split())} {marked}{WORDS}".format(memory=memory)
