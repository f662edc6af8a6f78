"""The command line. With `cli_kernels`, `cli_tune`, `show` and `progress` all that prints.

Exit codes: 0 ok; 1 a case failed; 2 bad usage; 3 this machine cannot run the plan.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from bench import plan as plans
from bench import report as reports
from bench.baseline import twin
from bench.case import Case, CaseError
from bench.cli_kernels import kernels
from bench.cli_tune import tune
from bench.eligible import why_not
from bench.environment import ROOT, device, environment, no_cuda
from bench.frame import export
from bench.plan import Plan, PlanError
from bench.process import ask
from bench.progress import Progress
from bench.record import Record
from bench.show import show, show_gate
from bench.store import Store, StoreError, load
from bench.sweep import Sweep
from bench.views import VIEWS
from bench.views import as_json as as_json_of

FAILED, USAGE, UNABLE = 1, 2, 3
# of --until: past it a ratio is not known much better, as the interval narrows with the square root
ROUNDS_LIMIT = 20
LOCAL = ROOT / "results" / "local"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which way of running a ResNet is fastest on this machine, by how much, and is the answer still right?",
)
out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)

PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="A curated plan's name, or a TOML file's path.")]
Filter = Annotated[
    list[str] | None, typer.Option("-f", "--filter", metavar="GLOB", help="Only the cases that match; repeat for more.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Input = Annotated[str, typer.Option("--input", metavar="photos|noise|DIR", help="What the model looks at.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the weights, the pictures and the order of cases.")]
ViewName = Annotated[
    str | None, typer.Option("--view", metavar="|".join(VIEWS), help="Which columns.  [default: speed]")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Where the records go.")]

app.command("kernels")(kernels)
app.command("tune")(tune)


def main() -> None:
    """The console script."""
    with _plain_errors():
        app()


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except (PlanError, CaseError, StoreError) as error:
        _tell(f"bench: {error}")
        sys.exit(USAGE)
    except BrokenPipeError:  # the reader of our output left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@app.command("list")
def list_(plan: PlanName, filter: Filter = None, as_json: Json = False) -> None:
    """The cases of a plan, and which this machine can run, and why not."""
    chosen = _chosen(plan, filter)
    env = environment()
    reasons = {case: why_not(case, env, chosen.reserved) for case in chosen.cases}
    if as_json:
        _print_json([{"case": case.name, "runs": not reason, "reason": reason} for case, reason in reasons.items()])
        return
    out.print(f"{chosen.name}: {chosen.why}", markup=False)
    out.print(f"Device here: {_device_line(env)}", markup=False)
    for case, reason in reasons.items():
        mark = "[yellow]skipped[/]" if reason else "[green]runs   [/]"
        out.print(f"{mark} {case.name}" + (f"  [dim]{escape(reason)}[/]" if reason else ""), soft_wrap=True)
    skipped = sum(map(bool, reasons.values()))
    out.print(
        f"{len(reasons)} cases: {len(reasons) - skipped} run here, {skipped} are skipped; {chosen.rounds} round(s)."
    )


@app.command()
def run(
    plan: PlanName,
    filter: Filter = None,
    output: Output = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Passes over the cases, each case a fresh process.")] = None,
    until: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="PERCENT", help="More rounds, until each ratio to eager is known this well."),
    ] = None,
    rounds_limit: Annotated[int | None, typer.Option(min=1, help="But no more than these.  [default: 20]")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Run what is missing in DIR (or in this plan's latest).")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="As --resume, and what failed again.")] = False,
    cold: Annotated[bool, typer.Option("--cold", help="Every process finds its compile caches empty.")] = False,
    budget: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="Start no case that would end later.")
    ] = None,
    view: ViewName = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run the sweep with live progress; print the table at the end."""
    shown = _view(view or ("cold" if cold else "speed"))
    chosen = _longer(_chosen(plan, filter), rounds, until, rounds_limit)
    folder = output or (_latest(chosen.name) if resume or retry else _fresh(chosen.name))
    records = _sweep(chosen, folder, resume=resume, retry=retry, cold=cold, budget=budget, input=input, seed=seed)
    _print_json(as_json_of(records)) if as_json else show(out, records, folder, shown)
    raise typer.Exit(_verdict(records))


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


