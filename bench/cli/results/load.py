"""`bench load`: how many requests a second a device can take, and how many devices a load needs; or the real thing."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as Grid

from bench.cli.console import FAILED, UNABLE, Input, Json, Seed, err, out, print_json, stop, tell
from bench.errors import CaseError, StoreError
from bench.machine.environment import device, environment
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.records.machines import by_machine, label
from bench.records.store import load as load_records
from bench.report.rows import digits
from bench.runs.job import LoadAnswer
from bench.serving.queue import Service, services

if TYPE_CHECKING:
    from bench.records.record import Record
    from bench.serving.capacity import Capacity, Fleet, Point
    from bench.serving.check import Asked, Line

P99_MS = 15.0  # MLPerf's limit for ResNet-50 in its Server scenario
SECONDS = 20.0
SHOWN = 8  # services of a model: what more there is, is slower, and takes two seconds each
LOADS = tuple(10.0**power for power in range(2, 8))
NOTES = """batch: the largest that is formed, as it gives the highest rate; saturation: requests/s of a device that is
never idle; rate: the highest that keeps 99 % of the requests within the limit, with half its 95 % interval over
{replicates} simulated runs of {requests:,} requests; p50, p99: at the low end of that interval; fill: requests in a
batch there. One batch at a time, started whenever the device is idle{wait}, padded up to the next batch that was
measured; times drawn from those measured; pictures in place."""
REAL_NOTES = """alone: predicted from each batch's times before and after the load; under load: from its times during
the load, so that what is left is the error of the queue and the batching; records: from the folder's. The simulation
has the same arrivals; 5 to 95 %: of {runs} simulated runs, alone."""


def load(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="A results folder.")] = None,
    cases: Annotated[
        str | None, typer.Argument(metavar="[CASE-GLOB]", help="Only its cases that match, as in -f.")
    ] = None,
    p99_ms: Annotated[
        float, typer.Option("--p99-ms", min=1e-3, metavar="MS", help="99 % of the requests are answered within it.")
    ] = P99_MS,
    rate: Annotated[
        float | None, typer.Option("--rate", min=1e-3, metavar="R", help="Requests per second: of the load to serve.")
    ] = None,
    most: Annotated[
        int | None,
        typer.Option("--max-batch", min=1, metavar="N", help="No larger batch.  \\[default: what serves best]"),
    ] = None,
    wait_ms: Annotated[
        float, typer.Option("--max-wait", min=0, metavar="MS", help="A request may wait for others to fill a batch.")
    ] = 0.0,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Write latency over rate as .svg or .png.")
    ] = None,
    real: Annotated[
        str | None, typer.Option("--real", metavar="CASE", help="Serve it here, in batches up to its own; compare.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1, metavar="S", help=f"Of the real load.  \\[default: {SECONDS:g}]")
    ] = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """How many requests a second a device can take, by simulation over measured latencies; --real: by doing it."""
    wait_ns = wait_ms * 1e6
    if real is not None:
        if plot or cases or most:
            raise typer.BadParameter("--real takes --rate, --seconds, --max-wait and a DIR to predict from; no more")
        _real(_asked(real, folder, rate, seconds or SECONDS, wait_ns, input, seed), folder, as_json)
        return
    if folder is None:
        raise typer.BadParameter("name a results folder, or a case with --real")
    if seconds is not None:
        raise typer.BadParameter("--seconds goes with --real")
    from bench.serving.curve import PICTURES

    if plot and plot.suffix not in PICTURES:
        raise typer.BadParameter(f"--plot {plot}: name a file that ends in {' or '.join(PICTURES)}")
    groups = _groups(_matching(folder, cases))
    with err.status("simulating"):
        told = [_simulated(*group, p99_ms * 1e6, wait_ns, most, seed) for group in groups]
        told = [group for group in told if group.found]
        for group in told:
            group.draw(rate, seed, every=plot is not None)
    if not told:
        stop(f"no batch of {folder} is as small as --max-batch {most}", FAILED)
    if plot:
        _picture(told, plot)
    print_json([group.as_json() for group in told]) if as_json else _print(told, wait_ms)
    raise typer.Exit(0 if any(group.found[0].rate for group in told) else FAILED)


def _matching(folder: Path, glob: str | None) -> list[Record]:
    records, damage = load_records([folder])
    for line in damage:
        tell(f"bench: {line}")
    chosen = [
        record
        for record in records
        if glob is None or fnmatchcase(record.case.name, glob) or fnmatchcase(record.case.name, f"*{glob}*")
    ]
    if not any(record.status == "ok" and record.latency_ns for record in chosen):
        what = f"no case that was measured matches {glob}" if glob else "no case was measured"
        raise StoreError(f"{folder}: {what}; `bench report {folder}` shows what there is")
    return chosen


def _groups(records: list[Record]) -> list[tuple[str, list[Service]]]:
    """What to choose among: the services of each machine, model and image size, under a heading."""
    machines = by_machine(records)
    found: dict[tuple[str, str, int], list[Service]] = {}
    for machine, own in machines.items():
        for service in services(own):
            case = service.case
            found.setdefault((label(machine, machines), case.model, case.image), []).append(service)
    return [
        (f"{model}{'' if image == 224 else f' at {image} pixels'} on {machine}", among)
        for (machine, model, image), among in sorted(
            found.items(), key=lambda item: (item[0][0], len(item[0][1]), item[0])
        )
    ]


class _Group:
    """The services of one model on one machine, best first, and what the best makes of loads."""

    def __init__(self, heading: str, found: list[Capacity], more: int) -> None:
        self.heading, self.found, self.more = heading, found, more
        self.at_rate: list[Point | None] = []  # of each: what requests see at its rate
        self.points: list[list[Point]] = []  # the curve of the best, or of each
        self.fleets: list[list[Fleet]] = []  # of each: devices by load

    def draw(self, load: float | None, seed: int, every: bool) -> None:
        """The curves, and the devices for a load, or from one device to the internet's loads."""
        from bench.serving.capacity import REQUESTS, curve, fleet, steps

        for found in self.found:
            way, limit = (found.service, found.batching), found.limit_ns
            self.at_rate.append(curve(*way, [found.sure], limit, REQUESTS, seed)[0] if found.sure else None)
            if every or not self.points:
                self.points.append(curve(*way, steps(found.saturation), limit, seed=seed))
            loads = [load] if load else [*([found.sure] if found.sure else []), *LOADS]
            self.fleets.append([fleet(found, each) for each in loads])

    def as_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        rows = []
        for found, point, fleets in zip(self.found, self.at_rate, self.fleets, strict=True):
            row = {"case": found.service.case.name, "max_batch": found.batching.most, "batches": found.batching.sizes}
            row |= {"saturation": found.saturation, "rate": found.rate and asdict(found.rate), "sure_rate": found.sure}
            row |= {"at_sure_rate": point and asdict(point), "few_samples": _thin(found)}
            rows.append(row | {"devices": [asdict(f) for f in fleets]})
        about = {"group": self.heading, "limit_ms": self.found[0].limit_ns / 1e6, "not_shown": self.more}
        about |= {"wait_ms": self.found[0].batching.wait_ns / 1e6, "services": rows}
        return about | {"curve_of_the_first": [asdict(p) for p in self.points[0]]}


