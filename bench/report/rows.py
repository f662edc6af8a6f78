"""Records reduced to a row for each case that was measured, and to the cases that have no speed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from functools import cache, cached_property
from statistics import median
from typing import Any

from bench.plans.case import Case
from bench.records import quality
from bench.records.baseline import Against, against_baseline, float32_of, measured_ways
from bench.records.fields import Agreement, Largest, MemoryNumber, Quantized, Score
from bench.records.record import Record
from bench.records.same import Traits, Way, by_way, in_words
from bench.records.speed import images_per_second, rate_interval, turn_rates, undisturbed
from bench.roofline.floors import measured_ceilings
from bench.stats import (
    LEAST_PROCESSES,
    Quantile,
    bound_of_another,
    noise,
    quantile_of_processes,
    ratio,
    samples_needed,
)
from bench.text import USUAL
from resnet.floors import Ceilings, Floor, described_floors

P99, P999 = 0.99, 0.999


@dataclass(frozen=True, eq=False)
class Row:
    """A case, run in one way, over its rounds: `records` holds one for each."""

    case: Case
    records: tuple[Record, ...]
    against: Against | None  # the ratio of its speed to eager's
    ceilings: Ceilings | None = None  # of the machine of its records
    against_float32: Against | None = None  # the ratio of its speed to that of fp32
    scored: Record | None = None  # whose score counts, of this or of other folders
    traits: Traits = ()  # that records of this model differ in, as `by_way` has them

    @property
    def choices(self) -> str:
        """The words that tell the row from others of its model; empty where all were run alike."""
        return in_words(self.traits)

    @property
    def rounds(self) -> int:
        return len(self.records)

    @property
    def device(self) -> str:
        return self.records[0].device

    @cached_property
    def p50_ns(self) -> float:
        return self.median_over_rounds(lambda record: record.p50_ns("latency_ns")) or 0.0

    @cached_property
    def images_per_s(self) -> float:
        return median(map(images_per_second, undisturbed(self.records)))

    @cached_property
    def is_disturbed(self) -> bool:
        """True if no round has a window that nothing disturbed, so that the images/s are of a disturbed machine."""
        return not any(map(turn_rates, self.records))

    @cached_property
    def images_per_s_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the images/s; None where the windows and rounds are too few for one."""
        return rate_interval(self.records)

    @cached_property
    def noise(self) -> float | None:
        """The half-width of the 95 % interval of the p50, relative: of one process's samples, or over the rounds."""
        if self.rounds == 1:
            return noise(self.records[0].kept("latency_ns"))
        return ratio([(p50, 1.0) for record in self.records if (p50 := record.p50_ns("latency_ns"))]).half_width

    @cache  # noqa: B019 - rows last as long as the report
    def floors(self, fusion: str) -> tuple[Floor, ...]:
        """Return the least times of its kernels under a fusion model.

        There are none where the ceilings were not measured, nor of a model from outside that was not counted, or under
        another fusion model than COUNTED.
        """
        case, network, wide = self.case, self.records[0].network, quality.wide_precisions(self.quantized, self.device)
        if self.ceilings is None or not {case.precision, *wide.values()} <= self.ceilings.flops.keys():
            return ()
        about = case.model, case.batch, case.image, case.precision, network, self.ceilings, fusion, wide
        return described_floors(*about)

    def floor_ns(self, fusion: str) -> float | None:
        """Return the sum of `floors` in ns: the p50 if every kernel reached the machine's ceilings."""
        return 1e9 * sum(floor.seconds for floor in self.floors(fusion)) or None

    def floor_share(self, fusion: str) -> float | None:
        """Return the floor over the p50: 1 is as fast as the roofline allows; None where there is no floor."""
        floor = self.floor_ns(fusion)
        return floor / self.p50_ns if floor and self.p50_ns else None

    @property
    def score(self) -> Score:
        """The answers to further pictures, beside float32's; empty where it was not scored."""
        return self.scored.score if self.scored else Score()

    @property
    def right_by_chance(self) -> bool:
        """True of weights that nobody trained."""
        return self.records[-1].network.get("weights") == "synthetic"

    @property
    def is_eight_bits(self) -> bool:
        return quality.is_eight_bits(self.case)

    @property
    def quantized(self) -> Quantized:
        """How a network in 8 bits was calibrated and checked, of the newest record; empty of others."""
        return self.records[-1].quantized

    @property
    def disk_bytes(self) -> int | None:
        """Bytes of the weights: of their file in 8 bits, else in memory."""
        return self.most_over_rounds(quality.disk_bytes)

    @property
    def noise_target(self) -> float | None:
        """The noise at which sampling was to stop, as the plan sets it."""
        return self.records[0].latency_stop.get("asked")

    def median_over_rounds(self, value: Callable[[Record], Any]) -> float | None:
        """Return the median over the rounds of a number that a record may lack; None where all lack it."""
        numbers = [number for record in self.records if (number := value(record)) is not None]
        return median(numbers) if numbers else None

    def most_over_rounds(self, value: Callable[[Record], Any]) -> Any:
        """Return the largest over the rounds of a number that a record may lack; None where all lack it."""
        return max((number for record in self.records if (number := value(record)) is not None), default=None)

    def cold(self, part: str) -> float | None:
        """Return the median over the rounds of a part of the cold start, in seconds, or of `first_answer_s`."""
        if part == "first_answer_s":
            return self.median_over_rounds(lambda record: record.first_answer_s)
        return self.median_over_rounds(lambda record: record.artefact.get(part, record.cold.get(part)))

    @property
    def caches(self) -> str | None:
        """The states of the compile caches before the cold starts."""
        states = dict.fromkeys(record.cold["caches"] for record in self.records if "caches" in record.cold)
        return ", ".join(states) or None

    def p50(self, samples: str) -> float | None:
        """Return the median over the rounds of the medians of a field of samples, in nanoseconds."""
        return self.median_over_rounds(lambda record: record.p50_ns(samples))

    @cached_property
    def samples(self) -> int:
        """The number of the latencies of all rounds that were not taken while the machine throttled."""
        return sum(record.counts[1] for record in self.records)

    @property
    def latencies(self) -> list[Any]:
        """These latencies in nanoseconds, an array for each round in the order taken. They may be large."""
        import numpy as np

        return [np.array(record.kept("latency_ns"), np.int64) for record in self.records]

    @cached_property
    def _tails(self) -> dict[float, Quantile]:
        import numpy as np

        if not (supported := [p for p in (P99, P999) if self.samples >= samples_needed(p)]):
            return {}
        latencies = self.latencies
        ordered: Any = np.sort(np.concatenate(latencies))
        tails = {p: quantile_of_processes(latencies, p, ordered=ordered) for p in supported}
        return {p: Quantile(*map(int, astuple(tail))) for p, tail in tails.items() if tail}

    @property
    def p99(self) -> Quantile | None:
        """The p99 of the latency of these rounds together; None where their samples do not support it."""
        return self._tails.get(P99)

    @property
    def p999(self) -> Quantile | None:
        return self._tails.get(P999)

    @cached_property
    def p99_of_another(self) -> float | None:
        """The bound in ns, with 99 % confidence, of the p99 that another process has; None of too few rounds."""
        return bound_of_another(self.latencies, P99) if self.p99 and self.rounds >= LEAST_PROCESSES else None

    def peak_memory(self, number: MemoryNumber) -> int | None:
        """Return the largest of a memory number over the rounds, in bytes.

        That of the host is of one way of starting: of fresh processes, where there are any, as forked ones have the
        pages of their server.
        """
        forked = [number.startswith("host") and record.runtime.get("process") == "forked" for record in self.records]
        counted = {id(one) for one, is_forked in zip(self.records, forked, strict=True) if all(forked) or not is_forked}
        return self.most_over_rounds(lambda record: record.memory.get(number) if id(record) in counted else None)

    @property
    def memory(self) -> int | None:
        """The peak memory of the process in bytes: on the device, or for a CPU resident on the host."""
        return self.peak_memory("device_process" if self.device == "cuda" else "host_resident_peak")

    def worst(self, key: Agreement) -> float | None:
        """Return the worst value of the gate's checks over all rounds: the largest error, the least top-1 agreement."""
        worst = [value for record in self.records if (value := quality.worst_check(record, key)) is not None]
        return (min if key.startswith("top1") else max)(worst, default=None)


