"""`bench kernels --bundle FILE`: kernels compiled here for a card elsewhere, where every second is paid for."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bench.cli.console import print_lines, tell
from bench.cli.kernels.options import parse_models
from bench.cli.tables import print_json
from bench.cli.words import parse_batches, parse_words
from bench.errors import STOPPED
from bench.files import OTHER, check_rewritable
from bench.kinds import BUNDLE
from bench.machine.provenance import this_commit
from bench.tuning.bundle import BundleJob, fill_bundle
from kernels.cards.archs import ARCHS
from kernels.space.layer import BYTES

File = Annotated[
    Path | None,
    Option(
        "--bundle",
        metavar="FILE",
        help="Only compile what networks and the tuner need on a card elsewhere, into this file; --arch names its "
        "architecture, sm_90 by default.",
    ),
]
Models = Annotated[str, Option(metavar="NAME,...", help="With --bundle: networks.")]
Batches = Annotated[str, Option(metavar="N,...", help="With --bundle: batch sizes.")]
Precisions = Annotated[str, Option(metavar="NAME,...", help=f"With --bundle or --predict: any of {', '.join(BYTES)}.")]
Candidates = Annotated[
    int, Option(min=1, metavar="N", help="With --bundle: configurations per layer that the tuner may try.")
]
Budget = Annotated[float | None, Option(min=1, metavar="SECONDS", help="With --bundle: stop after this time.")]


def make_bundle(
    path: Path, arch: str, models: str, batch: str, precision: str, candidates: int, tables: list[str],
    budget: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Compile into the file until it is complete or full, out of time, or interrupted. Raises typer.BadParameter."""
    archs = {f"sm_{number}": number for number in ARCHS}
    if arch not in archs:
        raise typer.BadParameter(f"--arch {arch}: a bundle is for one of {', '.join(archs)}")
    names, precisions = parse_models(models.split(",")), parse_words("precision", precision, BYTES)
    job = BundleJob(names, parse_batches(batch), precisions, archs[arch], candidates, tables)
    check_rewritable(path, BUNDLE, f"{OTHER} with --bundle")
    filled, interrupted = fill_bundle(path, job, budget, this_commit(), tell)
    if as_json:
        print_json(asdict(filled))
    else:
        print_lines(filled.lines())
    raise typer.Exit(STOPPED if interrupted else 0)