def _simulated(
    heading: str, among: list[Service], limit_ns: float, wait_ns: float, most: int | None, seed: int
) -> _Group:
    from bench.serving.capacity import ranked

    return _Group(heading, *ranked(among, limit_ns, wait_ns, most, seed, SHOWN))


def _thin(found: Capacity) -> dict[int, int]:
    return {size: count for size, count in found.service.thin.items() if size in found.batching.sizes}


def _picture(told: list[_Group], path: Path) -> None:
    from bench.serving.curve import NEEDS, picture

    group = told[0]
    if len(told) > 1:
        raise typer.BadParameter(f"--plot draws one model on one machine, and here are {len(told)}: name a CASE-GLOB")
    try:
        picture(list(zip(group.found, group.points, strict=True)), path, group.heading)
    except ImportError as error:
        stop(f"--plot needs {error.name}: {NEEDS}", UNABLE)
    except OSError as error:
        stop(f"cannot write {path}: {error.strerror or error}", FAILED)


def _print(told: list[_Group], wait_ms: float) -> None:
    from bench.serving.capacity import REPLICATES, REQUESTS, broken
    from bench.serving.curve import text

    for group in told:
        best, points = group.found[0], group.points[0]
        out.print(group.heading, style="bold", markup=False)
        out.print(_answer(best), markup=False)
        out.print()
        out.print(_table(group))
        if group.more:
            out.print(f"{group.more} more are slower; a CASE-GLOB that leaves these out shows them.", markup=False)
        out.print(f"\n{_label(best.service.case)}, batch {best.batching.most}:", markup=False)
        for line in text(points, best.limit_ns):
            out.print(line, markup=False)
        if best.rate:
            out.print()
            out.print(_fleets(group.fleets[0]))
            out.print(
                "Each device at that rate, none spare. random: each request to a device at random; bound: below it no "
                "dispatcher gets, with devices never idle, at their best batch, and no limit on latency.",
                style="dim",
            )
        if failing := broken(best, points):
            rates = ", ".join(digits(point.rate) for point in failing)
            out.print(f"More than 1 % are late at LOWER rates too ({rates}/s): pairs are padded to slow batches.")
        if thin := _thin(best):
            few = ", ".join(f"{count} at batch {size}" for size, count in thin.items())
            out.print(
                f"FEW SAMPLES: {few}, of the 662 that tell a p99: executions slower than these are not in the answer. "
                "More: bench run with --rounds, or a plan with a longer latency_s.",
                markup=False,
            )
        out.print()
    wait = f", or once it is full or its oldest request has waited {wait_ms:g} ms" if wait_ms else ""
    out.print(" ".join(NOTES.split()).format(replicates=REPLICATES, requests=REQUESTS, wait=wait), style="dim")


