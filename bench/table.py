"""Records to the answer: one sentence, one table of 80 columns, and what was left out and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.case import Case
from bench.record import Record
from bench.stats import noise

BASELINE = "eager"
COLUMNS = ("variant", "prec", "batch", "p50 ms", "± %", "images/s", "vs eager", "MiB", "gate")
TEXT = COLUMNS[:2]  # set to the left, as words are
MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """A case over its rounds. `against` is its speed over eager's: the ratio of throughputs."""

    case: Case
    rounds: int
    p50_ns: float
    noise: float | None  # half-width of the 95 % interval of the median, relative: of its rounds, or of one's samples
    images_per_s: float
    against: float | None
    same_precision: bool  # whether eager ran in this precision, or fp32 stands in
    memory: int | None
    gate: float  # the largest multiple of plain torch's error, over all checks
    device: str


def rows(records: Iterable[Record]) -> list[Row]:
    """One row per case that was measured, the fastest of each model and batch first."""
    good: dict[Case, list[Record]] = defaultdict(list)
    for record in records:
        if record.status == "ok" and record.latency_ns and record.throughput:
            good[record.case].append(record)
    speeds = {case: median(map(_speed, found)) for case, found in good.items()}
    made = [_row(case, found, speeds) for case, found in good.items()]
    return sorted(made, key=lambda row: (_depth(row.case), row.case.image, row.case.batch, -row.images_per_s))


def _depth(case: Case) -> tuple[int, str]:
    return len(case.model), case.model  # resnet50 before resnet101


def _speed(record: Record) -> float:
    return record.throughput["images"] / record.throughput["ns"] * 1e9


def _row(case: Case, found: list[Record], speeds: dict[Case, float]) -> Row:
    base, same = _baseline(case, speeds)
    p50s = [median(record.latency_ns) for record in found]
    largest = found[0].memory.get("device_process") or found[0].memory.get("host_resident")
    return Row(
        case=case,
        rounds=len(found),
        p50_ns=median(p50s),
        noise=noise(p50s) if len(found) > 1 else noise(found[0].latency_ns),
        images_per_s=speeds[case],
        against=speeds[case] / base if base else None,
        same_precision=same,
        memory=largest,
        gate=max((check.get("rms_multiple", 0.0) for record in found for check in record.gate.values()), default=0.0),
        device=found[0].device,
    )


