"""The tasks of a campaign, done and missing, with their cost; and the kernels that were compiled for it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.campaign.campaign import Campaign, State
from bench.campaign.tasks import TASKS, Task, stage_of
from bench.machine.environment import ROOT
from bench.machine.provenance import short
from bench.text import WORDS, grid
from kernels.compiled.bundle import BUNDLE_VARIABLE, maker_of, read_head, sources_digest


@dataclass(frozen=True)
class TaskRow:
    """A task, its state on this card and code, and the seconds of its last try."""

    task: Task
    state: State
    last_seconds: float | None


def task_rows(campaign: Campaign) -> list[TaskRow]:
    """Return every task, in order of value."""
    took = {entry.task: entry.seconds for entry in campaign.entries()}
    return [TaskRow(task, campaign.state(task), took.get(name)) for name, task in TASKS.items()]


def listing_json(campaign: Campaign) -> dict[str, Any]:
    """Return the listing as a JSON object."""
    tasks = [
        {"task": row.task.name, "stage": stage_of(row.task).name, "seconds": row.task.seconds, "took": row.last_seconds}
        | asdict(row.state)
        for row in task_rows(campaign)
    ]
    return {"card": campaign.name, "commit": short(campaign.env["git"]), "tasks": tasks}


def print_listing(out: Console, campaign: Campaign) -> None:
    """Print the listing as a table, with why a task is not done, and the seconds of the missing ones."""
    rows = task_rows(campaign)
    out.print(f"{campaign.name}, commit {short(campaign.env['git'])}, {campaign.root.relative_to(ROOT)}", markup=False)
    table = grid("stage", "task", "state", "at most s", "took s", text=3)
    for row in rows:
        style = {"ok": "green", "failed": "red", "partial": "yellow"}.get(row.state.kind)
        seconds = "-" if row.state.done else f"{row.task.seconds:.0f}"
        took = "-" if row.last_seconds is None else f"{row.last_seconds:.0f}"
        table.add_row(stage_of(row.task).name, row.task.name, row.state.kind, seconds, took, style=style)
    out.print(table)
    for row in rows:
        if row.state.text:
            out.print(f"{row.task.name}: {row.state.text}", markup=False, soft_wrap=True)
    missing = [row.task for row in rows if not row.state.done]
    cost = sum(task.seconds for task in missing)
    out.print(f"Missing: {len(missing)} tasks, {cost:.0f} s at most.")
    out.print(WORDS, style="dim")


def heading_lines(campaign: Campaign, tasks: int, seconds: float, where: str) -> list[str]:
    """Return lines that say what is about to run: tasks, machine, commit, and the kernels compiled beforehand."""
    title = f"Tasks: {tasks}, the CPU for a GPU" if campaign.dry else f"Tasks: {tasks}, {seconds:.0f} s"
    lines = [f"{title}, on {where}; commit {short(campaign.env['git'])}"]
    if bundle := os.environ.get(BUNDLE_VARIABLE) or campaign.variables.get(BUNDLE_VARIABLE):
        lines.append(f"Kernels compiled beforehand: {describe_bundle(Path(bundle))}")
    return lines


def describe_bundle(path: Path) -> str:
    """Return a line about a bundle: its content, and whether it is of this checkout's kernels."""
    try:
        header = read_head(path)
    except (OSError, ValueError) as error:
        return f"none: {error}"
    stale = (
        ""
        if header["code"] == sources_digest()
        else "; OF OTHER KERNEL SOURCES, so that those that differ are compiled here"
    )
    maker = maker_of(header)
    kernels = f"sm_{maker.arch}, Python {maker.python}, Triton {maker.triton}"
    return f"{path.name}, {header['kernels']} for {kernels}, commit {header.get('commit', 'unknown')}{stale}"
