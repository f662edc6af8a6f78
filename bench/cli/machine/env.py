"""`bench env`: this machine as records describe it, what makes it noisy, and what the harness costs on it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from rich.markup import escape
from typer import Option

from bench.cli.console import device_line, stop, write_output
from bench.cli.options import Json, ToFile
from bench.cli.tables import out, print_json
from bench.errors import FAILED
from bench.machine.environment import device, environment
from bench.machine.facts import Environment
from bench.runs.job import NullJob
from bench.runs.process import request


def env(
    cost: Annotated[bool, Option("--cost", help="Also measure what the harness adds to each time; 10 s.")] = False,
    software: Annotated[
        bool, Option("--software", help="Also import each package and ask each tool for its version.")
    ] = False,
    output: Annotated[Path | None, ToFile(help="Write what --json prints there, too.")] = None,
    as_json: Json = False,
) -> None:
    """This machine as a record describes it, and what makes timings on it noisy."""
    from bench.machine.noise_sources import noise_sources
    from bench.machine.software import check_software

    here = environment()
    advice = noise_sources(here)
    overhead = _measure_overhead(here) if cost else None
    packages = check_software() if software else []
    content: dict[str, Any] = {"environment": here, "noisy": [{"what": what, "cure": cure} for what, cure in advice]}
    content |= {"harness": overhead} if cost else {}
    content |= {"software": [asdict(package) for package in packages]} if software else {}
    write_output(content, output)
    if as_json:
        print_json(content)
        return
    out.print_json(json.dumps(here))
    out.print(f"Device: {device_line(here)}", markup=False)
    for what, cure in advice:
        out.print(f"[yellow]noisy:[/] {escape(what)}\n       cure: {escape(cure)}")
    if not advice:
        out.print("No source of noise was detected.")
    for package in packages:
        state = f"[red]not usable:[/] {escape(package.reason)}" if package.reason else escape(package.version)
        out.print(f"{package.name:18} {package.seconds:5.1f} s  {state}", soft_wrap=True)
    if overhead:
        _print_overhead(overhead)


def _print_overhead(overhead: dict[str, Any]) -> None:
    """Print what the harness adds to a sample, for each path of execution, and what watching the machine costs."""
    out.print("Harness: a sample of a model that does nothing takes")
    for path, null in overhead["paths"].items():
        gpu = "" if null["gpu_ns"] is None else f"; {null['gpu_ns']:.0f} ns of the device"
        out.print(f"  {path}: {null['sample_ns']:.0f} ns, {null['of_1_ms']:.2%} of a millisecond{gpu}", markup=False)
    for path, reason in overhead["absent"].items():
        out.print(f"  {path}: not measured: {reason}", markup=False)
    watch, core = overhead["watch"], overhead["watch_core"]
    out.print(
        f"Watching the machine takes {'an unknown share' if core is None else f'{core:.1%}'} of a core, and makes a "
        f"millisecond's work {watch['value']:.4f} times as long (95 % confidence interval {watch['low']:.4f} to "
        f"{watch['high']:.4f})."
    )


def _measure_overhead(here: Environment) -> dict[str, Any]:
    answer = request(NullJob(device(here)), 120)
    if answer.status != "ok":
        stop(f"the harness could not be measured: {answer.status}: {answer.reason}", FAILED)
    return dict(answer.data["overhead"])