def _baseline(case: Case, speeds: dict[Case, float]) -> tuple[float | None, bool]:
    """Eager's speed on the same model and batch, launched on a stream: in the same precision, else in fp32."""
    for precision in dict.fromkeys((case.precision, "fp32")):
        twin = Case(case.model, BASELINE, precision, case.batch, case.image, "stream")
        if twin in speeds:
            return speeds[twin], precision == case.precision
    return None, False


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, in the order of COLUMNS."""
    graph = "+graph" if row.case.launch == "graph" else ""
    star = "" if row.same_precision else "*"
    return (
        row.case.variant + graph,
        row.case.precision,
        str(row.case.batch),
        _digits(row.p50_ns / 1e6),
        "-" if row.noise is None else f"{100 * row.noise:.1f}",
        _digits(row.images_per_s),
        "-" if row.against is None else f"{row.against:.2f}{star}",
        "-" if row.memory is None else f"{row.memory / MIB:.0f}",
        f"{row.gate:.1f}",
    )


def _digits(value: float) -> str:
    """Four significant digits, and no exponent."""
    whole = len(str(int(value)))
    return f"{value:,.{max(0, 4 - whole) if value >= 1 else 4}f}"


def answer(found: list[Row]) -> str:
    """What a person came to know: the fastest way at each batch, and by how much."""
    if not found:
        return "No case was measured."
    groups: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    for row in found:
        groups[row.case.model, row.case.image, row.case.batch].append(row)
    said = []
    for (model, image, batch), group in groups.items():
        best, size = group[0], "" if image == 224 else f" at {image} pixels"
        text = f"{model}{size}, batch {batch}: {_label(best)} is fastest, {_digits(best.images_per_s)} images/s"
        eager = [row for row in group if row.case.variant == BASELINE and row.case.launch == "stream"]
        if eager and eager[0] is not best:
            text += f", {best.images_per_s / eager[0].images_per_s:.2f} times the best eager ({_label(eager[0])})"
        if len(group) > 1:
            text += f"; {_lead(best, group[1])}"
        said.append(text + ".")
    return "\n".join(said)


def _lead(best: Row, second: Row) -> str:
    """How far ahead the best is, unless it is no further than the two medians are uncertain."""
    gain = best.images_per_s / second.images_per_s - 1
    doubt = (best.noise or 0.0) + (second.noise or 0.0)
    if gain <= doubt:
        return f"the next, {_label(second)}, is within the noise of it"
    return f"{100 * gain:.0f} % faster than the next, {_label(second)}"


def _label(row: Row) -> str:
    return "/".join((row.case.variant, row.case.precision) + (("graph",) if row.case.launch == "graph" else ()))


def trust(records: list[Record], found: list[Row]) -> str:
    """How far the answer can be relied on: what the gate saw, how many processes stand behind each number."""
    wrong = sum(record.status == "wrong" for record in records)
    runs = f"{wrong} run{'s' * (wrong != 1)}"
    said = [f"{runs} failed the gate and got no speed" if wrong else "Every answer measured passed the gate"]
    rounds = min((row.rounds for row in found), default=0)
    if rounds > 1:
        said.append(f"at least {rounds} processes stand behind each number")
    else:
        said.append("one process per case, so differences of a few percent may be noise (--rounds tells)")
    noisy = [record for record in records if record.latency_stop.get("rule") == "time"]
    if noisy:
        asked = max(record.latency_stop["asked"] for record in noisy)
        share = f"{len(noisy)} of {sum(row.rounds for row in found)}"
        limit = f"more noise than the {100 * asked:g} % asked"
        said.append(f"{share} runs ended at their time limit with {limit} (bench env says why)")
    return "; ".join(said) + "."


NOTES = (
    "p50: one execution at a time, host time; ± %: half its 95 % interval; images/s: enqueued back to back; "
    "vs eager: ratio of images/s, eager in the same precision (*: in fp32, as eager has no such case); MiB: {memory}; "
    "gate: largest error as a multiple of plain torch's in that precision (3 is refused)."
)


def notes(found: list[Row]) -> str:
    """What the columns mean."""
    on_gpu = any(row.device == "cuda" for row in found)
    return NOTES.format(memory="this process on the device" if on_gpu else "this process's resident memory")


def left_out(records: Iterable[Record]) -> list[tuple[str, str, list[Case]]]:
    """(status, reason, cases) of what has no speed, alike ones together."""
    groups: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for record in records:
        if record.status != "ok":
            groups[record.status, record.reason].append(record.case)
    return [(status, reason, list(dict.fromkeys(cases))) for (status, reason), cases in groups.items()]


def summary(cases: list[Case]) -> str:
    """Cases in few words, which a line of 80 columns can break: every word of each axis."""
    if len(cases) == 1:
        return cases[0].name
    words = [
        ", ".join(dict.fromkeys(str(getattr(case, axis)) for case in cases))
        for axis in ("model", "variant", "precision", "batch", "launch")
    ]
    words[3] = f"batch {words[3]}"
    return f"{len(cases)} cases ({'; '.join(words)})"


def as_json(records: list[Record]) -> dict[str, Any]:
    """The table, the answer and what was left out, for --json."""
    found = rows(records)
    return {
        "answer": answer(found),
        "rows": [
            {
                "case": row.case.name,
                "rounds": row.rounds,
                "p50_ms": row.p50_ns / 1e6,
                "noise": row.noise,
                "images_per_s": row.images_per_s,
                "vs_eager": row.against,
                "vs_eager_in_same_precision": row.same_precision,
                "memory_bytes": row.memory,
                "gate_multiple": row.gate,
            }
            for row in found
        ],
        "left_out": [
            {"status": status, "reason": reason, "cases": [case.name for case in cases]}
            for status, reason, cases in left_out(records)
        ],
    }
