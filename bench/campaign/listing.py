"""The tasks of a campaign, done and missing, with their cost; and the kernels that were compiled for it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.campaign.campaign import Campaign, State
from bench.campaign.tasks import TASKS, Task, stage_of
from bench.machine.environment import ROOT
from bench.machine.provenance import short
from bench.text import WORDS, grid, plural
from kernels.compiled.bundle import BUNDLE_VARIABLE, maker_of, read_head, sources_digest


def task_rows(campaign: Campaign) -> list[tuple[Task, State, float | None]]:
    """Return every task in order of value, with its state on this card and code, and the seconds of its last try."""
    took = {entry.task: entry.seconds for entry in campaign.entries()}
    return [(task, campaign.state(task), took.get(name)) for name, task in TASKS.items()]


def listing_json(campaign: Campaign) -> dict[str, Any]:
    """Return the listing as a JSON object."""
    tasks = [
        {"task": task.name, "stage": stage_of(task).name, "seconds": task.seconds, "took": took} | asdict(state)
        for task, state, took in task_rows(campaign)
    ]
    return {"card": campaign.name, "commit": short(campaign.env["git"]), "tasks": tasks}


def print_listing(out: Console, campaign: Campaign) -> None:
    """Print the listing as a table, with why a task is not done, and the seconds of the missing ones."""
    rows = task_rows(campaign)
    out.print(f"{campaign.name}, commit {short(campaign.env['git'])}, {campaign.root.relative_to(ROOT)}", markup=False)
    table = grid("stage", "task", "state", "at most s", "took s", text=3)
    for task, state, took in rows:
        style = {"ok": "green", "failed": "red", "partial": "yellow"}.get(state.kind)
        seconds = "-" if state.done else f"{task.seconds:.0f}"
        last_seconds = "-" if took is None else f"{took:.0f}"
        table.add_row(stage_of(task).name, task.name, state.kind, seconds, last_seconds, style=style)
    out.print(table)
    for task, state, _ in rows:
        if state.text:
            out.print(f"{task.name}: {state.text}", markup=False, soft_wrap=True)
    missing = [task for task, state, _ in rows if not state.done]
    cost = sum(task.seconds for task in missing)
    out.print(f"Missing: {len(missing)} {plural(len(missing), 'task')}, {cost:.0f} s at most.")
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
    others = "; OF OTHER KERNEL SOURCES, so that those that differ are compiled here"
    stale = "" if header["code"] == sources_digest() else others
    maker = maker_of(header)
    kernels = f"sm_{maker.arch}, Python {maker.python}, Triton {maker.triton}"
    return f"{path.name}, {header['kernels']} for {kernels}, commit {header.get('commit', 'unknown')}{stale}"
