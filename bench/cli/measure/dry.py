"""The output of `--dry-run`: the cases, and about how long they take."""

from __future__ import annotations

from dataclasses import replace

from bench.cli.measure.cases import cases_json, print_cases
from bench.cli.tables import print_json
from bench.machine.facts import Environment
from bench.plans.eligible import why_not
from bench.plans.plan import Plan
from bench.plans.settings import EIGHT_BIT_WORDS, Settings
from bench.records.same import SweepConditions
from bench.runs.ab import SIDES, interim_looks
from bench.runs.ahead import seconds_of
from bench.runs.estimate import Estimate, earlier_records, estimate, in_words
from bench.runs.sweep import Sweep
from bench.text import plural
from kernels.cards.places import RESULTS


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
    """Return the time of a sweep that is about to run, with what it compiles ahead; cases that run at once share it."""
    now, due = SweepConditions.of(sweep.plan, sweep.env, sweep.seed, sweep.source), sweep.due()
    time = estimate(sweep.plan, due, earlier_records(now, RESULTS), sweep.jobs)
    return replace(time, seconds=time.seconds + seconds_of(sweep.ahead(due), sweep.env))
