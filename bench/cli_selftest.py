"""`bench selftest`: how often the verdicts of `bench compare` are wrong."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bench import error_rates
from bench.console import FAILED, USAGE, Json, err, out, print_json, stop, tell
from bench.environment import ROOT, git, unreadable
from bench.frame import load


def selftest(
    noise: Annotated[
        str, typer.Option("--noise", metavar="PERCENT,...", help="Standard deviations between processes.")
    ] = "0.5,1,2,5",
    rounds: Annotated[int, typer.Option("--rounds", min=6, max=200, help="A side.")] = 10,
    cases: Annotated[int, typer.Option("--cases", min=1, max=20000, help="Of a sweep.")] = 450,
    metrics: Annotated[int, typer.Option("--metrics", min=1, max=20, help="Compared in each case.")] = 3,
    simulations: Annotated[int, typer.Option("--simulations", min=10, help="Sweeps, of each shape of noise.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="The noise between the rounds of these records, too.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="No tables of fewer rounds and of other rules.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write JSON there.")] = None,
    as_json: Json = False,
) -> None:
    """False alarms on identical code, and what of +1 to +10 % is found: bench compare's rule on simulated rounds.

    Exit code 1 if there are more false alarms than 0.5 % per case or 5 % per sweep.
    """
    from bench.selftest import Setting

    setting = Setting(rounds, cases, metrics, simulations, seed)
    with err.status("simulating", spinner="dots"):
        found = _simulated(setting, _levels(noise), source, quick)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if output:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            stop(f"cannot write {output}: {error.strerror}", USAGE)
        tell(f"{output}: written")
    raise typer.Exit(0 if error_rates.met(found) else FAILED)


def _show(found: dict[str, Any]) -> None:
    """Within 80 columns; the answer first."""
    out.print(error_rates.verdict(found), markup=False, style="bold")
    out.print(error_rates.made(found), markup=False, style="dim")
    for block in error_rates.blocks(found):
        grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        for place, title in enumerate(block.titles):
            grid.add_column(title, justify="left" if place < block.words else "right", no_wrap=True)
        for row in block.rows:
            grid.add_row(*row)
        out.print(f"\n{block.caption}:", markup=False)
        out.print(grid)
        for note in block.notes:
            out.print(f"  {note}", markup=False, style="dim")


def _levels(text: str) -> list[float]:
    try:
        found = [float(word) / 100 for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--noise wants percentages with commas, as in 0.5,1,2; not {text!r}") from None
    if any(not 0 < level < 1 for level in found):
        raise typer.BadParameter(f"--noise {text}: each is more than 0 and less than 100 %")
    return found


def _simulated(setting: Any, levels: list[float], source: Path | None, quick: bool) -> dict[str, Any]:
    from bench import selftest as simulation

    rates = []
    spread: dict[str, float] = {}
    if source:
        pool = simulation.residuals(load(source))
        if not pool:
            stop(
                f"no case of {source} has {simulation.SERIES} rounds to tell its noise from: bench run --rounds", USAGE
            )
        spread = simulation.spread(pool)
        (row,) = simulation.rates(simulation.measured(pool), False, setting, [1.0])
        rates.append({"shape": "measured", "design": "apart"} | row)
    rates += simulation.table(setting, levels)
    state = git(ROOT)
    commit = "unknown" if unreadable(state["sha"]) else state["sha"][:12] + ("+" if state["dirty"] else "")
    return {
        "schema": error_rates.SCHEMA,
        "made": {
            "command": shlex.join(["bench", *sys.argv[1:]]),
            "date": datetime.now(UTC).date().isoformat(),
            "commit": commit,
        },
        "setting": asdict(setting),
        "noise": levels,
        "effects": list(simulation.EFFECTS),
        "shapes": {name: meaning for name, (meaning, _) in simulation.SHAPES.items()},
        "spread": spread,
        "rates": rates,
        "fewer_rounds": [] if quick else simulation.fewer_rounds(setting),
        "rules": [] if quick else simulation.rules(setting),
    }
