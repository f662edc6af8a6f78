"""`bench list`, `run`, `verify` and `once`: cases, and what runs them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from bench.cli.console import (
    FAILED,
    STOPPED,
    UNABLE,
    Filter,
    Input,
    Json,
    Output,
    PlanName,
    Seed,
    ViewName,
    device_line,
    err,
    known_view,
    out,
    print_json,
    stop,
    tell,
)
from bench.cli.progress import Progress
from bench.errors import PlanError
from bench.machine.environment import device, environment, no_cuda
from bench.paths import fresh, latest
from bench.plans import plan as plans
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.plans.plan import Plan
from bench.records.baseline import twin
from bench.records.record import Record
from bench.records.store import Store
from bench.report.terminal import show, show_gate
from bench.report.views import as_json as as_json_of
from bench.runs.sweep import Sweep

# of --until: past it a ratio is not known much better, as the interval narrows with the square root
ROUNDS_LIMIT = 20

# Cases at once where the gate alone runs. A CPU's kernels take all cores already; a GPU's process is mostly imports, on
# one core, and a batch of the gate's is small.
AT_ONCE = {"cpu": 1, "cuda": 4}

Budget = Annotated[float | None, typer.Option(min=1, metavar="SECONDS", help="Start no case that would end later.")]


def list_(plan: PlanName, filter: Filter = None, as_json: Json = False) -> None:
    """The cases of a plan, and which this machine can run, and why not."""
    chosen = narrowed(plan, filter)
    env = environment()
    reasons = {case: why_not(case, env, chosen.reserved) for case in chosen.cases}
    if as_json:
        print_json([{"case": case.name, "runs": not reason, "reason": reason} for case, reason in reasons.items()])
        return
    out.print(f"{chosen.name}: {chosen.why}", markup=False)
    out.print(f"Device here: {device_line(env)}", markup=False)
    for case, reason in reasons.items():
        mark = "[yellow]skipped[/]" if reason else "[green]runs   [/]"
        out.print(f"{mark} {case.name}" + (f"  [dim]{escape(reason)}[/]" if reason else ""), soft_wrap=True)
    skipped = sum(map(bool, reasons.values()))
    out.print(
        f"{len(reasons)} cases: {len(reasons) - skipped} run here, {skipped} are skipped; {chosen.rounds} round(s)."
    )


def run(
    plan: PlanName,
    filter: Filter = None,
    output: Output = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Passes over the cases, each case a fresh process.")] = None,
    until: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="PERCENT", help="More rounds, until each ratio to eager is known this well."),
    ] = None,
    rounds_limit: Annotated[int | None, typer.Option(min=1, help="But no more than these.  \\[default: 20]")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Run what is missing in DIR (or in this plan's latest).")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="As --resume, and what failed again.")] = False,
    cold: Annotated[bool, typer.Option("--cold", help="Every process finds its compile caches empty.")] = False,
    budget: Budget = None,
    view: ViewName = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run the sweep with live progress; print the table at the end."""
    shown = known_view(view or ("cold" if cold else "speed"))
    chosen = _longer(narrowed(plan, filter), rounds, until, rounds_limit)
    folder = output or (latest(chosen.name) if resume or retry else fresh(chosen.name))
    records = run_sweep(chosen, folder, resume=resume, retry=retry, cold=cold, budget=budget, input=input, seed=seed)
    print_json(as_json_of(records)) if as_json else show(out, records, folder, shown)
    raise typer.Exit(verdict(records))


def _longer(plan: Plan, rounds: int | None, until: float | None, limit: int | None) -> Plan:
    """The plan with the rounds asked for on the command line."""
    if limit and not until and not plan.rounds_limit:
        raise typer.BadParameter("--rounds-limit goes with --until")
    plan = replace(plan, rounds=rounds or plan.rounds, rounds_limit=limit or plan.rounds_limit)
    if until is None:
        return plan
    if not any(twin(case, plan.cases) not in (None, case) for case in plan.cases):
        raise typer.BadParameter("--until needs a case and its eager twin; `bench list` shows the cases")
    settings = replace(plan.settings, ratio=until / 100)
    return replace(plan, settings=settings, rounds_limit=plan.rounds_limit or ROUNDS_LIMIT)


