"""The results of `bench capacity`: the services of each model on each machine, ranked, with curves and devices."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from bench.commands import command_line
from bench.dependence import independent_beyond
from bench.errors import StoreError
from bench.machine.environment import environment
from bench.plans.words import heading
from bench.records import quality
from bench.records.again import command_again, elsewhere
from bench.records.record import Record
from bench.records.same import group_by_machine, machine_label
from bench.records.speed import other_work
from bench.serving import capacity
from bench.serving.capacity import Capacity, Fleet, Point, curve_rates, fleet_for, latency_curve, rank_services
from bench.serving.check import default_batches
from bench.serving.queue import Service, services
from bench.stats import is_beyond, samples_needed
from bench.text import plural

SHOWN = 8  # services of a model; the others are slower, and each takes two seconds
LOADS = tuple(10.0**power for power in range(2, 8))


def measured_records(records: list[Record], folder: object) -> list[Record]:
    """Return the records of a folder. Raises StoreError where none of them was measured."""
    if not any(record.status == "ok" and record.latency_ns for record in records):
        raise StoreError(f"{folder}: no case was measured; `{command_line('report', folder)}` shows what there is")
    return records


def group_services(records: list[Record]) -> list[tuple[str, list[Service]]]:
    """Return a heading for each machine, model and image size, with the services to choose among.

    Those in 8 bits, which answer otherwise than float32, are apart.
    """
    machines = group_by_machine(records)
    groups: dict[tuple[str, str, int, str], list[Service]] = {}
    for machine, records_of_machine in machines.items():
        for service in services(records_of_machine):
            case = service.case
            bits = f", in {case.precision}" if quality.is_eight_bits(case) else ""
            groups.setdefault((machine_label(machine, machines), case.model, case.image, bits), []).append(service)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], len(item[0][1]), item[0]))
    return [(heading(model, image, machine) + bits, group) for (machine, model, image, bits), group in ordered]


class Group:
    """The capacities of one model's services on one machine, best first, with their curves and devices."""

    def __init__(self, heading: str, capacities: list[Capacity], more: int) -> None:
        self.heading, self.capacities, self.more = heading, capacities, more
        self.at_rate: list[Point | None] = []  # the latency of each at its rate
        self.points: list[list[Point]] = []  # the curve of the best
        self.fleets: list[list[Fleet]] = []  # devices by load, of each

    def add_curves(self, load: float | None, seed: int) -> None:
        """Add the curve of the best, and the devices of each for `load`, or for LOADS without it."""
        for best in self.capacities:
            setting, limit, rate = (best.service, best.batching), best.limit_ns, best.safe_rate
            at_rate = latency_curve(*setting, [rate], limit, capacity.REQUESTS, seed) if rate else []
            self.at_rate.append(at_rate[0] if at_rate else None)
            if not self.points:
                curve = latency_curve(*setting, curve_rates(best.saturation), limit, seed=seed)
                self.points.append(sorted([*curve, *at_rate], key=lambda point: point.rate))
            loads = [load] if load else [*([rate] if rate else []), *LOADS]
            self.fleets.append([fleet_for(load, best) for load in loads])

    @property
    def other_work(self) -> float:
        """The largest share of the machine that other work took while these were measured; 0 within the limit."""
        return max(other_work(record for one in self.capacities for record in one.service.records), default=0.0)

    @property
    def few(self) -> dict[int, int]:
        """The number of samples by batch that are too few for the answer: for a rate, or for that there is none."""
        if self.capacities[0].rate or self.other_work:
            return few_samples(self.capacities[0])
        return next((few_samples(one) for one in self.capacities if not _is_surely_late(one)), {})

    @property
    def doubt(self) -> str:
        """The reasons why these records cannot tell; empty where samples are enough, and no other work was beside."""
        reasons = [f"other work took up to {self.other_work:.0%} of the machine"] if self.other_work else []
        if self.few:
            count = min(self.few.values())
            reasons.append(f"{count} {plural(count, 'sample is', 'samples are')} too few for a p99")
        return " and ".join(reasons)

    @property
    def price(self) -> str:
        """The cost of the best, of a group in 8 bits, in words; empty of others."""
        best = self.capacities[0].service
        scored = quality.scored_records(best.records)
        record = max(scored.values(), key=lambda one: one.score.get("pictures", 0), default=None)
        return quality.describe_score(record.score if record else {}) if quality.is_eight_bits(best.case) else ""

    @property
    def padded_to(self) -> int:
        """The batch that one request is padded to, where none is measured that is smaller; 0 where one is alone."""
        smallest = self.capacities[0].batching.sizes[0]
        return smallest if smallest > 1 else 0

    def run_for_samples(self) -> str:
        """Return the run of the best that brings samples or smaller batches that would tell; empty where none does."""
        best = self.capacities[0]
        records = [record for record in best.service.records if record.case.batch in best.batching.sizes]
        if not ((self.doubt or self.padded_to) and records):
            return ""
        sizes = sorted({*(default_batches(self.padded_to) if self.padded_to else ()), *best.batching.sizes})
        cases = [replace(records[-1].case, batch=size) for size in sizes]
        command = command_again(["run"], records[-1], cases, "--p99", "--rounds", 1)
        return f"{elsewhere(records[-1], environment())}{command}"

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        rows = []
        for best, point, fleets in zip(self.capacities, self.at_rate, self.fleets, strict=True):
            batching, rate = best.batching, best.rate
            row = {"case": best.service.case.name, "max_batch": batching.max_batch, "batches": batching.sizes}
            row |= {"saturation": best.saturation, "rate": rate and asdict(rate), "sure_rate": best.safe_rate}
            row |= {"at_sure_rate": point and asdict(point), "few_samples": few_samples(best)}
            row |= {"processes": processes(best)}
            rows.append(row | {"devices": [asdict(fleet) for fleet in fleets]})
        first = self.capacities[0]
        head = {"group": self.heading, "limit_ms": first.limit_ns / 1e6, "not_shown": self.more}
        head |= {"wait_ms": first.batching.wait_ns / 1e6, "services": rows, "price": self.price or None}
        head |= {"sure": not self.doubt, "doubt": self.doubt or None, "run": self.run_for_samples()}
        return head | {"curve_of_the_first": [asdict(point) for point in self.points[0]]}

    def as_rows(self) -> list[dict[str, Any]]:
        """Return a row for each service as `--csv` prints it, the best first: rates in requests/s of one device."""
        rows = []
        for best, point in zip(self.capacities, self.at_rate, strict=True):
            row = {"group": self.heading, "case": best.service.case.name, "max_batch": best.batching.max_batch}
            row |= {"limit_ns": best.limit_ns, "saturation_per_s": best.saturation}
            names = {"value": "rate_per_s", "low": "rate_low_per_s", "high": "rate_high_per_s"}
            row |= {name: best.rate and getattr(best.rate, field) for field, name in names.items()}
            row |= {"p50_ns": point and point.p50_ns, "p99_ns": point and point.p99_ns, "fill": point and point.batch}
            row |= {"processes": processes(best), "doubt": self.doubt or None}
            rows.append(row)
        return rows


def simulate_group(
    heading: str, services: list[Service], limit_ns: float, wait_ns: float, max_batch: int | None, seed: int
) -> Group:
    """Simulate the services of one heading under a latency limit, and keep the best SHOWN of them."""
    return Group(heading, *rank_services(services, limit_ns, wait_ns, max_batch, seed, SHOWN))


def processes(capacity: Capacity) -> int:
    """Return how many processes measured the batches in use: of the batch with the fewest."""
    return min(len(capacity.service.rounds[size]) for size in capacity.batching.sizes)


def _is_surely_late(capacity: Capacity) -> bool:
    """Return whether the p99 of a request that is alone is over the limit, by its bound or by samples enough."""
    rounds, limit_ns = capacity.service.rounds[capacity.batching.sizes[0]], capacity.limit_ns
    samples, within = sum(map(len, rounds)), sum(ns <= limit_ns for times in rounds for ns in times)
    return samples >= samples_needed(0.99) or is_beyond(within, samples, independent_beyond(rounds, limit_ns))


def few_samples(capacity: Capacity) -> dict[int, int]:
    """Return the number of samples by batch, of the batches in use with too few to support a p99."""
    few = capacity.service.few_samples
    return {size: count for size, count in few.items() if size in capacity.batching.sizes}