def joules_per_image(record: Record) -> float | None:
    """Return the energy of the whole card per image; None where it was not read."""
    return record.energy["joules"] / record.energy["images"] if "joules" in record.energy else None


def watts(record: Record) -> float | None:
    """Return the mean power of the whole card; None where its energy was not read."""
    seconds = record.energy.get("s")
    return record.energy["joules"] / seconds if seconds and "joules" in record.energy else None


def all_disturbed(rows: Iterable[Row]) -> bool:
    """Return whether no images/s of these rows say anything of their order."""
    return all(row.is_disturbed for row in rows)


def rows_from_records(records: Iterable[Record]) -> list[Row]:
    """Return a row for each way that was measured, the fastest of each model and batch first.

    The score of a row may be another record's, of the same network, precision, weights and machine.
    """
    records = list(records)
    measured = measured_ways(records)
    ratios, over_float32 = against_baseline(measured), against_baseline(measured, float32_of)
    scores = quality.scored_records(records)
    rows = [
        Row(
            way[0], tuple(rounds), ratios.get(way), measured_ceilings(rounds), over_float32.get(way),
            next((scores[key] for key in map(quality.score_key, rounds if scores else ()) if key in scores), None),
            way[1],
        )
        for way, rounds in measured.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (_depth(row.case), row.case.image, row.case.batch, -row.images_per_s))


def _depth(case: Case) -> tuple[int, str]:
    return len(case.model), case.model  # resnet50 before resnet101


def group_rows(rows: Iterable[Row]) -> dict[tuple[str, int, int], list[Row]]:
    """Return the rows by model, image size and batch, the fastest first."""
    groups: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.case.model, row.case.image, row.case.batch].append(row)
    return groups


def model_at(case: Case) -> str:
    """Return a case's model as tables have it: with the image size behind it if that is not the usual one."""
    return case.model + ("" if case.image == USUAL else f" {case.image}")


def group_without_speed(records: Iterable[Record]) -> list[tuple[str, str, list[Case]]]:
    """Return (status, reason, cases) of the records without a speed, those with the same reason together."""
    groups: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for (case, traits), of_way in by_way(records).items():
        for record in of_way:
            if record.status != "ok":
                choices = f" ({in_words(traits)})" * (bool(traits) and record.status != "skipped")
                groups[record.status, record.reason + choices].append(case)
    return [(status, reason, list(dict.fromkeys(cases))) for (status, reason), cases in groups.items()]


def largest_batches(records: Iterable[Record]) -> list[tuple[Way, Largest]]:
    """Return the search for the largest batch of each way with batch `max`: what fits, and what stopped the next."""
    good = [(way, one.largest) for way, ones in by_way(records).items() for one in ones if one.status == "ok"]
    searches = {way: search for way, search in good if search}
    return sorted(searches.items(), key=lambda item: (_depth(item[0][0]), item[0]))
