"""`bench recommend`: the best case within limits, with the evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bench.cli.console import FAILED, Json, out, print_json, tell
from bench.report.recommend import GIB, OBJECTIVES, Budget, choose_by_group
from bench.report.recommend_text import group_as_json, print_recommendation


def recommend(
    folders: Annotated[list[Path], Argument(metavar="DIR...", help="Results folders.")],
    p99_ms: Annotated[float | None, Option(min=1e-6, metavar="MS", help="Limit of the p99 latency.")] = None,
    memory_gib: Annotated[
        float | None, Option(min=1e-6, metavar="GIB", help="Limit of the process's memory on the GPU, or on the host.")
    ] = None,
    min_agreement: Annotated[
        float | None,
        Option(min=0, max=1, metavar="SHARE", help="Least share of pictures with the top class of float64."),
    ] = None,
    objective: Annotated[
        str | None, Option(metavar="|".join(OBJECTIVES), help="What is to be best.  \\[default: throughput]")
    ] = None,
    model: Annotated[str | None, Option(metavar="GLOB", help="Only these models.")] = None,
    as_json: Json = False,
) -> None:
    """The best case within limits, the runner-up, how sure that is; without a limit, the cases that none beats."""
    if objective and objective not in OBJECTIVES:
        raise typer.BadParameter(f"unknown objective {objective!r}; allowed: {', '.join(OBJECTIVES)}")
    memory = None if memory_gib is None else memory_gib * GIB
    budget = Budget(None if p99_ms is None else p99_ms * 1e6, memory, min_agreement, objective or "throughput")
    listed = all(option is None for option in (p99_ms, memory_gib, min_agreement, objective))
    chosen = choose_by_group(folders, model, budget, tell)
    print_json([group_as_json(group, listed) for group in chosen]) if as_json else print_recommendation(
        out, chosen, listed
    )
    raise typer.Exit(0 if any(group.choice.best for group in chosen) else FAILED)
