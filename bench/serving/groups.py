"""What `bench capacity` simulates: the services of each model on each machine, ranked, with curves and devices."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bench.errors import StoreError
from bench.plans.words import heading, matches
from bench.records.record import Record
from bench.records.same import group_by_machine, machine_label
from bench.serving import capacity
from bench.serving.capacity import Capacity, Fleet, Point, curve, fleet, ranked, steps
from bench.serving.queue import Service, services

SHOWN = 8  # services of a model: what more there is, is slower, and takes two seconds each
LOADS = tuple(10.0**power for power in range(2, 8))


def measured(records: list[Record], folder: object, glob: str | None) -> list[Record]:
    """The records of a folder whose case matches a glob. Raises StoreError where none of them was measured."""
    chosen = [record for record in records if matches(record.case.name, [] if glob is None else [glob])]
    if not any(record.status == "ok" and record.latency_ns for record in chosen):
        what = f"no case that was measured matches {glob}" if glob else "no case was measured"
        raise StoreError(f"{folder}: {what}; `bench report {folder}` shows what there is")
    return chosen


def grouped(records: list[Record]) -> list[tuple[str, list[Service]]]:
    """What to choose among: the services of each machine, model and image size, under a heading."""
    machines = group_by_machine(records)
    found: dict[tuple[str, str, int], list[Service]] = {}
    for machine, own in machines.items():
        for service in services(own):
            case = service.case
            found.setdefault((machine_label(machine, machines), case.model, case.image), []).append(service)
    return [
        (heading(model, image, machine), among)
        for (machine, model, image), among in sorted(
            found.items(), key=lambda item: (item[0][0], len(item[0][1]), item[0])
        )
    ]


class Group:
    """The services of one model on one machine, best first, and what the best makes of loads."""

    def __init__(self, heading: str, found: list[Capacity], more: int) -> None:
        self.heading, self.found, self.more = heading, found, more
        self.at_rate: list[Point | None] = []  # of each: what requests see at its rate
        self.points: list[list[Point]] = []  # the curve of the best, or of each
        self.fleets: list[list[Fleet]] = []  # of each: devices by load

    def draw(self, load: float | None, seed: int, every: bool) -> None:
        """The curves, and the devices for a load, or from one device to the internet's loads."""
        for found in self.found:
            way, limit = (found.service, found.batching), found.limit_ns
            self.at_rate.append(curve(*way, [found.sure], limit, capacity.REQUESTS, seed)[0] if found.sure else None)
            if every or not self.points:
                self.points.append(curve(*way, steps(found.saturation), limit, seed=seed))
            loads = [load] if load else [*([found.sure] if found.sure else []), *LOADS]
            self.fleets.append([fleet(found, each) for each in loads])

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        rows = []
        for found, point, fleets in zip(self.found, self.at_rate, self.fleets, strict=True):
            row = {"case": found.service.case.name, "max_batch": found.batching.most, "batches": found.batching.sizes}
            row |= {"saturation": found.saturation, "rate": found.rate and asdict(found.rate), "sure_rate": found.sure}
            row |= {"at_sure_rate": point and asdict(point), "few_samples": thin(found)}
            rows.append(row | {"devices": [asdict(f) for f in fleets]})
        about = {"group": self.heading, "limit_ms": self.found[0].limit_ns / 1e6, "not_shown": self.more}
        about |= {"wait_ms": self.found[0].batching.wait_ns / 1e6, "services": rows}
        return about | {"curve_of_the_first": [asdict(p) for p in self.points[0]]}


def simulated(
    heading: str, among: list[Service], limit_ns: float, wait_ns: float, most: int | None, seed: int
) -> Group:
    """The services of one heading, simulated under a limit: the best SHOWN of them."""
    return Group(heading, *ranked(among, limit_ns, wait_ns, most, seed, SHOWN))


def thin(found: Capacity) -> dict[int, int]:
    """By batch, how many samples there are where they are too few to tell a p99."""
    return {size: count for size, count in found.service.thin.items() if size in found.batching.sizes}
