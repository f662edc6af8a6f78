"""`bench env`: this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from bench.cli.console import FAILED, Json, device_line, keep, out, print_json, stop
from bench.machine.environment import device, environment
from bench.machine.facts import Environment
from bench.runs.process import ask

if TYPE_CHECKING:
    from bench.machine.software import Software


def env(
    cost: Annotated[
        bool, typer.Option("--cost", help="Measure what the harness itself adds, too: ten seconds.")
    ] = False,
    software: Annotated[
        bool, typer.Option("--software", help="Import each package and ask each tool for its version, too.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Keep what --json prints there, too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """This machine as a record would describe it, and what would make timings noisy."""
    from bench.machine.noise_sources import noise_sources

    facts = environment()
    advice = noise_sources(facts)
    added = _cost(facts) if cost else None
    installed = _software() if software else []
    told: dict[str, Any] = {"environment": facts, "noisy": [{"what": what, "cure": cure} for what, cure in advice]}
    told |= {"harness": added} if cost else {}
    told |= {"software": [asdict(one) for one in installed]} if software else {}
    keep(told, output)
    if as_json:
        print_json(told)
        return
    out.print_json(json.dumps(facts))
    out.print(f"Device: {device_line(facts)}", markup=False)
    for what, cure in advice:
        out.print(f"[yellow]noisy:[/] {escape(what)}\n       cure: {escape(cure)}")
    if not advice:
        out.print("Nothing found that would make timings noisy.")
    for one in installed:
        state = f"[red]not usable:[/] {escape(one.reason)}" if one.reason else escape(one.version)
        out.print(f"{one.name:18} {one.seconds:5.1f} s  {state}", soft_wrap=True)
    if added:
        _told(added)


def _told(added: dict[str, Any]) -> None:
    """What the harness adds, path by path, and what watching costs."""
    out.print("Harness: a sample of a model that does nothing takes")
    for path, null in added["paths"].items():
        gpu = "" if null["gpu_ns"] is None else f"; {null['gpu_ns']:.0f} ns of the device"
        out.print(f"  {path}: {null['sample_ns']:.0f} ns, {null['of_1_ms']:.2%} of a millisecond{gpu}", markup=False)
    for path, why in added["absent"].items():
        out.print(f"  {path}: not measured: {why}", markup=False)
    watch, core = added["watch"], added["watch_core"]
    out.print(
        f"Watching the machine takes {'an unknown share' if core is None else f'{core:.1%}'} of a core, and a "
        f"millisecond's work beside it {watch['value']:.4f} times as long (95 % interval {watch['low']:.4f} to "
        f"{watch['high']:.4f})."
    )


def _software() -> list[Software]:
    from bench.machine.software import check_software

    return check_software()


def _cost(facts: Environment) -> dict[str, Any]:
    answer = ask({"job": "null", "device": device(facts)}, 120)
    if answer.status != "ok":
        stop(f"the harness could not be measured: {answer.status}: {answer.reason}", FAILED)
    return dict(answer.data["overhead"])
