"""The sweep of `bench run` and `bench verify`: with a live bar, and the command that resumes one that was stopped."""

from __future__ import annotations

import typer

from bench.cli.again import again
from bench.cli.console import FAILED, STOPPED, read_records, tell
from bench.cli.progress import Progress
from bench.records.record import Record
from bench.runs.sweep import Sweep


def run_sweep(sweep: Sweep) -> list[Record]:
    """Run a sweep; return all records of its folder."""
    plan, folder = sweep.plan, sweep.store.folder
    with Progress(plan.name, sweep.env) as events:
        sweep.events = events
        try:
            for _ in sweep.run():
                pass
        except KeyboardInterrupt:
            events.stop()
            tell(f"\nStopped. The records so far are in {folder}.")
            tell(f"To go on: {again(output=folder, resume=True)}")
            raise typer.Exit(STOPPED) from None
    if sweep.left_out:
        tell(f"Out of time: {len(sweep.left_out)} of the plan's executions were not started.")
    return read_records([folder])


def exit_code(records: list[Record]) -> int:
    return FAILED if any(record.status not in ("ok", "skipped") for record in records) else 0
