"""`bench gpu`: the unattended campaign."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from bench import plan as plans
from bench.cli_run import gate_only, run_sweep, verdict
from bench.console import UNABLE, out, stop
from bench.environment import ROOT, environment, no_cuda
from bench.show import show, show_gate


def gpu(
    budget: Annotated[float, typer.Option(min=60, metavar="SECONDS", help="For both sweeps together.")] = 560,
) -> None:
    """Correctness of every variant on this GPU, then the headline sweep; unattended, results under $OUT or results/."""
    import time

    facts = environment()
    reason = no_cuda(facts)
    if reason:
        stop(f"this machine has no CUDA device: {reason}", UNABLE)
    start = time.monotonic()
    base = Path(os.environ.get("OUT") or ROOT / "results")
    name = "-".join(facts["gpu"]["name"].lower().split()) + f"-{datetime.now():%Y%m%d-%H%M%S}"
    checked = run_sweep(gate_only(plans.load("correctness")), base / f"{name}-correctness", budget=budget * 0.45)
    show_gate(out, checked)
    left = budget - (time.monotonic() - start)
    measured = run_sweep(plans.load("headline"), base / f"{name}-headline", budget=left)
    show(out, measured, base / f"{name}-headline")
    raise typer.Exit(verdict(checked + measured))
