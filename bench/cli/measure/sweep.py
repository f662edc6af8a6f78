"""The sweep of `bench run` and `bench verify`: with a live bar, and the command that resumes one that was stopped."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from typer import Option

from bench.cli.again import again
from bench.cli.console import err, err_is_quiet, prepare_folders, read_records, tell
from bench.cli.measure.dry import estimate_sweep
from bench.cli.progress import Progress
from bench.cli.reported import nothing_measured
from bench.cli.tables import out
from bench.errors import FAILED, STOPPED
from bench.paths import latest_run_folder, new_run_folder
from bench.plans.choose import ADHOC, Selection, choose
from bench.plans.plan import Plan, plan_names
from bench.records.places import Run
from bench.records.record import Record
from bench.report.terminal import print_report
from bench.runs.run import recorded_sweep
from bench.runs.sweep import Sweep
from bench.text import digits, grid, plural

Jobs = Annotated[
    int | None,
    Option(min=1, metavar="N", help="Cases at a time, as none is timed.  \\[default: 4 on a GPU, 1 on a CPU]"),
]


class Start(NamedTuple):
    """The start of a sweep: its plan, the folder of its records, the seed, and the source of its pictures."""

    plan: Plan
    folder: Path
    seed: int
    source: str


def start_of(
    selection: Selection, output: Path | None, going_on: bool, seed: int, source: str, prefix: str = ""
) -> Start:
    """Return the start of a sweep; the folders of its plan's runs are named after the plan, with `prefix`.

    One that goes on may leave out the plan: its cases, settings, seed and pictures are those of the records in the
    folder, but for a seed and a source that are not the usual ones.
    """
    if going_on and not selection.axes and selection.plan in (None, ADHOC):
        folder = output or latest_run_folder(prefix + ADHOC)
        plan, recorded_seed, recorded_source = recorded_sweep(folder)
        usual = source == "photos" and recorded_source in ("photos", "noise")
        return Start(
            choose(replace(selection, plan=plan)), folder, seed or recorded_seed, recorded_source if usual else source
        )
    plan = choose(selection)
    name = prefix + plan.name
    folder = output or (latest_run_folder(name, partial(_has_case_of, plan)) if going_on else new_run_folder(name))
    return Start(plan, folder, seed, source)


def _has_case_of(plan: Plan, folder: Path) -> bool:
    """Return whether a folder has a case of `plan`: unlike plans with files, ad-hoc ones share a name."""
    return plan.name != ADHOC or bool(Run(folder).statuses.keys() & {case.name for case in plan.cases})


def run_sweep(sweep: Sweep, shown: Console = out) -> list[Record]:
    """Run a sweep; return all records of its folder. The table of one that is stopped is printed on `shown`."""
    plan, folder = sweep.plan, sweep.store.folder
    prepare_folders()
    with Progress(plan.name, sweep.env, sweep.budget_s) as events:
        if plan.timed and plan.name in plan_names() and not err_is_quiet():
            err.print(plan.why, markup=False)
        time = estimate_sweep(sweep)
        events.expected(time.seconds)
        if plan.timed and time.executions:
            tell(f"{time}.")
        sweep.events = events
        try:
            for _ in sweep.run():
                pass
        except KeyboardInterrupt:
            events.stop()
            _print_stopped(sweep, events, shown)
            raise typer.Exit(STOPPED) from None
    if sweep.left_out:
        tell(f"Out of time: {len(sweep.left_out)} of the plan's executions were not started.")
    return read_records([folder])


def _print_stopped(sweep: Sweep, events: Progress, shown: Console) -> None:
    """Print what was measured by now: the report, and the latency of cases that have had no turn; how to go on."""
    folder, go_on, unfinished = sweep.store.folder, again(output=sweep.store.folder, resume=True), sweep.unfinished()
    turned = {record.case for record in unfinished}
    early = {case: p50_ns for case, p50_ns in events.waiting.items() if case not in turned}
    if sweep.plan.timed and any(record.status == "ok" for record in [*sweep.records, *unfinished]):
        print_report(shown, [*sweep.records, *unfinished], None, lambda *_: go_on)
    if early:
        table = grid("case", "p50 ms", text=1)
        for case, p50_ns in early.items():
            table.add_row(case.name, digits(p50_ns / 1e6))
        shown.print("So far, of cases that have had no turn:", table)
    where = f"The records so far are in {folder}." if sweep.records else f"{folder} has no record yet."
    tell(f"\nStopped. {where}")
    if count := len(unfinished) + len(early):
        have, whose = plural(count, "case was", "cases were"), plural(count, "its", "their")
        tell(f"{count} {have} waiting for turns: above before {whose} last check, and run again.")
    tell(f"To go on: {go_on}")


def exit_code(records: list[Record], strict: bool | None = None) -> int:
    """Return the exit code of a sweep: of one without a good record always that of nothing measured.

    Else a throttled case is an error where it is `strict`, and one that failed is none where that is False.
    """
    if nothing := nothing_measured(records):
        return nothing
    bad = {record.status for record in records} - {"ok", "skipped", *(() if strict else ("throttled",))}
    return FAILED if bad and strict is not False else 0
