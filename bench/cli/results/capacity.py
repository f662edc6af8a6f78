"""`bench capacity`: the requests a second that a device can serve, and the devices a load needs; or a real load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from bench.cli.chosen import chosen_folders
from bench.cli.complete import complete_results
from bench.cli.console import read_records, spinner, stop
from bench.cli.options import Csv, Exclude, Filter, Input, Json, Markdown, Seed
from bench.cli.results.served import load_job, serve
from bench.cli.tables import console_for, print_csv, print_json
from bench.errors import FAILED, UNDECIDED
from bench.records.places import results_at
from resnet.names import Build

if TYPE_CHECKING:
    from bench.serving.groups import Group

P99_MS = 15.0  # MLPerf's limit for ResNet-50 in its Server scenario
SECONDS = 20.0
Folder = Annotated[
    Path | None,
    Argument(
        metavar="[DIR]",
        help="A results folder, or a name kept with --save.  \\[default: the latest run]",
        autocompletion=complete_results,
    ),
]


def capacity(
    folder: Folder = None,
    cases: Annotated[str | None, Argument(metavar="[CASE-GLOB]", help="Only cases that match.")] = None,
    filter: Filter = None,
    exclude: Exclude = None,
    p99_ms: Annotated[
        float, Option(min=1e-3, metavar="MS", help="Time within which 99 % of requests are answered.")
    ] = P99_MS,
    rate: Annotated[float | None, Option(min=1e-3, metavar="R", help="Requests a second of the load to serve.")] = None,
    max_batch: Annotated[
        int | None, Option(min=1, metavar="N", help="Largest batch.  \\[default: what serves best]")
    ] = None,
    wait_ms: Annotated[
        float, Option("--max-wait", min=0, metavar="MS", help="Longest wait of a request for a full batch.")
    ] = 0.0,
    real: Annotated[str | None, Option(metavar="CASE", help="Serve real requests here, batched up to CASE's.")] = None,
    seconds: Annotated[
        float | None, Option(min=1, metavar="S", help=f"Length of the real load.  \\[default: {SECONDS:g}]")
    ] = None,
    weights: Annotated[str | None, Option(metavar="FILE", help="With --real: a checkpoint of the model.")] = None,
    num_classes: Annotated[int | None, Option(min=1, metavar="N", help="With --real: its classes.")] = None,
    in_channels: Annotated[int | None, Option(min=1, metavar="N", help="With --real: its channels.")] = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """The requests a second that a device can serve: by simulation with measured latencies, or with --real for real.

    Exit codes: 0 with an answer; 1 if no rate keeps the limit; 4 if samples are too few, or beside other work.
    """
    wait_ns, build = wait_ms * 1e6, Build(weights or "", num_classes or 0, in_channels or 0)
    if real is not None:
        if cases or max_batch or filter or exclude:
            raise typer.BadParameter(
                "--real takes --rate, --seconds, --max-wait, a model's --weights and a DIR to predict from; no more"
            )
        place = None if folder is None else results_at(folder)
        job = load_job(real, place, rate, seconds or SECONDS, wait_ns, input, seed, build)
        serve(*job, as_json, as_csv, as_markdown)
        return
    if seconds is not None or build != Build():
        raise typer.BadParameter("--seconds, --weights, --num-classes and --in-channels go with --real")
    from bench.serving.groups import group_services, measured_records, simulate_group

    (folder,) = chosen_folders([folder] if folder else None)
    only = [*(filter or ()), *([cases] if cases else ())]
    records = read_records([folder], only, exclude or ())
    with spinner("simulating"):
        services = group_services(measured_records(records, folder))
        groups = [simulate_group(*service, p99_ms * 1e6, wait_ns, max_batch, seed) for service in services]
        groups = [group for group in groups if group.capacities]
        for group in groups:
            group.add_curves(rate, seed)
    if not groups:
        stop(f"no batch of {folder} is as small as --max-batch {max_batch}", FAILED)
    _print(groups, wait_ms, as_json, as_csv, as_markdown)
    answered = any(group.capacities[0].rate and not group.doubt for group in groups)
    raise typer.Exit(0 if answered else UNDECIDED if any(group.doubt for group in groups) else FAILED)


def _print(groups: list[Group], wait_ms: float, as_json: bool, as_csv: bool, as_markdown: bool) -> None:
    from bench.serving.text import print_groups

    if as_json:
        print_json([group.as_json() for group in groups])
    elif as_csv:
        print_csv(row for group in groups for row in group.as_rows())
    else:
        print_groups(console_for(as_markdown), groups, wait_ms)