def _label(case: Case) -> str:
    return "/".join((case.variant, case.precision, *(("graph",) if case.launch == "graph" else ())))


def _answer(best: Capacity) -> str:
    limit = f"{best.limit_ns / 1e6:g} ms"
    if not best.rate:
        alone = f"{_label(best.service.case)} takes {digits(best.single_ns / 1e6)} ms for one request alone"
        return f"No rate keeps the p99 within {limit}: the fastest, {alone}."
    most = best.batching.most
    batches = f"in batches up to {most}" if most > 1 else "one at a time"
    return (
        f"{_label(best.service.case)}, {batches}, takes {digits(best.sure)} requests/s a device with 99 % answered "
        f"within {limit}: {best.sure / best.saturation:.0%} of saturation."
    )


def _table(group: _Group) -> Grid:
    grid = _grid("variant", "prec", "batch", "saturation/s", "rate/s", "±%", "p50 ms", "p99 ms", "fill")
    for place, (found, point) in enumerate(zip(group.found, group.at_rate, strict=True)):
        case = found.service.case
        cells = [case.variant + ("+graph" if case.launch == "graph" else ""), case.precision]
        cells += [str(found.batching.most), digits(found.saturation)]
        if not found.rate or not point:
            cells += ["-"] * 5
        else:
            cells += [digits(found.rate.value), f"{100 * (found.rate.half_width or 0):.1f}"]
            cells += [digits(point.p50_ns / 1e6), digits(point.p99_ns / 1e6), f"{point.batch:.1f}"]
        grid.add_row(*cells, style=None if place else "green")
    return grid


def _fleets(fleets: list[Fleet]) -> Grid:
    grid = _grid("requests/s", "devices, random", "bound", text=0)
    for fleet in fleets:
        grid.add_row(
            digits(fleet.load) if fleet.load % 1 else f"{fleet.load:,.0f}", f"{fleet.split:,}", f"{fleet.pooled:,}"
        )
    return grid


