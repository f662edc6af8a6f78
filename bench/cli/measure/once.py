"""`bench once`: one case in this process, so that a profiler can be put around it."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from typer import Option

from bench.cli.asking import BUILDING, CASE_HELP, NAMING, asks
from bench.cli.console import tell
from bench.cli.options import Input, Json, Seed
from bench.cli.tables import out, print_json
from bench.errors import FAILED, UNABLE
from bench.machine.environment import environment
from bench.plans.choose import Selection, check_case, check_input, choose_case
from resnet.calibration import EIGHT_BITS


@asks(NAMING, BUILDING, metavar="CASE", text=CASE_HELP)
def once(
    selection: Selection,
    executions: Annotated[int, Option("-n", min=1, help="Timed executions, inside a profiler range on CUDA.")] = 10,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run one case in this process, for profilers (nsys, ncu, py-spy)."""
    from bench.worker.once import run_once

    case, plan = choose_case(selection)
    check_case(case, environment())
    check_input(input)
    answer = run_once(case, executions, input, seed, plan.build, plan.settings)
    if choice := answer.get("network", {}).get("choice"):
        tell(f"{case.model}: {choice}")
    if as_json:
        print_json(answer)
    elif answer["status"] == "ok":
        times = sorted(answer["latency_ns"])
        right = "the answers are right"
        if case.precision in EIGHT_BITS:  # how often it answers otherwise than float32, `bench accuracy` tells
            settings = plan.settings
            wide = f", {settings.keep_wide} wide" if settings.keep_wide else ""
            ranges = f"{settings.calibrate} of {settings.calibration_pictures} pictures"
            right = f"each step in 8 bits is right ({ranges}{wide})"
        out.print(f"{case.name}: {times[len(times) // 2] / 1e6:.3f} ms, the median of {len(times)}; {right}.")
        out.print_json(json.dumps({"cold": answer["cold"], "details": answer["details"]}))
    else:
        tell(f"bench: {case.name}: {answer['status']}: {answer['reason']}")
    raise typer.Exit({"ok": 0, "skipped": UNABLE}.get(answer["status"], FAILED))
