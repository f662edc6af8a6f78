"""`bench kernels --bundle FILE`: kernels compiled on this machine, for a card elsewhere that is to lose no time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.console import STOPPED, print_json, show, tell
from bench.cli.kernels.options import batches_of, models_of, precisions_of
from bench.machine.provenance import this_commit
from bench.tuning.bundle import CAP, bundle_job, fill_bundle
from kernels.cards.archs import ARCHS
from kernels.space.layer import BYTES

File = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        metavar="FILE",
        help="Only compile what a network and a tuner need, into this file; for one --arch, sm_90 unless told.",
    ),
]
Models = Annotated[str, typer.Option(metavar="NAME,...", help="Of a bundle: networks.")]
Batches = Annotated[str, typer.Option(metavar="N,...", help="Of a bundle: batches.")]
Precisions = Annotated[str, typer.Option(metavar="NAME,...", help=f"Of a bundle, of {', '.join(BYTES)}.")]
Candidates = Annotated[int, typer.Option(min=1, metavar="N", help="Of a bundle: candidates a layer.")]
Budget = Annotated[float | None, typer.Option(min=1, metavar="SECONDS", help="Of a bundle: stop on time.")]

__all__ = ["CAP", "Batches", "Budget", "Candidates", "File", "Models", "Precisions", "make"]


def make(
    path: Path, arch: str, models: str, batch: str, precision: str, candidates: int, tables: list[str],
    budget: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Fill the file until all is in it, the time is up, it is full, or an interrupt. Raises typer.BadParameter."""
    archs = {f"sm_{number}": number for number in ARCHS}
    if arch not in archs:
        raise typer.BadParameter(f"--arch {arch}: a bundle is for one of {', '.join(archs)}")
    names, batches, precisions = models_of(models.split(",")), batches_of(batch), precisions_of(precision)
    job = bundle_job(names, batches, precisions, archs[arch], candidates, tables)
    filled, interrupted = fill_bundle(path, job, budget, this_commit(), tell)
    if as_json:
        print_json(asdict(filled))
    else:
        show(filled.lines())
    raise typer.Exit(STOPPED if interrupted else 0)
