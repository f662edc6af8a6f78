"""What of a campaign is there, what is missing, and what it would cost; and the kernels that were compiled for it."""

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
from bench.text import grid
from kernels.compiled.bundle import BUNDLE_VARIABLE, maker_of, read_head, sources_digest


@dataclass(frozen=True)
class Listed:
    """A task, what is known of it on this card and code, and the seconds that its last try took."""

    task: Task
    state: State
    took: float | None

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        task = self.task
        row = {"task": task.name, "stage": stage_of(task).name, "seconds": task.seconds, "took": self.took}
        return row | asdict(self.state)


def listing(campaign: Campaign) -> list[Listed]:
    """Every task, most telling first."""
    took = {entry.task: entry.seconds for entry in campaign.entries()}
    return [Listed(task, campaign.state(task), took.get(name)) for name, task in TASKS.items()]


def plain(campaign: Campaign) -> dict[str, Any]:
    """The listing as JSON has it."""
    tasks = [row.plain() for row in listing(campaign)]
    return {"card": campaign.name, "commit": short(campaign.env["git"]), "tasks": tasks}


def show(out: Console, campaign: Campaign) -> None:
    """The listing as a table, with why a task is not done, and the seconds of what is missing."""
    rows = listing(campaign)
    out.print(f"{campaign.name}, commit {short(campaign.env['git'])}, {campaign.root.relative_to(ROOT)}", markup=False)
    table = grid("stage", "task", "state", "at most s", "took s", text=3)
    for row in rows:
        style = {"ok": "green", "failed": "red", "partial": "yellow"}.get(row.state.kind)
        seconds = "-" if row.state.done else f"{row.task.seconds:.0f}"
        took = "-" if row.took is None else f"{row.took:.0f}"
        table.add_row(stage_of(row.task).name, row.task.name, row.state.kind, seconds, took, style=style)
    out.print(table)
    for row in rows:
        if row.state.text:
            out.print(f"{row.task.name}: {row.state.text}", markup=False, soft_wrap=True)
    missing = [row.task for row in rows if not row.state.done]
    cost = sum(task.seconds for task in missing)
    out.print(f"Missing: {len(missing)} tasks, {cost:.0f} s at most.")


def heading(campaign: Campaign, tasks: int, seconds: float, where: str) -> list[str]:
    """What is about to run, where, of which commit, and with which kernels compiled beforehand."""
    title = f"Tasks: {tasks}, the CPU for a GPU" if campaign.dry else f"Tasks: {tasks}, {seconds:.0f} s"
    lines = [f"{title}, on {where}; commit {short(campaign.env['git'])}"]
    if bundle := os.environ.get(BUNDLE_VARIABLE) or campaign.variables.get(BUNDLE_VARIABLE):
        lines.append(f"Kernels compiled beforehand: {bundle_line(Path(bundle))}")
    return lines


def bundle_line(path: Path) -> str:
    """What a bundle holds. Whether it is of these kernels is seen here, of this compiler by what uses it."""
    try:
        head = read_head(path)
    except (OSError, ValueError) as error:
        return f"none: {error}"
    stale = (
        ""
        if head["code"] == sources_digest()
        else "; OF OTHER KERNEL SOURCES, so that those that differ are compiled here"
    )
    maker = maker_of(head)
    kernels = f"sm_{maker.arch}, Python {maker.python}, Triton {maker.triton}"
    return f"{path.name}, {head['kernels']} for {kernels}, commit {head.get('commit', 'unknown')}{stale}"
