"""`bench constants`: what decides the next design, measured on this card in a few seconds each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.console import FAILED, STOPPED, Json, out, print_json, tell
from bench.cli.machine.pieces import Budget, Names, asked, failed, place_of, provenance, show
from bench.experiments.lists import EXPERIMENTS, Experiment
from bench.experiments.parts import Outcome, each
from bench.files import ANOTHER, read_json, reading, write_json
from bench.machine.environment import environment
from bench.machine.facts import Environment
from bench.runs.job import ConstantsJob

SCHEMA = 1
BUDGET_S = 240.0


def constants(
    names: Names = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Kept there.  \\[default: results/<card>/constants.json]"),
    ] = None,
    budget: Budget = BUDGET_S,
    as_json: Json = False,
    missing: Annotated[bool, typer.Option("--missing", help="Only what the file has no good outcome of.")] = False,
    dry: Annotated[
        bool, typer.Option("--dry", help="Walk the code on the CPU; compile the kernels for sm_90; measure nothing.")
    ] = False,
) -> None:
    """Constants of this card: L2's bandwidth, the tensor cores' share, what a launch costs; and experiments on designs.

    A line each as it comes, a prediction beside each outcome in the file, which is rewritten behind each. What other
    runs found on cards of this name, and this one does not ask again, stays in it.
    """
    wanted = asked(EXPERIMENTS, names)
    facts = environment()
    usual = place_of(facts, "constants", dry)
    path = output or usual
    kept = Kept(path, facts, dry)
    if missing:
        wanted = [one for one in wanted if one.name not in kept.answered()]
    kept.expect(wanted)
    try:
        each(
            ConstantsJob("cpu" if dry else "cuda"),
            wanted,
            budget,
            lambda name, outcome: kept.add(name, outcome, as_json),
        )
    except KeyboardInterrupt:
        tell(f"Stopped. What is known is in {path}")
        raise typer.Exit(STOPPED) from None
    if as_json:
        print_json(kept.data)
    else:
        for name, one in kept.data["constants"].items():
            out.print(f"{name} = {one['value']:.4g} {one['unit']}: {one['how']}", markup=False, soft_wrap=True)
        out.print(f"Kept: {path}", markup=False, soft_wrap=True)
    asked_names = {one.name for one in wanted}
    raise typer.Exit(FAILED if failed([one for one in kept.experiments if one["name"] in asked_names]) else 0)


class Kept:
    """The file: constants, and experiments in the list's order, with what is expected of those to come."""

    def __init__(self, path: Path, facts: Environment, dry: bool) -> None:
        gpu = facts["gpu"].get("name") if not dry else None
        self.path, self.when = path, provenance(facts)
        found = _earlier(path, gpu)
        self.experiments: list[dict[str, Any]] = found.get("experiments", [])
        self.data: dict[str, Any] = {
            "schema": SCHEMA, "gpu": gpu, "dry": dry, "constants": found.get("constants", {}),
            "experiments": self.experiments, "provenance": self.when,
        }  # fmt: skip
        write_json(path, self.data, ANOTHER)

    def answered(self) -> set[str]:
        return {one["name"] for one in self.experiments if one["status"] == "ok"}

    def expect(self, wanted: list[Experiment]) -> None:
        """Predictions, on disk before anything runs."""
        known = {one["name"] for one in self.experiments}
        for experiment in wanted:
            if experiment.name not in known:
                self._put(experiment, {"status": "skipped", "reason": "not begun", "seconds": 0.0})
        write_json(self.path, self.data, ANOTHER)

    def add(self, name: str, outcome: Outcome, quiet: bool) -> None:
        """What an experiment came to; one that is skipped now leaves an earlier outcome as it was."""
        earlier = next(one for one in self.experiments if one["name"] == name)
        if outcome["status"] != "skipped" or earlier["status"] == "skipped":
            self._put(next(one for one in EXPERIMENTS if one.name == name), outcome)
            self.data["constants"] |= outcome.get("constants", {})
            write_json(self.path, self.data, ANOTHER)
        if not quiet:
            show(name, outcome)

    def _put(self, experiment: Experiment, outcome: Outcome) -> None:
        told = {key: outcome[key] for key in ("status", "reason", "seconds")}
        made = {"name": experiment.name, "asks": experiment.asks, "prediction": experiment.prediction, **told}
        made |= {"data": outcome.get("data", {}), "date": self.when["date"]}
        self.experiments[:] = [one for one in self.experiments if one["name"] != experiment.name] + [made]
        order = [one.name for one in EXPERIMENTS]
        self.experiments.sort(key=lambda one: order.index(one["name"]) if one["name"] in order else len(order))


def _earlier(path: Path, gpu: str | None) -> dict[str, Any]:
    """What is in the file of the same card. Raises StoreError for what is no such file."""
    if not path.exists():
        return {}
    with reading(path, "file of constants", "remove it, or name another with -o"):
        data = read_json(path, SCHEMA)
        return data if data["gpu"] == gpu else {}