def _grid(*titles: str, text: int = 2) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for place, title in enumerate(titles):
        grid.add_column(title, justify="left" if place < text else "right", no_wrap=True)
    return grid


# ---- the real thing


def _asked(
    name: str, folder: Path | None, rate: float | None, seconds: float, wait_ns: float, source: str, seed: int
) -> Asked:
    from bench.serving.check import Asked, doublings

    case, facts = Case.parse(name), environment()
    if case.largest:
        raise CaseError(f"--real serves batches up to one size: write b8, say, for bmax in {case.name}")
    if reason := why_not(case, facts):
        stop(f"this machine cannot run {case.name}: {reason}", UNABLE)
    if source not in ("photos", "noise") and not Path(source).is_dir():
        raise typer.BadParameter(f"--input {source}: neither photos, noise, nor a folder")
    sizes = tuple(sorted(_recorded(case, folder))) if folder else doublings(case.batch)
    return Asked(case, sizes, rate, seconds, wait_ns, device(facts), source, seed)


def _recorded(case: Case, folder: Path) -> dict[int, list[float]]:
    """By batch up to the case's, what the records of this way of running the model hold, over all their processes."""
    for service in services(_matching(folder, None)):
        other = service.case
        if all(
            getattr(other, axis) == getattr(case, axis) for axis in ("model", "variant", "precision", "image", "launch")
        ):
            found = {size: [ns for times in rounds for ns in times] for size, rounds in service.rounds.items()}
            if case.batch in found:
                return {size: times for size, times in found.items() if size <= case.batch}
    raise StoreError(f"{folder} has no measurement of {case.name}; without a DIR --real needs none")


def _real(asked: Asked, folder: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from bench.serving.check import Times, alone, compared, real, under_load

    with err.status("start") as status:
        answer = real(asked, lambda stage: status.update(f"{asked.case.name}: {stage}"))
    if answer.status != "ok":
        stop(f"{asked.case.name}: {answer.status}: {answer.reason}", FAILED)
    data = answer.data
    sources: dict[str, Times] = {"alone": alone(data), "under load": under_load(data)}
    sources |= {"records": _recorded(asked.case, folder)} if folder else {}
    found = {name: compared(data, times, asked.wait_ns) for name, times in sources.items()}
    if as_json:
        lines = {name: [asdict(line) | {"error": line.error} for line in own] for name, own in found.items()}
        print_json({"case": asked.case.name, "batches": asked.sizes, "predicted": lines, **data})
        return
    _print_real(asked, data, found)


def _print_real(asked: Asked, data: LoadAnswer, found: dict[str, list[Line]]) -> None:
    from bench.serving.check import RUNS

    sizes = ", ".join(map(str, asked.sizes))
    share = data["rate"] / data["saturation"]
    out.print(
        f"{asked.case.name}: {len(data['due'])} requests at {digits(data['rate'])}/s ({share:.0%} of saturation) in "
        f"{len(data['counts'])} batches of {sizes}.",
        markup=False,
    )
    first = found["alone"][0]
    out.print(f"The simulation's {first.name[:3]} is {first.error:+.0%} off.\n", style="bold", highlight=False)
    grid = _grid("", "measured", *(title for name in found for title in (name, "error")), "5 to 95 %", text=1)
    for place, line in enumerate(found["alone"]):
        cells = [line.name, digits(line.measured)]
        for own in found.values():
            cells += [digits(own[place].predicted), f"{own[place].error:+.1%}"]
        grid.add_row(*cells, f"{digits(line.low)} to {digits(line.high)}")
    out.print(grid)
    late = sorted(data["fed_late"])[len(data["fed_late"]) // 2] / 1e6
    notes = " ".join(REAL_NOTES.format(runs=RUNS).split())
    out.print(
        f"{notes} Requests were fed {late:.2f} ms late at the median, which their latency has in it.", style="dim"
    )
