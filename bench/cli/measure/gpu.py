"""`bench gpu`: what is missing for this card and this code, in order of value, within a budget."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bench.campaign.campaign import Campaign, Entry, outbox_folder
from bench.campaign.restore import restore as put_in_place
from bench.campaign.summary import missing
from bench.campaign.tasks import BUDGET_S, STAGES, TASKS, Task, stage_of
from bench.cli.console import FAILED, STOPPED, UNABLE, USAGE, Json, device_line, out, print_json, stop, tell
from bench.errors import StoreError
from bench.machine.environment import ROOT, environment, no_cuda
from bench.machine.facts import Environment
from bench.machine.provenance import short, write
from kernels.cards import places
from kernels.compiled.bundle import VARIABLE, code, maker_of, read

DRY = places.RESULTS / "local" / "campaign-dry"
DRY_S = 3600.0  # of a dry run without a budget
LOCK = places.RESULTS / "local" / ".campaign.lock"


def gpu(
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
    chosen = _chosen(names or [])
    if not listed:
        with suppress(StoreError):  # a checkout that cannot be written has the commit of its git, or none
            write()
    facts = environment()
    reason = no_cuda(facts)
    if reason and not (dry or listed):
        stop(f"this machine has no CUDA device: {reason}; --dry walks the campaign without one", UNABLE)
    results = DRY if dry else places.RESULTS
    if listed:
        name = card or ("" if dry or not reason else _latest_card())
        _list(Campaign(_facts_of(name, facts) if name else facts, results, dry=dry), as_json)
        return
    with _alone():
        if dry:
            shutil.rmtree(results, ignore_errors=True)
        campaign = Campaign(facts, results, outbox_folder(), dry)
        tasks = chosen or missing(campaign)
        seconds = budget or sum({stage_of(task).name: stage_of(task).seconds for task in chosen}.values()) or BUDGET_S
        _run(campaign, tasks, budget or DRY_S if dry else seconds, device_line(facts))


@contextmanager
def _alone() -> Iterator[None]:
    """Holds this checkout for one campaign: two would time each other. Ends as Ctrl-C does where it is told to end."""
    try:
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        with LOCK.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            before = {number: signal.signal(number, _interrupted) for number in (signal.SIGTERM, signal.SIGHUP)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
    except BlockingIOError:
        stop("another campaign is running in this checkout: wait for it", USAGE)
    except OSError as error:
        stop(f"{error.filename or LOCK} cannot be written: {error.strerror}", USAGE)


def _interrupted(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _latest_card() -> str:
    """The name of the card that results/ holds the latest campaign of; for a checkout without any, of one to come."""
    journals = sorted(places.RESULTS.glob("*/campaign.jsonl"), key=lambda path: path.stat().st_mtime)
    for journal in reversed(journals):
        if facts := _facts_in(journal.parent):
            return str(facts["gpu"]["name"])
    return "a card to come"


def _facts_of(name: str, here: Environment) -> Environment:
    """The machine that a card was last seen in, with this checkout's commit; a Hopper, if it was never seen."""
    unseen: Environment = {**here, "gpu": {"name": name, "capability": [9, 0]}, "torch_cuda": "13.0"}
    return {**(_facts_in(places.card_folder(name)) or unseen), "git": here["git"]}


def _facts_in(folder: Path) -> Environment:
    try:
        found = json.loads((folder / "environment.json").read_text())
    except (OSError, ValueError):
        return {}
    whole = isinstance(found, dict) and isinstance(found.get("gpu"), dict) and found["gpu"].get("name")
    return found if whole else {}


def _chosen(names: list[str]) -> list[Task]:
    """The tasks of the stages and tasks named, each once, in the order named."""
    found: dict[str, Task] = {}
    for name in names:
        if name not in STAGES and name not in TASKS:
            allowed = f"{', '.join(STAGES)}; {', '.join(TASKS)}"
            raise typer.BadParameter(f"unknown stage or task {name!r}; allowed: {allowed}")
        tasks = STAGES[name].tasks if name in STAGES else (TASKS[name],)
        found |= {task.name: task for task in tasks}
    return list(found.values())


def _run(campaign: Campaign, tasks: list[Task], seconds: float, where: str) -> None:
    """Runs them, a line as each begins and one as it ends; the last forty lines last."""
    if not tasks:
        out.print("Nothing is missing for this card and this code; name a stage to do it again.")
    title = f"Tasks: {len(tasks)}, {seconds:.0f} s" if not campaign.dry else f"Tasks: {len(tasks)}, the CPU for a GPU"
    out.print(f"{title}, on {where}; commit {short(campaign.env['git'])}", markup=False, soft_wrap=True)
    if bundle := os.environ.get(VARIABLE) or campaign.variables.get(VARIABLE):
        out.print(f"Kernels compiled beforehand: {_bundle(Path(bundle))}", markup=False, soft_wrap=True)
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
            _ended(entry)
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


def _bundle(path: Path) -> str:
    """What is in it; whether it is of these kernels is seen here, of this compiler by the processes that use it."""
    try:
        head = read(path)
    except (OSError, ValueError) as error:
        return f"none: {error}"
    stale = "" if head["code"] == code() else "; OF OTHER KERNEL SOURCES, so that those that differ are compiled here"
    maker = maker_of(head)
    made = f"sm_{maker.arch}, Python {maker.python}, Triton {maker.triton}"
    return f"{path.name}, {head['kernels']} for {made}, commit {head.get('commit', 'unknown')}{stale}"


def _ended(entry: Entry) -> None:
    cause = f" ({entry.reason})" if entry.reason else ""
    out.print(f"  {entry.status} after {entry.seconds:.0f} s{cause}", markup=False, soft_wrap=True)


def _list(campaign: Campaign, as_json: bool) -> None:
    rows = [(task, campaign.state(task)) for task in TASKS.values()]
    took = {entry.task: entry.seconds for entry in campaign.entries()}
    if as_json:
        told: list[dict[str, Any]] = [
            {"task": task.name, "stage": stage_of(task).name, "seconds": task.seconds, "took": took.get(task.name)}
            | asdict(state)
            for task, state in rows
        ]
        print_json({"card": campaign.name, "commit": short(campaign.env["git"]), "tasks": told})
        return
    out.print(f"{campaign.name}, commit {short(campaign.env['git'])}, {campaign.root.relative_to(ROOT)}", markup=False)
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("stage", "task", "state", "at most s", "took s"):
        grid.add_column(title, justify="right" if title.endswith(" s") else "left", no_wrap=True)
    for task, state in rows:
        style = {"ok": "green", "failed": "red", "partial": "yellow"}.get(state.kind)
        seconds = "-" if state.done else f"{task.seconds:.0f}"
        had = f"{took[task.name]:.0f}" if task.name in took else "-"
        grid.add_row(stage_of(task).name, task.name, state.kind, seconds, had, style=style)
    out.print(grid)
    for task, state in rows:
        if state.text:
            out.print(f"{task.name}: {state.text}", markup=False, soft_wrap=True)
    cost = sum(task.seconds for task, state in rows if not state.done)
    out.print(f"Missing: {sum(not state.done for _, state in rows)} tasks, {cost:.0f} s at most.")
