"""A real load for a reader: its numbers, their predictions and the errors of these."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.errors import StoreError
from bench.plans.case import Case
from bench.records.record import Record
from bench.runs.job import LoadAnswer, LoadJob
from bench.serving.check import RUNS, LoadNumber, Times, predict_load, times_alone, times_under_load
from bench.serving.queue import axes_of, services
from bench.text import WORDS, digits, grid

REAL_NOTES = """alone: predicted from each batch's times before and after the load; under load: from its times during
the load, so that what is left is the error of the queue and the batching; records: from the folder's; error: predicted
over measured. The simulation has the same arrivals; 5 to 95 %: percentiles of {runs} simulated runs, alone."""


def recorded_times(case: Case, records: list[Record], folder: Path) -> dict[int, list[float]]:
    """Return the recorded execution times of each batch up to the case's, over all processes that measured it.

    Raises StoreError where the records have no time of the case.
    """
    for service in services(records):
        if axes_of(service.case) == axes_of(case):
            by_batch = {size: [ns for times in rounds for ns in times] for size, rounds in service.rounds.items()}
            if case.batch in by_batch:
                return {size: times for size, times in by_batch.items() if size <= case.batch}
    raise StoreError(f"{folder} has no measurement of {case.name}; without a DIR --real needs none")


def predictions_by_source(
    job: LoadJob, data: LoadAnswer, recorded: dict[int, list[float]] | None
) -> dict[str, list[LoadNumber]]:
    """Predict a served load from each source of execution times: alone, under load, and records if there are any."""
    sources: dict[str, Times] = {"alone": times_alone(data), "under load": times_under_load(data)}
    sources |= {"records": recorded} if recorded else {}
    return {name: predict_load(data, times, job.wait_ns) for name, times in sources.items()}


def print_load(out: Console, job: LoadJob, data: LoadAnswer, predictions: dict[str, list[LoadNumber]]) -> None:
    """Print the load, then each number as measured and as predicted."""
    sizes = ", ".join(map(str, job.sizes))
    share = data["rate"] / data["saturation"]
    out.print(
        f"{job.case.name}: {len(data['due'])} requests at {digits(data['rate'])}/s ({share:.0%} of saturation) in "
        f"{len(data['counts'])} batches of {sizes}.",
        markup=False,
    )
    first = predictions["alone"][0]
    out.print(
        f"The simulation's {first.name.rpartition(' ')[0]} is {first.error:+.0%} off.\n", style="bold", highlight=False
    )
    table = grid("", "measured", *(title for name in predictions for title in (name, "error")), "5 to 95 %", text=1)
    for numbers in zip(*predictions.values(), strict=True):
        alone = numbers[0]
        cells = [alone.name, digits(alone.measured)]
        for number in numbers:
            cells += [digits(number.predicted), f"{number.error:+.1%}"]
        table.add_row(*cells, f"{digits(alone.low)} to {digits(alone.high)}")
    out.print(table)
    late = sorted(data["fed_late"])[len(data["fed_late"]) // 2] / 1e6
    notes = " ".join(REAL_NOTES.format(runs=RUNS).split())
    out.print(
        f"{notes} Requests were fed {late:.2f} ms late at the median, which is part of their latency. {WORDS}",
        style="dim",
    )
