"""Records to the answer: one sentence, one row a case, and what was left out and why; `views` makes columns of rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from statistics import median
from typing import Any

from bench.plans.case import Case
from bench.plans.words import label
from bench.records.baseline import BASELINE, Against, against_baseline, images_per_second
from bench.records.fields import Agreement, Largest, MemoryNumber
from bench.records.record import Record
from bench.roofline.floors import Measured
from bench.stats import Quantile, noise, quantile, ratio
from bench.text import at_pixels, digits, plural
from resnet.floors import Ceilings, Floor, network_floors

# the share of the machine's time above which other work, not the case, is what was timed
CROWDED = 0.1


@dataclass(frozen=True)
class Row:
    """A case over its rounds, of which `records` holds one each."""

    case: Case
    records: tuple[Record, ...]
    against: Against | None  # its speed over eager's
    ceilings: Ceilings | None = None  # those measured on the machine of its records

    @property
    def rounds(self) -> int:
        return len(self.records)

    @property
    def device(self) -> str:
        return self.records[0].device

    @cached_property
    def p50_ns(self) -> float:
        return self.middle(lambda record: _p50(record, "latency_ns")) or 0.0

    @cached_property
    def images_per_s(self) -> float:
        return median(map(images_per_second, self.records))

    @cached_property
    def noise(self) -> float | None:
        """Half-width of the 95 % interval of the p50, relative: of one process's samples, or over the rounds."""
        if self.rounds == 1:
            return noise(self.records[0].kept("latency_ns"))
        return ratio([(median(record.kept("latency_ns")), 1.0) for record in self.records]).half_width

    def floors(self, fusion: str) -> tuple[Floor, ...]:
        """The least times of its kernels under a fusion model; none where the machine's ceilings are not known."""
        case = self.case
        if self.ceilings is None or case.precision not in self.ceilings.flops:
            return ()
        return network_floors(case.model, case.batch, case.image, case.precision, self.ceilings, fusion)

    def floor_ns(self, fusion: str) -> float | None:
        """Their sum: what `p50_ns` would be if every kernel reached the machine's ceilings."""
        return 1e9 * sum(floor.seconds for floor in self.floors(fusion)) or None

    @property
    def asked(self) -> float | None:
        return self.records[0].latency_stop.get("asked")

    def middle(self, value: Callable[[Record], Any]) -> float | None:
        """The median over the rounds of a number that a record may lack."""
        known = [number for record in self.records if (number := value(record)) is not None]
        return median(known) if known else None

    def p50(self, samples: str) -> float | None:
        """Of a field of samples: the median over the rounds of their medians, in nanoseconds."""
        return self.middle(lambda record: _p50(record, samples))

    @cached_property
    def p99(self) -> Quantile | None:
        return self._tail(0.99)

    @cached_property
    def p999(self) -> Quantile | None:
        return self._tail(0.999)

    def _tail(self, p: float) -> Quantile | None:
        """A quantile of the latency over all rounds, if their samples together support it."""
        return quantile(list(chain.from_iterable(record.kept("latency_ns") for record in self.records)), p)

    def most(self, number: MemoryNumber) -> int | None:
        """The largest of a memory number over the rounds, in bytes."""
        return max((found for record in self.records if (found := record.memory.get(number)) is not None), default=None)

    @property
    def memory(self) -> int | None:
        return self.most("device_process" if self.device == "cuda" else "host_resident_peak")

    def worst(self, key: Agreement) -> float | None:
        """Over all checks and rounds: the largest multiple of plain torch's error, the least top-1 agreement."""
        found = [check[key] for record in self.records for check in record.gate.values() if key in check]
        return (min(found) if key.startswith("top1") else max(found)) if found else None


def _p50(record: Record, samples: str) -> float | None:
    kept = record.kept(samples)
    return median(kept) if kept else None


def rows(records: Iterable[Record]) -> list[Row]:
    """One row per case that was measured, the fastest of each model and batch first."""
    good: dict[Case, dict[int, Record]] = defaultdict(dict)
    for record in records:
        if record.status == "ok" and record.latency_ns and record.throughput:
            good[record.case][record.round] = record
    held = against_baseline(chain.from_iterable(found.values() for found in good.values()))
    measured = Measured()
    made = [
        Row(case, tuple(found.values()), held.get(case), measured.of(found.values())) for case, found in good.items()
    ]
    return sorted(made, key=lambda row: (_depth(row.case), row.case.image, row.case.batch, -row.images_per_s))


