"""Capacities for a reader: the answer, the services, the curve, the devices of a load."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.plans.words import label, variant_cell
from bench.serving.capacity import REPLICATES, REQUESTS, Fleet, late_below
from bench.serving.curve import plot_text
from bench.serving.groups import Group, processes
from bench.text import WORDS, digits, grid, half_width_percent

NOTES = f"""batch: the largest that is formed, as it gives the highest rate; saturation: requests/s of a device that is
never idle; rate: the highest that keeps 99 % of the requests within the limit, as the low end of its 95 % confidence
interval over {{replicates}} simulated runs of {{requests:,}} requests; ±%: half-width of that interval{{one}}; p50,
p99: latency of a request at that rate; fill: mean requests in a batch there. One batch at a time, started whenever the
device is idle{{wait}}, padded up to the next batch that was measured; times drawn from those measured; the pictures
are on the device already.
{WORDS}"""


def print_groups(out: Console, groups: list[Group], wait_ms: float) -> None:
    """Print the answer, the table, the curve and the devices of each group, then the meaning of the columns."""
    for group in groups:
        best, points = group.capacities[0], group.points[0]
        out.print(group.heading, style="bold", markup=False)
        out.print(_answer(group) + f" It {group.price}." * bool(group.price), markup=False)
        out.print()
        out.print(_table(group))
        if group.more:
            out.print(f"{group.more} more are slower; a CASE-GLOB that leaves these out shows them.", markup=False)
        out.print(f"\n{label(best.service.case)}, batch {best.batching.max_batch}:", markup=False)
        for line in plot_text(points, best.limit_ns):
            out.print(line, markup=False)
        if best.rate:
            out.print()
            out.print(_fleets(group.fleets[0]))
            out.print(
                "Each device at that rate, none spare. random: each request to a device at random; lower bound: no "
                "dispatcher needs fewer, with devices never idle, at their best batch, and no limit on latency.",
                style="dim",
            )
        if late := late_below(best, points):
            rates = ", ".join(digits(point.rate) for point in late)
            out.print(f"More than 1 % are late at LOWER rates too ({rates}/s): pairs are padded to slow batches.")
        if group.doubt or group.padded_to:
            _print_doubt(out, group)
        out.print()
    wait = f", or once it is full or its oldest request has waited {wait_ms:g} ms" if wait_ms else ""
    notes = " ".join(NOTES.split())
    single = any(processes(capacity) == 1 for group in groups for capacity in group.capacities)
    one = " (-: one process, and another may be as far off as any)" * single
    out.print(notes.format(replicates=REPLICATES, requests=REQUESTS, wait=wait, one=one), style="dim")


def _print_doubt(out: Console, group: Group) -> None:
    """Print which way the answer may be off, and the run that would tell."""
    clauses, run = [], "This run takes them"
    if group.padded_to:
        clauses.append(
            f"No batch under {group.padded_to} was measured: fewer requests take the time of {group.padded_to}"
        )
        run = "This run measures smaller batches, too"
    if group.few:
        counts = ", ".join(f"{count} at batch {size}" for size, count in group.few.items())
        off = ", which is too high by what they cost" if group.capacities[0].rate and not group.other_work else ""
        clauses.append(
            f"FEW SAMPLES: {counts}, of the 662 that a p99 needs: slower executions are not in the answer{off}"
        )
    if group.other_work:
        clauses.append(f"OTHER WORK took up to {group.other_work:.0%} of the machine: executions took longer for it")
        run = "Once this machine is quiet, this run tells"
    out.print(f"{'. '.join(clauses)}. {run}:", markup=False)
    out.print(f"  {group.run_for_samples()}", markup=False, soft_wrap=True)


def _answer(group: Group) -> str:
    best = group.capacities[0]
    limit = f"{best.limit_ns / 1e6:g} ms"
    if not best.rate:
        alone = f"{label(best.service.case)} takes {digits(best.single_ns / 1e6)} ms for one request alone"
        if group.doubt:
            return f"Whether a rate keeps the p99 within {limit} is not known, as {group.doubt}: the fastest, {alone}."
        return f"No rate keeps the p99 within {limit}: the fastest, {alone}."
    max_batch = best.batching.max_batch
    batches = f"in batches up to {max_batch}" if max_batch > 1 else "one at a time"
    rate = f"{'at most ' * (bool(group.doubt) and not group.other_work)}{digits(best.safe_rate)}"
    unknown = f"What a device serves is not known, as {group.doubt}; in this run " if group.other_work else ""
    return (
        f"{unknown}{label(best.service.case)}, {batches}, takes {rate} requests/s a device with 99 % answered "
        f"within {limit}: {100 * best.safe_rate / best.saturation:.3g} % of saturation."
    )


def _table(group: Group) -> Table:
    table = grid("variant", "prec", "batch", "saturation/s", "rate/s", "±%", "p50 ms", "p99 ms", "fill")
    for place, (capacity, point) in enumerate(zip(group.capacities, group.at_rate, strict=True)):
        case, rate = capacity.service.case, capacity.rate
        cells = [variant_cell(case), case.precision]
        cells += [str(capacity.batching.max_batch), digits(capacity.saturation)]
        if not rate or not point:
            cells += ["-"] * 5
        else:
            cells += [digits(capacity.safe_rate)]
            cells += ["-" if processes(capacity) == 1 else half_width_percent(rate.half_width or 0)]
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
