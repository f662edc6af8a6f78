"""Cases as a list: which of them this machine can run, why not the others, and how long they take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rich.markup import escape

from bench.cli.console import device_line, hint
from bench.cli.tables import Column, console_for, out, print_csv, print_json, print_table
from bench.machine.facts import Environment
from bench.plans.eligible import why_not
from bench.plans.plan import Plan
from bench.plans.settings import EIGHT_BIT_WORDS, Settings
from bench.records.same import SweepConditions
from bench.runs.ab import SIDES, interim_looks
from bench.runs.estimate import Estimate, earlier_records, estimate, in_words
from bench.runs.sweep import Sweep
from bench.text import plural
from kernels.cards.places import RESULTS

COLUMNS = (
    Column("case", "case", text=True),
    Column("runs", "runs", lambda runs: "yes" if runs else "no", text=True),
    Column("reason", "reason", text=True, wrapped=True),
)


def cases_json(plan: Plan, env: Environment) -> list[dict[str, Any]]:
    """Return each case of a plan, whether it runs here, and the reason if not."""
    reasons = {case: why_not(case, env, plan.reserved) for case in plan.cases}
    return [{"case": case.name, "runs": not reason, "reason": reason} for case, reason in reasons.items()]


def print_cases(
    plan: Plan, env: Environment, as_csv: bool = False, as_markdown: bool = False, closing: Iterable[str] = ()
) -> None:
    """Print a plan's cases, each with the reason why it does not run here, if there is one, and `closing` sentences.

    As CSV it prints the rows alone, and the sentences on stderr.
    """
    rows, out = cases_json(plan, env), console_for(as_markdown)
    if as_csv:
        print_csv(rows)
        for text in closing:
            hint(text)
        return
    out.print(f"{plan.name}: {plan.why}", markup=False)
    out.print(f"Device here: {device_line(env)}", markup=False)
    if as_markdown:
        print_table(COLUMNS, rows, as_markdown=True)
    else:
        _print_marks(rows)
    skipped = sum(not row["runs"] for row in rows)
    runs = len(rows) - skipped
    out.print(
        f"{len(rows)} {plural(len(rows), 'case')}: {runs} {plural(runs, 'runs', 'run')} here, "
        f"{skipped} {plural(skipped, 'is', 'are')} skipped; "
        f"{plan.rounds} {plural(plan.rounds, 'round')}."
    )
    for text in closing:
        out.print(text)


def _print_marks(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        mark = "[green]runs   [/]" if row["runs"] else "[yellow]skipped[/]"
        reason = f"  [dim]{escape(row['reason'])}[/]" if row["reason"] else ""
        out.print(f"{mark} {row['case']}{reason}", soft_wrap=True)


def print_dry_run(sweep: Sweep, as_json: bool, as_csv: bool, as_markdown: bool) -> None:
    """Print what a sweep would run, what it would skip, and an estimate of its time; write nothing."""
    plan, time, usual = sweep.plan, estimate_sweep(sweep), vars(Settings())
    chosen = {name: value for name, value in vars(plan.build).items() if value}
    measured = {name: value for name, value in vars(plan.settings).items() if name in ("threads", *EIGHT_BIT_WORDS)}
    chosen |= {name: value for name, value in measured.items() if value != usual[name]}
    if as_json:
        cases = cases_json(plan, sweep.env)
        print_json({"cases": cases, "choices": chosen, "executions": time.executions, "seconds": round(time.seconds)})
        return
    words = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in chosen.items())
    choices = [f"With {words}."] if chosen else []
    print_cases(plan, sweep.env, as_csv, as_markdown, [*choices, f"{time}. Nothing was run."])


def print_dry_duel(plan: Plan, env: Environment, rounds: int, as_json: bool, as_csv: bool, as_markdown: bool) -> None:
    """Print what `bench ab` would run, and an estimate of its time after its first look and after all rounds."""
    looks = interim_looks(rounds)
    times = [estimate_duel(plan, env, count) for count in (looks[0], looks[-1])]
    if as_json:
        seconds = [round(time.seconds) for time in times]
        print_json({"cases": cases_json(plan, env), "rounds": [looks[0], looks[-1]], "seconds": seconds})
        return
    closing = [f"{times[0]}: {looks[0]} {plural(looks[0], 'round')} of each side. It may end then."]
    if len(looks) > 1:
        closing.append(f"{in_words(times[1].seconds)} for all {looks[-1]} rounds.")
    print_cases(replace(plan, rounds=rounds), env, as_csv, as_markdown, [*closing, "Nothing was run."])


def estimate_duel(plan: Plan, env: Environment, rounds: int) -> Estimate:
    """Return the time of so many rounds of both sides of `bench ab`."""
    earlier = earlier_records(SweepConditions.of(plan, env, 0, "noise"), RESULTS)
    runnable = [case for case in plan.cases if not why_not(case, env, plan.reserved)]
    alone = replace(plan, settings=replace(plan.settings, turns=1))  # as a duel measures each case
    return estimate(alone, runnable * len(SIDES) * rounds, earlier)


def estimate_sweep(sweep: Sweep) -> Estimate:
    """Return the time of a sweep that is about to run; its cases that run at once share it."""
    now = SweepConditions.of(sweep.plan, sweep.env, sweep.seed, sweep.source)
    return estimate(sweep.plan, sweep.due(), earlier_records(now, RESULTS), sweep.jobs)
