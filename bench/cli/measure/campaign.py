"""`bench campaign`: what has not been measured yet on this card with this code, in order of value, within a budget."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bench.campaign import listing
from bench.campaign.archive import outbox_folder
from bench.campaign.campaign import Campaign
from bench.campaign.cards import environment_of_card, latest_card
from bench.campaign.lock import campaign_lock
from bench.campaign.restore import unpack_into_results
from bench.campaign.summary import missing_tasks, summarize
from bench.campaign.tasks import BUDGET_S, STAGES, Task, budget_of, select_tasks
from bench.cli.console import device_line, stop, tell
from bench.cli.options import Csv, Json, Markdown
from bench.cli.tables import console_for, out, print_csv, print_json
from bench.errors import FAILED, STOPPED, UNABLE, USAGE, StoreError
from bench.machine.environment import environment, no_cuda
from bench.machine.provenance import write_commit
from bench.paths import LOCAL
from kernels.cards import places

DRY = LOCAL / "campaign-dry"
DRY_S = 3600.0  # of a dry run without a budget


def campaign(
    names: Annotated[
        list[str] | None,
        Argument(
            metavar="[STAGE|TASK...]", help=f"Stages {', '.join(STAGES)}, or tasks.  \\[default: what is missing]"
        ),
    ] = None,
    dry: Annotated[bool, Option("--dry", help="Try every task on the CPU, to find what would fail.")] = False,
    budget: Annotated[
        float | None,
        Option(min=30, metavar="SECONDS", help=f"For all together.  \\[default: {BUDGET_S:.0f}; alive: 280]"),
    ] = None,
    listed: Annotated[bool, Option("--list", help="List tasks that are done and missing, and their seconds.")] = False,
    card: Annotated[str, Option(metavar="NAME", help="With --list: another card, by its name.")] = "",
    restore: Annotated[
        Path | None, Option(metavar="ARCHIVE", help="Put results that came back from a card into results/.")
    ] = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Measure a rented GPU unattended, in a quarter of an hour: which paths work, the first speeds, tuned kernels.

    Each task is a separate process, so that a failure does not stop the others. A task that is done for this card and
    this code is not repeated: a further rental goes on where the last one stopped. Three files in $OUT hold
    the results.
    """
    if restore is not None:
        if names or dry or listed or budget:
            raise typer.BadParameter("--restore stands alone")
        for line in unpack_into_results(restore, places.RESULTS):
            out.print(line, markup=False, soft_wrap=True)
        return
    if (card or as_json or as_csv or as_markdown) and not listed:
        raise typer.BadParameter("--card, --json, --csv and --markdown go with --list")
    tasks = select_tasks(names or [])
    if not listed:
        with suppress(StoreError):  # a checkout that cannot be written has the commit of its git, or none
            write_commit()
    env = environment()
    reason = no_cuda(env)
    if reason and not (dry or listed):
        stop(f"this machine has no CUDA device: {reason}; --dry tries the campaign without one", UNABLE)
    results = DRY if dry else places.RESULTS
    if listed:
        name = card or ("" if dry or not reason else latest_card())
        planned = Campaign(environment_of_card(name, env) if name else env, results, dry=dry)
        if as_json:
            print_json(listing.listing_json(planned))
        elif as_csv:
            print_csv(listing.listing_json(planned)["tasks"])
        else:
            listing.print_listing(console_for(as_markdown), planned)
        return
    with campaign_lock():
        if dry:
            shutil.rmtree(results, ignore_errors=True)
        started = Campaign(env, results, outbox_folder(), dry)
        seconds = budget or (DRY_S if dry else budget_of(tasks))
        _run(started, tasks or missing_tasks(started), seconds, device_line(env))


def _run(campaign: Campaign, tasks: list[Task], seconds: float, where: str) -> None:
    """Run the tasks, with a line as each begins and as it ends; print the summary of forty lines last."""
    if not tasks:
        out.print("Nothing is missing for this card and this code; name a stage to do it again.")
    for line in listing.heading_lines(campaign, len(tasks), seconds, where):
        out.print(line, markup=False, soft_wrap=True)
    campaign.update_outbox()  # before anything is measured that could not be given back
    if campaign.troubles():
        stop("; ".join(campaign.troubles()), USAGE)
    begun: list[str] = []

    def begins(task: Task, limit: float) -> None:
        begun.append(task.name)
        out.print(f"{task.name}, {limit:.0f} s at most: {task.why}", markup=False, soft_wrap=True)

    stopped = False
    try:
        for entry in campaign.run_tasks(tasks, seconds, begins):
            cause = f" ({entry.reason})" if entry.reason else ""
            out.print(f"  {entry.status} after {entry.seconds:.0f} s{cause}", markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        stopped = True
    left = [task.name for task in tasks if task.name not in begun]
    if left:
        why = "Stopped before" if stopped else "No time for"
        tell(f"{why}: {', '.join(left)}. The same command goes on from what is under results/.")
    campaign.update_outbox()
    out.print()
    for line in summarize(campaign):
        out.print(line, markup=False, soft_wrap=True)
    if not campaign.troubles():
        out.print(f"In {campaign.outbox.folder}: the archive, the log, these lines.", markup=False, soft_wrap=True)
    bad = campaign.troubles() or any(entry.status != "ok" for entry in campaign.ended) or (tasks and not begun)
    raise typer.Exit(STOPPED if stopped else FAILED if bad else 0)