@app.command()
def verify(
    plan: PlanName, filter: Filter = None, input: Input = "photos", seed: Seed = 0, as_json: Json = False
) -> None:
    """The gate alone: the same path as `run`, with one execution."""
    chosen = _once(_chosen(plan, filter))
    folder = _fresh(f"verify-{chosen.name}")
    records = _sweep(chosen, folder, input=input, seed=seed)
    if as_json:
        _print_json([{"case": r.case.name, "status": r.status, "reason": r.reason, "gate": r.gate} for r in records])
    else:
        show_gate(out, records)
    raise typer.Exit(_verdict(records))


@app.command()
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
    from bench.once import once as run_once

    parsed = Case.parse(case)
    reason = why_not(parsed, environment())
    if reason:
        _tell(f"bench: this machine cannot run {parsed.name}: {reason}")
        raise typer.Exit(UNABLE)
    told = run_once(parsed, executions, input, seed)
    if as_json:
        _print_json(told)
    elif told["status"] == "ok":
        times = sorted(told["latency_ns"])
        out.print(f"{parsed.name}: {times[len(times) // 2] / 1e6:.3f} ms, the median of {len(times)}; the gate passed.")
        out.print_json(json.dumps({"cold": told["cold"], "details": told["details"]}))
    else:
        _tell(f"bench: {parsed.name}: {told['status']}: {told['reason']}")
    raise typer.Exit(0 if told["status"] == "ok" else FAILED)


@app.command()
def env(
    cost: Annotated[
        bool, typer.Option("--cost", help="Measure what the harness itself adds, too: ten seconds.")
    ] = False,
    as_json: Json = False,
) -> None:
    """This machine as a record would describe it, and what would make timings noisy."""
    from bench.advice import noisy

    facts = environment()
    advice = noisy(facts)
    added = _cost(facts) if cost else None
    if as_json:
        told = {"environment": facts, "noisy": [{"what": what, "cure": cure} for what, cure in advice]}
        _print_json(told | ({"harness": added} if cost else {}))
        return
    out.print_json(json.dumps(facts))
    out.print(f"Device: {_device_line(facts)}", markup=False)
    for what, cure in advice:
        out.print(f"[yellow]noisy:[/] {escape(what)}\n       cure: {escape(cure)}")
    if not advice:
        out.print("Nothing found that would make timings noisy.")
    if added:
        watch, core = added["watch"], added["watch_core"]
        out.print(
            f"Harness: a sample of a model that does nothing takes {added['sample_ns']:.0f} ns, "
            f"{added['of_1_ms']:.2%} of a millisecond. Watching the machine takes "
            f"{'an unknown share' if core is None else f'{core:.1%}'} of a core, and a millisecond's work beside it "
            f"{watch['value']:.4f} times as long (95 % interval {watch['low']:.4f} to {watch['high']:.4f})."
        )


def _cost(facts: dict[str, Any]) -> dict[str, Any]:
    answer = ask({"job": "null", "device": device(facts)}, 120)
    if answer.status != "ok":
        _tell(f"bench: the harness could not be measured: {answer.status}: {answer.reason}")
        raise typer.Exit(FAILED)
    return dict(answer.data["overhead"])


@app.command()
def report(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="DIR...", help="Results folders.")] = None,
    splice: Annotated[bool, typer.Option("--splice", help="Make the tables in README and docs anew.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if a table in README or docs is stale.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Write every record there.")] = None,
    view: ViewName = None,
    as_json: Json = False,
) -> None:
    """The table of some results; or the tables inside the documents of this checkout."""
    shown = _view(view or "speed")
    if splice or check:
        changed = [str(path.relative_to(ROOT)) for path in reports.splice(write=not check)]
        verb = "stale (make report)" if check else "made anew"
        out.print(f"{verb}: {', '.join(changed)}" if changed else "every table is as its records say")
        raise typer.Exit(FAILED if check and changed else 0)
    if not folders:
        raise typer.BadParameter("name a results folder, or --splice or --check")
    if parquet:
        export(folders, parquet)
        out.print(f"{parquet}: what bench.load gives of {len(folders)} folder(s)", markup=False, soft_wrap=True)
        return
    records, damage = load(folders)
    for line in damage:
        _tell(f"bench: {line}")
    if as_json:
        _print_json(as_json_of(records))
    elif markdown:
        print(reports.markdown(records, shown), end="")
    else:
        show(out, records, None, shown)