def _depth(case: Case) -> tuple[int, str]:
    return len(case.model), case.model  # resnet50 before resnet101


def answer(found: list[Row]) -> str:
    """What a person came to know: the fastest way at each batch, and by how much."""
    if not found:
        return "No case was measured."
    groups: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    for row in found:
        groups[row.case.model, row.case.image, row.case.batch].append(row)
    said = []
    for (model, image, batch), group in groups.items():
        best, size = group[0], at_pixels(image)
        text = f"{model}{size}, batch {batch}: {label(best.case)} is fastest, {digits(best.images_per_s)} images/s"
        eager = [row for row in group if row.case.variant == BASELINE and row.case.launch == "stream"]
        if eager and eager[0] is not best:
            text += f", {best.images_per_s / eager[0].images_per_s:.2f} times the best eager ({label(eager[0].case)})"
        if len(group) > 1:
            text += f"; {_lead(best, group[1])}"
        said.append(text + ".")
    return "\n".join(said)


def _lead(best: Row, second: Row) -> str:
    """How far ahead the best is, unless it is no further than the two medians are uncertain."""
    gain = best.images_per_s / second.images_per_s - 1
    doubt = (best.noise or 0.0) + (second.noise or 0.0)
    if gain <= doubt:
        return f"the next, {label(second.case)}, is within the noise of it"
    return f"{100 * gain:.0f} % faster than the next, {label(second.case)}"


def trust(records: list[Record], found: list[Row]) -> str:
    """How far the answer can be relied on: what the gate saw, how many processes stand behind each number."""
    wrong = sum(record.status == "wrong" for record in records)
    runs = f"{wrong} {plural(wrong, 'run')}"
    said = [f"{runs} failed the accuracy gate and got no speed" if wrong else "All answers passed the accuracy gate"]
    rounds = min((row.rounds for row in found), default=0)
    if rounds > 1:
        said.append(f"at least {rounds} processes stand behind each number")
    else:
        said.append("one process per case, so differences of a few percent may be noise (use --rounds)")
    said += [text for text in (_unquiet(found), _fallen(found), _crowded(found)) if text]
    return "; ".join(said) + "."


def _runs(found: list[Row]) -> list[Record]:
    return [record for row in found for record in row.records]


def _unquiet(found: list[Row]) -> str:
    runs = _runs(found)
    noisy = [record for record in runs if record.latency_stop.get("rule") == "time"]
    if not noisy:
        return ""
    target = f"{100 * max(record.latency_stop['asked'] for record in noisy):g} %"
    return (
        f"{len(noisy)} of {len(runs)} runs ended at their time limit, noisier than their ±{target} (bench env says why)"
    )


def _fallen(found: list[Row]) -> str:
    runs = _runs(found)
    fell = [record for record in runs if record.throttled]
    again = sum(attempt.get("status") == "ok" for record in runs for attempt in record.attempts)
    if not fell and not again:
        return ""
    reasons = ", ".join(dict.fromkeys(reason for record in fell for reason in record.watch.get("spoilt_s", ())))
    said = (
        f"in {len(fell)} of {len(runs)} runs the machine throttled ({reasons}): those samples do not count"
        if fell
        else ""
    )
    return "; ".join(filter(None, (said, f"{again} were run again for that" if again else "")))


def _crowded(found: list[Row]) -> str:
    runs = [record for record in _runs(found) if record.watch.get("others", 0.0) > CROWDED]
    if not runs or found[0].device == "cuda":
        return ""
    most = max(record.watch["others"] for record in runs)
    return f"OTHER WORK took up to {most:.0%} of this machine's time during {len(runs)} runs: stop it and run again"


def left_out(records: Iterable[Record]) -> list[tuple[str, str, list[Case]]]:
    """(status, reason, cases) of what has no speed, alike ones together."""
    groups: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for record in records:
        if record.status != "ok":
            groups[record.status, record.reason].append(record.case)
    return [(status, reason, list(dict.fromkeys(cases))) for (status, reason), cases in groups.items()]


def largest(records: Iterable[Record]) -> list[tuple[Case, Largest]]:
    """Of each case with batch `max`: the largest batch that fits, and what stopped the next."""
    found = {record.case: record.largest for record in records if record.status == "ok" and record.largest}
    return sorted(found.items(), key=lambda item: (_depth(item[0]), item[0]))
