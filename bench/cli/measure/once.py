"""`bench once`: one case in this process, for a profiler around it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bench.cli.console import FAILED, UNABLE, Input, Json, Seed, out, print_json, stop, tell
from bench.machine.environment import environment
from bench.plans.case import Case
from bench.plans.eligible import why_not


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
    from bench.worker.once import run_once

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