@app.command()
def gpu(
    budget: Annotated[float, typer.Option(min=60, metavar="SECONDS", help="For both sweeps together.")] = 560,
) -> None:
    """Correctness of every variant on this GPU, then the headline sweep; unattended, results under $OUT or results/."""
    import time

    facts = environment()
    reason = no_cuda(facts)
    if reason:
        _tell(f"bench: this machine has no CUDA device: {reason}")
        raise typer.Exit(UNABLE)
    start = time.monotonic()
    base = Path(os.environ.get("OUT") or ROOT / "results")
    name = "-".join(facts["gpu"]["name"].lower().split()) + f"-{datetime.now():%Y%m%d-%H%M%S}"
    checked = _sweep(_once(plans.load("correctness")), base / f"{name}-correctness", budget=budget * 0.45)
    show_gate(out, checked)
    left = budget - (time.monotonic() - start)
    measured = _sweep(plans.load("headline"), base / f"{name}-headline", budget=left)
    show(out, measured, base / f"{name}-headline")
    raise typer.Exit(_verdict(checked + measured))


def _view(name: str) -> str:
    if name not in VIEWS:
        raise typer.BadParameter(f"unknown view {name!r}; allowed: {', '.join(VIEWS)}")
    return name


def _chosen(name: str, globs: list[str] | None) -> Plan:
    plan = plans.load(name)
    chosen = plan.only(*(globs or ()))
    if not chosen.cases:
        raise PlanError(f"no case of {name} matches {' or '.join(globs or ())}; `bench list {name}` shows them")
    return chosen


def _once(plan: Plan) -> Plan:
    return replace(plan, settings=replace(plan.settings, **plans.ONCE), rounds=1)  # type: ignore[arg-type]


def _fresh(name: str) -> Path:
    """A folder for a new run. Its number tells the order, not its date: clocks go back, two runs share a second."""
    number = max((number for number, _ in _earlier(name)), default=0) + 1
    return LOCAL / f"{name}-{datetime.now():%Y%m%d-%H%M%S}-{number}"


def _latest(name: str) -> Path:
    found = _earlier(name)
    if not found:
        raise StoreError(f"no earlier results of {name} to resume; name their folder with -o")
    return found[-1][1]


def _earlier(name: str) -> list[tuple[int, Path]]:
    """Number and path of this plan's folders, as they were begun; an old one without a number is before all."""
    folder = re.compile(rf"{re.escape(name)}-\d{{8}}-\d{{6}}(?:-(\d+))?")
    return sorted((int(m[1] or 0), path) for path in LOCAL.glob("*") if (m := folder.fullmatch(path.name)))


def _sweep(
    plan: Plan,
    folder: Path,
    *,
    resume: bool = False,
    retry: bool = False,
    cold: bool = False,
    budget: float | None = None,
    input: str = "photos",
    seed: int = 0,
) -> list[Record]:
    """Run a plan into a folder; all the folder's records. Exits 3 if this machine cannot run any of it."""
    facts = environment()
    able = [case for case in plan.cases if not why_not(case, facts, plan.reserved)]
    if plan.device == "cuda" and no_cuda(facts):
        _tell(f"bench: the plan {plan.name} needs a CUDA device: {no_cuda(facts)}")
        raise typer.Exit(UNABLE)
    if not able:
        _tell(f"bench: this machine can run no case of {plan.name}; `bench list` says why")
        raise typer.Exit(UNABLE)
    if input not in ("photos", "noise") and not Path(input).is_dir():
        raise PlanError(f"--input {input}: neither photos, noise, nor a folder")
    store = Store(folder)
    with Progress(err, f"{plan.name} on {_device_line(facts)}") as events:
        sweep = Sweep(
            plan, store, facts, seed, input, resume, retry, cold, budget_s=budget or float("inf"), events=events
        )
        try:
            for _ in sweep.run():
                pass
        except KeyboardInterrupt:
            events.stop()
            _tell(f"\nStopped. What was measured is in {folder}.")
            _tell(f"To go on: bench run {plan.name} -o {folder} --resume")
            raise typer.Exit(130) from None
    if sweep.left_out:
        _tell(f"Out of time: {len(sweep.left_out)} of the plan's executions were not started.")
    records = store.load()
    for line in store.damage:
        _tell(f"bench: {line}")
    return records


def _device_line(facts: dict[str, Any]) -> str:
    if device(facts) == "cuda":
        return str(facts["gpu"]["name"])
    return f"{facts['cpu']['name']}, {facts['cpu']['cores']} cores (no GPU: {no_cuda(facts)})"


def _verdict(records: list[Record]) -> int:
    return FAILED if any(record.status not in ("ok", "skipped") for record in records) else 0


def _tell(text: str) -> None:
    """A sentence beside the results: not markup, and not broken, so that a path in it can be copied."""
    err.print(text, markup=False, soft_wrap=True)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))
