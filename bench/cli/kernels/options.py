"""Options of the commands about kernels, and the parsers of those that name networks, batches and precisions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bench.static.compile import ARCHS
from kernels.space.layer import BYTES
from resnet.archs import Spec

ALL = ",".join(ARCHS)

Check = Annotated[
    Path | None,
    Option(
        "--check",
        metavar="FILE",
        help="Exit 1 if a kernel is worse than in this record, or may compute wrong numbers; "
        "for a record of another Triton, only if a kernel can no longer be used.",
    ),
]
Accept = Annotated[
    Path | None, Option("--accept", metavar="FILE", help="Write what the compiler emits now as that record.")
]
Arch = Annotated[str, Option("--arch", metavar="sm_90,...", help="Only these architectures.")]
Layers = Annotated[
    list[str] | None,
    Option("-f", "--filter", metavar="GLOB", help="Only layers that match, as resnet50/fp16-n32-*-3x3-*."),
]
Tables = Annotated[
    list[Path] | None,
    Option("--table", metavar="FILE", help="Table of configurations, in place of those in results/tuned; repeat."),
]


def parse_models(names: Iterable[str]) -> list[str]:
    """Return names of models, as resnet50v1, once they are valid."""
    models = list(names)
    for name in models:
        try:
            Spec.parse(name)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return models


def parse_batches(text: str) -> list[int]:
    """Return the batch sizes of a text such as `1,8,32`."""
    batches = [int(word) if word.isdecimal() else 0 for word in text.split(",")]
    if min(batches) < 1:
        raise typer.BadParameter(f"--batch {text}: not positive numbers with commas between them")
    return batches


def parse_precisions(text: str) -> list[str]:
    """Return the precisions of a text such as `fp16,bf16`; there must be kernels for them."""
    precisions = text.split(",")
    for word in precisions:
        if word not in BYTES:
            raise typer.BadParameter(f"--precision {word}: there are kernels for {', '.join(BYTES)}")
    return precisions
