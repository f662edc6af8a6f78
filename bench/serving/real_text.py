"""A real load beside its simulation: what is served, from what it is predicted, and how far off that was."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.errors import StoreError
from bench.plans.case import Case
from bench.records.record import Record
from bench.runs.job import LoadAnswer, LoadJob
from bench.serving.check import RUNS, Line, Times, alone, compared, under_load
from bench.serving.queue import services
from bench.text import WORDS, digits, grid

AXES = ("model", "variant", "precision", "image", "launch")  # of a service: batches are one service's
REAL_NOTES = """alone: predicted from each batch's times before and after the load; under load: from its times during
the load, so that what is left is the error of the queue and the batching; records: from the folder's; error: predicted
over measured. The simulation has the same arrivals; 5 to 95 %: percentiles of {runs} simulated runs, alone."""


def recorded(case: Case, records: list[Record], folder: Path) -> dict[int, list[float]]:
    """By batch up to the case's, what the records of this way of running the model hold, over all their processes."""
    for service in services(records):
        other = service.case
        if all(getattr(other, axis) == getattr(case, axis) for axis in AXES):
            found = {size: [ns for times in rounds for ns in times] for size, rounds in service.rounds.items()}
            if case.batch in found:
                return {size: times for size, times in found.items() if size <= case.batch}
    raise StoreError(f"{folder} has no measurement of {case.name}; without a DIR --real needs none")


def predicted(job: LoadJob, data: LoadAnswer, records: dict[int, list[float]] | None) -> dict[str, list[Line]]:
    """The lines of each prediction of a served load, by what it is made from."""
    sources: dict[str, Times] = {"alone": alone(data), "under load": under_load(data)}
    sources |= {"records": records} if records else {}
    return {name: compared(data, times, job.wait_ns) for name, times in sources.items()}


def show(out: Console, job: LoadJob, data: LoadAnswer, found: dict[str, list[Line]]) -> None:
    """What was served, then each number as measured and as predicted."""
    sizes = ", ".join(map(str, job.sizes))
    share = data["rate"] / data["saturation"]
    out.print(
        f"{job.case.name}: {len(data['due'])} requests at {digits(data['rate'])}/s ({share:.0%} of saturation) in "
        f"{len(data['counts'])} batches of {sizes}.",
        markup=False,
    )
    first = found["alone"][0]
    out.print(
        f"The simulation's {first.name.rpartition(' ')[0]} is {first.error:+.0%} off.\n", style="bold", highlight=False
    )
    table = grid("", "measured", *(title for name in found for title in (name, "error")), "5 to 95 %", text=1)
    for place, line in enumerate(found["alone"]):
        cells = [line.name, digits(line.measured)]
        for own in found.values():
            cells += [digits(own[place].predicted), f"{own[place].error:+.1%}"]
        table.add_row(*cells, f"{digits(line.low)} to {digits(line.high)}")
    out.print(table)
    late = sorted(data["fed_late"])[len(data["fed_late"]) // 2] / 1e6
    notes = " ".join(REAL_NOTES.format(runs=RUNS).split())
    out.print(
        f"{notes} Requests were fed {late:.2f} ms late at the median, which is part of their latency. {WORDS}",
        style="dim",
    )
