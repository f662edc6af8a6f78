"""The command line. The only module, with `progress`, that prints and exits.

Exit codes: 0 ok; 1 a case failed; 2 bad usage; 3 this machine cannot run the plan.
"""

from __future__ import annotations

import json
import os
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
from rich.table import Table

from bench import plan as plans
from bench import report as reports
from bench import table
from bench.case import Case, CaseError
from bench.eligible import why_not
from bench.environment import ROOT, device, environment, no_cuda
from bench.plan import Plan, PlanError
from bench.progress import Progress
from bench.record import Record
from bench.store import Store, StoreError, load
from bench.sweep import Sweep

FAILED, USAGE, UNABLE = 1, 2, 3
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
Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="Where the records go.")]


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
    resume: Annotated[
        bool, typer.Option("--resume", help="Run what is missing in DIR (or in this plan's latest).")
    ] = False,
    budget: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="Start no case that would end later.")
    ] = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run the sweep with live progress; print the table at the end."""
    chosen = _chosen(plan, filter)
    chosen = replace(chosen, rounds=rounds or chosen.rounds)
    folder = output or (_latest(chosen.name) if resume else _fresh(chosen.name))
    records = _sweep(chosen, folder, resume=resume, budget=budget, input=input, seed=seed)
    _print_json(table.as_json(records)) if as_json else _show(records, folder)
    raise typer.Exit(_verdict(records))


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
        _show_gate(records)
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
def env(as_json: Json = False) -> None:
    """This machine as a record would describe it, and what would make timings noisy."""
    from bench.advice import noisy

    facts = environment()
    advice = noisy(facts)
    if as_json:
        _print_json({"environment": facts, "noisy": [{"what": what, "cure": cure} for what, cure in advice]})
        return
    out.print_json(json.dumps(facts))
    out.print(f"Device: {_device_line(facts)}", markup=False)
    for what, cure in advice:
        out.print(f"[yellow]noisy:[/] {escape(what)}\n       cure: {escape(cure)}")
    if not advice:
        out.print("Nothing found that would make timings noisy.")


@app.command()
def report(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="DIR...", help="Results folders.")] = None,
    splice: Annotated[bool, typer.Option("--splice", help="Make the tables in README and docs anew.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if a table in README or docs is stale.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """The table of some results; or the tables inside the documents of this checkout."""
    if splice or check:
        changed = [str(path.relative_to(ROOT)) for path in reports.splice(write=not check)]
        verb = "stale (make report)" if check else "made anew"
        out.print(f"{verb}: {', '.join(changed)}" if changed else "every table is as its records say")
        raise typer.Exit(FAILED if check and changed else 0)
    if not folders:
        raise typer.BadParameter("name a results folder, or --splice or --check")
    records, damage = load(folders)
    for line in damage:
        _tell(f"bench: {line}")
    if as_json:
        _print_json(table.as_json(records))
    elif markdown:
        print(reports.markdown(records), end="")
    else:
        _show(records, None)


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
    _show_gate(checked)
    left = budget - (time.monotonic() - start)
    measured = _sweep(plans.load("headline"), base / f"{name}-headline", budget=left)
    _show(measured, base / f"{name}-headline")
    raise typer.Exit(_verdict(checked + measured))


def _chosen(name: str, globs: list[str] | None) -> Plan:
    plan = plans.load(name)
    chosen = plan.only(*(globs or ()))
    if not chosen.cases:
        raise PlanError(f"no case of {name} matches {' or '.join(globs or ())}; `bench list {name}` shows them")
    return chosen


def _once(plan: Plan) -> Plan:
    return replace(plan, settings=replace(plan.settings, **plans.ONCE), rounds=1)  # type: ignore[arg-type]


def _fresh(name: str) -> Path:
    return LOCAL / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def _latest(name: str) -> Path:
    found = sorted(LOCAL.glob(f"{name}-[0-9]*"))
    if not found:
        raise StoreError(f"no earlier results of {name} to resume; name their folder with -o")
    return found[-1]


def _sweep(
    plan: Plan,
    folder: Path,
    *,
    resume: bool = False,
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
        sweep = Sweep(plan, store, facts, seed, input, resume, budget or float("inf"), events)
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
    return store.load()


def _device_line(facts: dict[str, Any]) -> str:
    if device(facts) == "cuda":
        return str(facts["gpu"]["name"])
    return f"{facts['cpu']['name']}, {facts['cpu']['cores']} cores (no GPU: {no_cuda(facts)})"


def _verdict(records: list[Record]) -> int:
    return FAILED if any(record.status not in ("ok", "skipped") for record in records) else 0


def _show(records: list[Record], folder: Path | None) -> None:
    found = table.rows(records)
    grid = _grid()
    for column in table.COLUMNS:
        grid.add_column(column, justify="left" if column in table.TEXT else "right", no_wrap=True)
    group = None
    for row in found:
        key = (row.case.model, row.case.image, row.case.batch)
        if group != key:
            grid.add_section()
            several = len({(r.case.model, r.case.image) for r in found}) > 1
            if several and (group is None or group[:2] != key[:2]):
                grid.add_row(f"[bold]{row.case.model}[/]" + ("" if row.case.image == 224 else f" {row.case.image}"))
        grid.add_row(*table.cells(row), style="green" if group != key else None)
        group = key
    out.print(f"[bold]{escape(table.answer(found))}[/]")
    out.print()
    out.print(grid)
    out.print()
    out.print(table.trust(records, found), markup=False)
    out.print(f"[dim]{escape(table.notes(found))}[/]")
    _show_left_out(records)
    if folder:
        out.print(f"Records: {folder}", markup=False, soft_wrap=True)


def _show_left_out(records: list[Record]) -> None:
    for status, reason, cases in table.left_out(records):
        colour = "dim" if status == "skipped" else "red"
        out.print(f"[{colour}]{status}: {escape(table.summary(cases))}: {escape(reason)}[/]")


def _show_gate(records: list[Record]) -> None:
    grid = _grid()
    for column in ("case", "gate", "rms", "max", "top-1"):
        grid.add_column(column, justify="left" if column in ("case", "gate") else "right")
    for record in sorted(records, key=lambda r: r.case):
        if record.status == "ok":
            worst = {key: max(check[key] for check in record.gate.values()) for key in ("rms_multiple", "max_multiple")}
            top1 = min(check["top1"] for check in record.gate.values())
            grid.add_row(
                record.case.name,
                "[green]ok[/]",
                f"{worst['rms_multiple']:.2f}",
                f"{worst['max_multiple']:.2f}",
                f"{top1:.2f}",
            )
        elif record.status != "skipped":
            grid.add_row(record.case.name, f"[red]{record.status}[/]", "", "", "")
    out.print(grid)
    out.print(
        "rms, max: the error as a multiple of plain torch's in that precision; top-1: agreement with float64",
        style="dim",
    )
    _show_left_out(records)


def _tell(text: str) -> None:
    """A sentence beside the results: not markup, and not broken, so that a path in it can be copied."""
    err.print(text, markup=False, soft_wrap=True)


def _grid() -> Table:
    """A table without rules, one space between columns: the longest names still fit 80."""
    return Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))
