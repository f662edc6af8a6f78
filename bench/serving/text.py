"""What a device serves, as a person reads it: the answer, the services, the curve, the devices of a load."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.plans.words import label, variant_cell
from bench.serving import capacity
from bench.serving.capacity import Capacity, Fleet, broken
from bench.serving.curve import text
from bench.serving.groups import Group, thin
from bench.text import WORDS, digits, grid

NOTES = f"""batch: the largest that is formed, as it gives the highest rate; saturation: requests/s of a device that is
never idle; rate: the highest that keeps 99 % of the requests within the limit; ±%: half-width of its 95 % confidence
interval over {{replicates}} simulated runs of {{requests:,}} requests; p50, p99: latency of a request at the low end of
that interval; fill: mean requests in a batch there. One batch at a time, started whenever the device is idle{{wait}},
padded up to the next batch that was measured; times drawn from those measured; the pictures are on the device already.
{WORDS}"""


def show(out: Console, groups: list[Group], wait_ms: float) -> None:
    """Each group: its answer, table, curve and devices; then what the words mean."""
    for group in groups:
        best, points = group.found[0], group.points[0]
        out.print(group.heading, style="bold", markup=False)
        out.print(_answer(best), markup=False)
        out.print()
        out.print(_table(group))
        if group.more:
            out.print(f"{group.more} more are slower; a CASE-GLOB that leaves these out shows them.", markup=False)
        out.print(f"\n{label(best.service.case)}, batch {best.batching.most}:", markup=False)
        for line in text(points, best.limit_ns):
            out.print(line, markup=False)
        if best.rate:
            out.print()
            out.print(_fleets(group.fleets[0]))
            out.print(
                "Each device at that rate, none spare. random: each request to a device at random; lower bound: no "
                "dispatcher needs fewer, with devices never idle, at their best batch, and no limit on latency.",
                style="dim",
            )
        if failing := broken(best, points):
            rates = ", ".join(digits(point.rate) for point in failing)
            out.print(f"More than 1 % are late at LOWER rates too ({rates}/s): pairs are padded to slow batches.")
        if few_samples := thin(best):
            few = ", ".join(f"{count} at batch {size}" for size, count in few_samples.items())
            out.print(
                f"FEW SAMPLES: {few}, of the 662 that a p99 needs: executions slower than these are not in the answer. "
                "More: bench run with --rounds, or a plan with a longer latency_s.",
                markup=False,
            )
        out.print()
    wait = f", or once it is full or its oldest request has waited {wait_ms:g} ms" if wait_ms else ""
    notes = " ".join(NOTES.split())
    out.print(notes.format(replicates=capacity.REPLICATES, requests=capacity.REQUESTS, wait=wait), style="dim")


def _answer(best: Capacity) -> str:
    limit = f"{best.limit_ns / 1e6:g} ms"
    if not best.rate:
        alone = f"{label(best.service.case)} takes {digits(best.single_ns / 1e6)} ms for one request alone"
        return f"No rate keeps the p99 within {limit}: the fastest, {alone}."
    most = best.batching.most
    batches = f"in batches up to {most}" if most > 1 else "one at a time"
    return (
        f"{label(best.service.case)}, {batches}, takes {digits(best.sure)} requests/s a device with 99 % answered "
        f"within {limit}: {best.sure / best.saturation:.0%} of saturation."
    )


def _table(group: Group) -> Table:
    table = grid("variant", "prec", "batch", "saturation/s", "rate/s", "±%", "p50 ms", "p99 ms", "fill")
    for place, (found, point) in enumerate(zip(group.found, group.at_rate, strict=True)):
        case = found.service.case
        cells = [variant_cell(case), case.precision]
        cells += [str(found.batching.most), digits(found.saturation)]
        if not found.rate or not point:
            cells += ["-"] * 5
        else:
            cells += [digits(found.rate.value), f"{100 * (found.rate.half_width or 0):.1f}"]
            cells += [digits(point.p50_ns / 1e6), digits(point.p99_ns / 1e6), f"{point.batch:.1f}"]
        table.add_row(*cells, style=None if place else "green")
    return table


def _fleets(fleets: list[Fleet]) -> Table:
    table = grid("requests/s", "devices, random", "lower bound", text=0)
    for fleet in fleets:
        table.add_row(
            digits(fleet.load) if fleet.load % 1 else f"{fleet.load:,.0f}", f"{fleet.split:,}", f"{fleet.pooled:,}"
        )
    return table
