"""Options of the commands about kernels, and the parser of those that name networks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bench.static.compile import ARCHS
from resnet.archs import Spec
from resnet.names import is_outside

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
        if is_outside(name):
            raise typer.BadParameter(f"{name}: the kernels are for this project's ResNets alone, as resnet50v1")
        try:
            Spec.parse(name)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return models
