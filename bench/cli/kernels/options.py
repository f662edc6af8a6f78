"""Options of this group's commands, and the words of those that name networks, read; what cannot be is bad usage."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from bench.static.compile import ARCHS
from kernels.space.layer import BYTES
from resnet.archs import Spec

ALL = ",".join(ARCHS)

Check = Annotated[
    Path | None,
    typer.Option(
        "--check",
        metavar="FILE",
        help="Exit 1 if a kernel is worse than this record says, or may compute wrong numbers; "
        "if another Triton made the record, only if one can no longer be used.",
    ),
]
Accept = Annotated[
    Path | None, typer.Option("--accept", metavar="FILE", help="Write what is emitted now as that record.")
]
Arch = Annotated[str, typer.Option("--arch", metavar="sm_90,...", help="Only these.")]
Layers = Annotated[
    list[str] | None,
    typer.Option("-f", "--filter", metavar="GLOB", help="Only layers that match, as resnet50/fp16-n32-*-3x3-*."),
]
Tables = Annotated[
    list[Path] | None,
    typer.Option("--table", metavar="FILE", help="Configurations, in place of those in results/tuned."),
]


def models_of(names: Iterable[str]) -> list[str]:
    """Models by name, as resnet50v1."""
    models = list(names)
    for name in models:
        try:
            Spec.parse(name)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return models


def batches_of(text: str) -> list[int]:
    """`1,8,32`."""
    batches = [int(word) if word.isdecimal() else 0 for word in text.split(",")]
    if min(batches) < 1:
        raise typer.BadParameter(f"--batch {text}: not positive numbers with commas between them")
    return batches


def precisions_of(text: str) -> list[str]:
    """`fp16,bf16`: those that there are kernels for."""
    precisions = text.split(",")
    for word in precisions:
        if word not in BYTES:
            raise typer.BadParameter(f"--precision {word}: there are kernels for {', '.join(BYTES)}")
    return precisions