def verify(
    plan: PlanName,
    filter: Filter = None,
    output: Output = None,
    resume: Annotated[bool, typer.Option("--resume", help="Check what is missing in DIR.")] = False,
    budget: Budget = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Cases at once, as none is timed.  \\[default: 4 on a GPU, 1 on a CPU]"),
    ] = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """The gate alone: the same path as `run`, with one execution."""
    chosen = plans.gate_only(narrowed(plan, filter))
    name = f"verify-{chosen.name}"
    folder = output or (latest(name) if resume else fresh(name))
    records = run_sweep(chosen, folder, resume=resume, budget=budget, jobs=jobs, input=input, seed=seed)
    if as_json:
        print_json([{"case": r.case.name, "status": r.status, "reason": r.reason, "gate": r.gate} for r in records])
    else:
        show_gate(out, records)
    raise typer.Exit(verdict(records))


def once(
    case: Annotated[str, typer.Argument(metavar="CASE", help="A case's name, as `bench list` prints it.")],
    executions: Annotated[
        int, typer.Option("-n", min=1, help="Timed executions, inside a profiler range on CUDA.")
    ] = 10,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """One case in this process, for profilers (nsys, ncu, py-spy)."""
    from bench.worker.once import once as run_once

    parsed = Case.parse(case)
    reason = why_not(parsed, environment())
    if reason:
        stop(f"this machine cannot run {parsed.name}: {reason}", UNABLE)
    told = run_once(parsed, executions, input, seed)
    if as_json:
        print_json(told)
    elif told["status"] == "ok":
        times = sorted(told["latency_ns"])
        out.print(f"{parsed.name}: {times[len(times) // 2] / 1e6:.3f} ms, the median of {len(times)}; the gate passed.")
        out.print_json(json.dumps({"cold": told["cold"], "details": told["details"]}))
    else:
        tell(f"bench: {parsed.name}: {told['status']}: {told['reason']}")
    raise typer.Exit(0 if told["status"] == "ok" else FAILED)


def narrowed(name: str, globs: list[str] | None) -> Plan:
    plan = plans.load(name)
    chosen = plan.only(*(globs or ()))
    if not chosen.cases:
        raise PlanError(f"no case of {name} matches {' or '.join(globs or ())}; `bench list {name}` shows them")
    return chosen


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
    """Run a plan into a folder; all the folder's records. Exits 3 if this machine cannot run any of it.

    `jobs` cases at once, where the plan is not timed; none: as many as the device here is large enough for.
    """
    facts = environment()
    able = [case for case in plan.cases if not why_not(case, facts, plan.reserved)]
    if plan.device == "cuda" and no_cuda(facts):
        stop(f"the plan {plan.name} needs a CUDA device: {no_cuda(facts)}", UNABLE)
    if not able:
        stop(f"this machine can run no case of {plan.name}; `bench list` says why", UNABLE)
    if input not in ("photos", "noise") and not Path(input).is_dir():
        raise PlanError(f"--input {input}: neither photos, noise, nor a folder")
    store = Store(folder)
    at_once = 1 if plan.timed else jobs or AT_ONCE[device(facts)]
    with Progress(err, f"{plan.name} on {device_line(facts)}") as events:
        limit = budget or float("inf")
        sweep = Sweep(plan, store, facts, seed, input, resume, retry, cold, budget_s=limit, events=events, jobs=at_once)
        try:
            for _ in sweep.run():
                pass
        except KeyboardInterrupt:
            events.stop()
            tell(f"\nStopped. What has ended is in {folder}.")
            tell(f"To go on: bench {'run' if plan.timed else 'verify'} {plan.name} -o {folder} --resume")
            raise typer.Exit(STOPPED) from None
    if sweep.left_out:
        tell(f"Out of time: {len(sweep.left_out)} of the plan's executions were not started.")
    records = store.load()
    for line in store.damage:
        tell(f"bench: {line}")
    return records


def verdict(records: list[Record]) -> int:
    return FAILED if any(record.status not in ("ok", "skipped") for record in records) else 0
