"""`bench campaign`: what is missing for this card and this code, in order of value, within a budget."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bench.campaign import listing
from bench.campaign.campaign import Campaign, outbox_folder
from bench.campaign.cards import facts_of, latest_card
from bench.campaign.lock import alone
from bench.campaign.restore import restore as put_in_place
from bench.campaign.summary import missing
from bench.campaign.tasks import BUDGET_S, STAGES, Task, budget_of, chosen
from bench.cli.console import FAILED, STOPPED, UNABLE, USAGE, Json, device_line, out, print_json, stop, tell
from bench.errors import StoreError
from bench.machine.environment import environment, no_cuda
from bench.machine.provenance import write
from bench.paths import LOCAL
from kernels.cards import places

DRY = LOCAL / "campaign-dry"
DRY_S = 3600.0  # of a dry run without a budget


def campaign(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STAGE|TASK...]", help=f"Of {', '.join(STAGES)}, or tasks.  \\[default: what is missing]"
        ),
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Walk every task on the CPU, to find what would fail.")] = False,
    budget: Annotated[
        float | None,
        typer.Option(min=30, metavar="SECONDS", help=f"For all together.  \\[default: {BUDGET_S:.0f}; alive: 280]"),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="What is there, what is missing, what it would cost.")] = False,
    card: Annotated[str, typer.Option(metavar="NAME", help="With --list: of another card, by its name.")] = "",
    restore: Annotated[
        Path | None, typer.Option(metavar="ARCHIVE", help="Put what came back into results/; says what it changed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """A quarter of an hour on a rented card: which paths work, the first speeds, tuned kernels; unattended.

    Each task is a process of its own and costs itself alone. What was done for this card and this code is not done
    again, so that a further rental goes on where the last one stopped. All comes back in three files in $OUT.
    """
    if restore is not None:
        if names or dry or listed or budget:
            raise typer.BadParameter("--restore stands alone")
        for line in put_in_place(restore, places.RESULTS):
            out.print(line, markup=False, soft_wrap=True)
        return
    if (card or as_json) and not listed:
        raise typer.BadParameter("--card and --json go with --list")
    try:
        tasks = chosen(names or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not listed:
        with suppress(StoreError):  # a checkout that cannot be written has the commit of its git, or none
            write()
    facts = environment()
    reason = no_cuda(facts)
    if reason and not (dry or listed):
        stop(f"this machine has no CUDA device: {reason}; --dry walks the campaign without one", UNABLE)
    results = DRY if dry else places.RESULTS
    if listed:
        name = card or ("" if dry or not reason else latest_card())
        campaign = Campaign(facts_of(name, facts) if name else facts, results, dry=dry)
        print_json(listing.plain(campaign)) if as_json else listing.show(out, campaign)
        return
    with alone():
        if dry:
            shutil.rmtree(results, ignore_errors=True)
        campaign = Campaign(facts, results, outbox_folder(), dry)
        seconds = budget or (DRY_S if dry else budget_of(tasks))
        _run(campaign, tasks or missing(campaign), seconds, device_line(facts))


def _run(campaign: Campaign, tasks: list[Task], seconds: float, where: str) -> None:
    """Runs them, a line as each begins and one as it ends; the last forty lines last."""
    if not tasks:
        out.print("Nothing is missing for this card and this code; name a stage to do it again.")
    for line in listing.heading(campaign, len(tasks), seconds, where):
        out.print(line, markup=False, soft_wrap=True)
    campaign.put()  # before anything is measured that could not be given back
    if campaign.troubles():
        stop("; ".join(campaign.troubles()), USAGE)
    begun: list[str] = []

    def begins(task: Task, limit: float) -> None:
        begun.append(task.name)
        out.print(f"{task.name}, {limit:.0f} s at most: {task.why}", markup=False, soft_wrap=True)

    stopped = False
    try:
        for entry in campaign.run(tasks, seconds, begins):
            cause = f" ({entry.reason})" if entry.reason else ""
            out.print(f"  {entry.status} after {entry.seconds:.0f} s{cause}", markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        stopped = True
    left = [task.name for task in tasks if task.name not in begun]
    if left:
        why = "Stopped before" if stopped else "No time for"
        tell(f"{why}: {', '.join(left)}. The same command goes on from what is under results/.")
    campaign.put()
    out.print()
    for line in campaign.lines():
        out.print(line, markup=False, soft_wrap=True)
    if not campaign.troubles():
        out.print(f"In {campaign.outbox.folder}: the archive, the log, these lines.", markup=False, soft_wrap=True)
    bad = campaign.troubles() or any(entry.status != "ok" for entry in campaign.ended) or (tasks and not begun)
    raise typer.Exit(STOPPED if stopped else FAILED if bad else 0)
