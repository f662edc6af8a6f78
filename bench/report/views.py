"""The views of a table: named sets of columns over the same rows, each within 80 characters of a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

from bench.plans.words import variant_cell
from bench.records import quality
from bench.records.record import Record
from bench.report import cells
from bench.report.cells import Column, View, mib, ms
from bench.report.rows import Row, joules_per_image, watts
from bench.text import WORDS, digits


def _cold_s(record: Record) -> float | None:
    """Return the seconds of all parts of the cold start; None where one is not known, as the import of a forked one."""
    seconds: list[Any] = [value for part, value in record.cold.items() if part.endswith("_s")]
    return None if None in seconds else sum(seconds) or None


def _mb(size: float) -> str:
    return f"{size / 1e6:.3g}"


def _temperature(record: Record) -> float | None:
    return median(record.energy["temperature_c"]) if "temperature_c" in record.energy else None


def _mhz(record: Record) -> float | None:
    return record.watch["sm_mhz"][1] if "sm_mhz" in record.watch else None


def _memory_share(row: Row) -> float | None:
    floors = row.floors("conv")
    seconds = sum(floor.seconds for floor in floors)
    return sum(floor.seconds for floor in floors if floor.bound == "memory") / seconds if seconds else None


def _throttled_share(row: Row) -> float:
    samples = sum(record.counts[0] for record in row.records)
    return (samples - row.samples) / samples


CASE = (
    Column("variant", "variant", lambda row: variant_cell(row.case), text=True, mark=cells.choices_behind),
    Column("prec", "precision", lambda row: row.case.precision, text=True),
    Column("batch", "batch", lambda row: row.case.batch),
)
P50 = Column("p50 ms", "p50_ns", lambda row: row.p50_ns, ms)
SAMPLES = Column("samples", "samples", lambda row: row.samples)
P99 = Column("p99", "p99_ns", lambda row: row.p99 and row.p99.value, ms)
P99_BOUND = Column("p99 ≤", "p99_upper_ns", lambda row: row.p99 and row.p99.upper, ms)
IMAGES_PER_S = Column("images/s", "images_per_s", lambda row: row.images_per_s, digits, mark=cells.disturbed)
VS_EAGER = Column("vs eager", "vs_eager", lambda row: row.against, cells.times_eager)
DISTURBED = {"!": "every window was disturbed, and no ratio rests on it"}
OTHER_LAUNCH = {"^": "over the other launch", "?": "wider than 100 %"}
AGREEMENT = "agree: percent of further pictures with float32's top class, ± the longer half of its 95 % interval"
CHECKED = f"""rms error, max error: as multiples of plain torch's in that precision (above 3 or 4 a case is refused);
top-1: share of pictures whose top class is that of a float64 reference; torch top-1: that share of plain torch; codes:
of 8 bits, how far an integer is from the exact value of its step, in steps of the integers (0.5 where all are the
nearest); rms %: of 8 bits, the RMS difference of the logits to that reference, in percent of its own: a result, and no
reason to refuse; {AGREEMENT}"""
MEMORY = Column("MiB", "memory_bytes", lambda row: row.memory, mib)
RMS_ERROR = Column("rms error", "rms_multiple", lambda row: row.worst("rms_multiple"), "{:.2f}".format)
MAX_ERROR = Column("max error", "max_multiple", lambda row: row.worst("max_multiple"), "{:.2f}".format)
TORCH_TOP1 = Column("torch top-1", "top1_plain", lambda row: row.worst("top1_plain"), "{:.2f}".format)
CODES = Column("codes", "code_distance", lambda row: row.worst("code_distance"), "{:.3f}".format)
RMS_OFF = Column("rms %", "rms_relative", lambda row: row.worst("rms_relative"), cells.percent_rms)
TOP1 = Column("top-1", "top1", lambda row: row.worst("top1"), "{:.2f}".format)
ENERGY = Column("J/image", "joules_per_image", lambda row: row.median_over_rounds(joules_per_image), "{:.4f}".format)

AGREE = Column("agree", "agreement", lambda row: quality.agreement(row.score), cells.percent_share)
RIGHT = Column("right", "accuracy", lambda row: quality.accuracy(row.score), cells.percent_share)
LOSS = Column("loss", "accuracy_loss", lambda row: quality.loss(row.score), partial(cells.percent_share, places=1))

VIEWS = {
    "speed": View(
        (
            *CASE,
            P50,
            Column("±%", "p50_half_width", cells.noise, cells.half_width),
            IMAGES_PER_S,
            VS_EAGER,
            MEMORY,
            Column("error", "rms_multiple", lambda row: row.worst("rms_multiple"), "{:.1f}".format),
        ),
        """p50 ms: median latency, host time, one execution at a time; ±%: half-width of its 95 % confidence interval;
        images/s: throughput, executions enqueued back to back; vs eager: images/s over eager's in the same precision
        and launch, with half the 95 % interval over the rounds, else the turns of one, else each process's windows
        (none: too few); MiB: {memory}; error: RMS error of the worst check, a multiple of plain torch's in that
        precision (above 3 a case is refused)""",
        {
            "±%": {">": "the plan's target, which was not reached"},
            "images/s": DISTURBED,
            "vs eager": {"*": "over eager's fp32", **OTHER_LAUNCH},
        },
        sparse=True,
    ),
    "floor": View(
        (
            *CASE,
            P50,
            Column("floor", "floor_ns", lambda row: row.floor_ns("conv"), ms),
            Column("% of roof", "roof_share", lambda row: row.floor_share("conv"), "{:.0%}".format),
            Column("block", "block_floor_ns", lambda row: row.floor_ns("block"), ms),
            Column("block %", "block_roof_share", lambda row: row.floor_share("block"), "{:.0%}".format),
            Column("mem %", "floor_memory_share", _memory_share, "{:.0%}".format),
        ),
        """floor: the least p50 by the roofline model, in ms, with one kernel a convolution, each as fast as the
        machine's measured ceilings allow; block: the same with one kernel a residual block; % of roof, block %: that
        time over p50, so that 100% is as fast as the roofline, and over 100% the machine was busy while they
        were measured, or work was saved (kernels fused further, bytes that stayed in a cache, an algorithm that
        multiplies less); mem %: share of the floor in kernels that memory traffic limits, not FLOPs""",
        {"floor": {"-": "no ceilings of its machine (bench ceilings measures them)"}},
    ),
    "latency": View(
        (
            *CASE,
            replace(P50, title="p50"),
            Column("gpu", "gpu_p50_ns", lambda row: row.p50("gpu_ns"), ms),
            Column("cold L2", "cold_l2_p50_ns", lambda row: row.p50("flushed_ns"), ms),
            Column("gpu cold", "cold_l2_gpu_p50_ns", lambda row: row.p50("flushed_gpu_ns"), ms),
            Column("dropped", "throttled_share", _throttled_share, "{:.1%}".format),
            Column(
                "warmup",
                "warmup_s",
                lambda row: row.median_over_rounds(lambda record: record.warmup.get("s")),
                "{:.1f} s".format,
            ),
        ),
        """Medians, in ms; p50: host time from the call to the result, caches warm; gpu: device time without the
        host's share, of other executions; cold L2, gpu cold: the same two with the last-level cache (a GPU's L2)
        emptied before each execution (small batches); dropped: share of the latency samples that count in no
        number here, as the machine throttled meanwhile; warmup: time until the samples were stationary""",
        sparse=True,
    ),
    "tail": View(
        (
            *CASE,
            SAMPLES,
            P50,
            P99,
            P99_BOUND,
            Column("p99.9", "p999_ns", lambda row: row.p999 and row.p999.value, ms),
            Column("p99.9 ≤", "p999_upper_ns", lambda row: row.p999 and row.p999.upper, ms),
        ),
        """Host time in ms; samples: latency samples that count; p50 ms: the rounds' median; p99, p99.9: percentiles of
        the samples of all rounds; p99 ≤, p99.9 ≤: upper bounds of
        these processes' percentiles with 99 % confidence, whatever the distribution; another process may have more
        """,
        {
            "p99 ≤": {"-": "it needs 662 samples, more where they follow each other (--p99, or more --rounds)"},
            "p99.9 ≤": {"-": "it needs 6636 samples, more where they follow each other (--p99, or more --rounds)"},
        },
    ),
    "cold": View(
        (
            *CASE,
            Column("import", "import_s", lambda row: row.cold("import_s"), digits),
            Column("build", "build_s", lambda row: row.cold("build_s"), digits),
            Column("prepare", "prepare_s", lambda row: row.cold("prepare_s"), digits),
            Column("first", "first_call_s", lambda row: row.cold("first_call_s"), digits),
            Column("total s", "cold_s", lambda row: row.median_over_rounds(_cold_s), digits),
            Column("caches", "caches", lambda row: row.caches, text=True),
        ),
        """Cold start, in seconds of a process up to its first answer; import: of torch, not by a forked process; build:
        the model; prepare: the variant (exporting, compiling, tuning); first: the first call; total s: all, and
        placing inputs; caches: the state of the compile caches on disk (--cold empties them)""",
    ),
    "deploy": View(
        (
            *CASE,
            Column("artefact", "artefact", lambda row: row.records[-1].artefact.get("kind"), text=True),
            Column("MB", "artefact_bytes", lambda row: row.records[-1].artefact.get("bytes"), _mb),
            Column("import", "import_s", lambda row: row.cold("import_s"), digits),
            Column("load", "load_s", lambda row: row.cold("load_s"), digits),
            Column("first", "first_call_s", lambda row: row.cold("first_call_s"), digits),
            Column("answer s", "first_answer_s", lambda row: row.cold("first_answer_s"), digits),
        ),
        """artefact: the file that one would deploy, of MB; import: of torch, in seconds, as all here; load: from that
        file, in memory already, to what can be called, in a process that found it made, and what it compiles cached
        (a state dict: reading it and preparing); first: the first call; answer s: a fresh process's first answer,
        import, load, placing inputs and first call""",
        {
            "artefact": {"-": "the record has none, so no MB and load, as those of older versions"},
            "answer s": {
                "-": "no artefact, or its process made it or was forked (RESNET_BENCH_START=fresh, without --cold)"
            },
        },
        wrapped=("variant",),
    ),
    "memory": View(
        (
            *CASE,
            Column("weights", "weights_bytes", lambda row: row.peak_memory("weights"), mib),
            Column("alloc.", "allocator_allocated_peak", lambda row: row.peak_memory("allocator_allocated_peak"), mib),
            Column("reserved", "allocator_reserved_peak", lambda row: row.peak_memory("allocator_reserved_peak"), mib),
            Column("device", "device_process", lambda row: row.peak_memory("device_process"), mib),
            Column("host", "host_resident_peak", lambda row: row.peak_memory("host_resident_peak"), mib),
        ),
        """In MiB, the largest of the rounds; weights: as the variant holds them; alloc., reserved: peaks of torch's
        allocator while measuring; device: this process on the device (NVML), which alone sees ONNX Runtime and
        captured graphs; host: peak resident set while measuring, of a forked process with its server's pages""",
        sparse=True,
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
        clock during the timing; images/s: as in the speed view""",
        {"images/s": DISTURBED},
    ),
    "accuracy": View(
        (
            *(*CASE, RMS_ERROR, MAX_ERROR, TOP1),
            TORCH_TOP1,
            *(CODES, RMS_OFF),
        ),
        f"""The gate's few pictures, the worst of all checks and rounds (right answers: --view precisions);
        {CHECKED}""",
        wrapped=("variant",),
        sparse=True,
    ),
    "precisions": View(
        (
            *(CASE[0], replace(CASE[1], mark=lambda row: cells.eight_bit_marks(row.quantized)), CASE[2]),
            IMAGES_PER_S,
            Column("vs fp32", "vs_fp32", lambda row: row.against_float32, cells.times_float32),
            MEMORY,
            Column("disk", "disk_bytes", lambda row: row.disk_bytes, _mb),
            Column("rms", "score_rms", lambda row: row.score.get("rms", row.worst("rms_relative")), cells.percent_rms),
            AGREE,
            RIGHT,
            LOSS,
        ),
        f"""vs fp32: images/s over those of the same variant in fp32, with half the 95 % interval; MiB: {{memory}};
        disk: MB of the file of weights, else of the weights in memory; rms: RMS difference of the answers to
        float32's, in percent; {AGREEMENT}; right: percent of labelled pictures that are right; loss: percentage
        points that float32 has more on the same pictures, paired, ± the longer half of its interval""",
        {"prec": cells.EIGHT_BIT_MARKS, "images/s": DISTURBED, "vs fp32": {"*": "over eager's fp32", **OTHER_LAUNCH}},
        wrapped=("variant",),
        sparse=True,
    ),
}

# of `bench verify`, beside a case and its status
GATE = View((RMS_ERROR, MAX_ERROR, TOP1, CODES, RMS_OFF, AGREE), CHECKED, sparse=True)

TITLES = {column.title for view in (*VIEWS.values(), GATE) for column in view.columns}


def usual_view(rows: Iterable[Row]) -> str:
    """Return the usual view of rows: 8 bits never stand without what they cost."""
    return "precisions" if any(row.is_eight_bits for row in rows) else "speed"


def notes(view: View, rows: list[Row]) -> str:
    """Return what the columns and marks of the table mean that these rows have, and where the words are explained."""
    view = view.of(rows)
    on_gpu = any(row.device == "cuda" for row in rows)
    memory = "memory of the process on the device" if on_gpu else "peak resident memory of the process"
    clauses = []
    for clause in " ".join(view.meaning.split()).format(memory=memory).split("; "):
        named = set(clause.partition(": ")[0].split(", "))
        if named & set(view.titles) or not named & TITLES:
            clauses.append(clause)
    for column in (column for column in view.columns if column.title in view.marks):
        texts = [column.cell(row) for row in rows]
        for mark, text in view.marks[column.title].items():
            if any(mark in cell for cell in texts):
                clauses.append(f"{mark} ({column.title}): {text}")
    return f"{'; '.join(clauses)}. {WORDS}"
