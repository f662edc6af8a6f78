"""The sweep of `bench run` and `bench verify`: with a live bar, and the command that resumes one that was stopped."""

from __future__ import annotations

from pathlib import Path

import typer

from bench.cli.console import FAILED, STOPPED, device_line, err, tell
from bench.cli.progress import Progress
from bench.plans.plan import Plan
from bench.records.record import Record
from bench.runs.run import sweep_of


def run_sweep(
    plan: Plan,
    folder: Path,
    *,
    resume: bool = False,
    retry: bool = False,
    cold: bool = False,
    budget: float | None = None,
    jobs: int | None = None,
    input: str = "photos",
    seed: int = 0,
) -> list[Record]:
    """Run a plan into a folder; return all records of the folder. Exits 3 if this machine cannot run any case.

    `jobs` cases run at once if the plan is not timed; for None as many as the device here is large enough for.
    """
    sweep = sweep_of(
        plan, folder, resume=resume, retry=retry, cold=cold, budget_s=budget, jobs=jobs, source=input, seed=seed
    )
    with Progress(err, f"{plan.name} on {device_line(sweep.env)}") as events:
        sweep.events = events
        try:
            for _ in sweep.run():
                pass
        except KeyboardInterrupt:
            events.stop()
            tell(f"\nStopped. The records so far are in {folder}.")
            tell(f"To go on: bench {'run' if plan.timed else 'verify'} {plan.name} -o {folder} --resume")
            raise typer.Exit(STOPPED) from None
    if sweep.left_out:
        tell(f"Out of time: {len(sweep.left_out)} of the plan's executions were not started.")
    records = sweep.store.read()
    for line in sweep.store.damage:
        tell(f"bench: {line}")
    return records


def exit_code(records: list[Record]) -> int:
    return FAILED if any(record.status not in ("ok", "skipped") for record in records) else 0
