"""The files that pieces and experiments leave: rewritten behind each part, so that what is known is on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.experiments.lists import EXPERIMENTS, PIECES, Experiment
from bench.experiments.parts import Outcome
from bench.files import ANOTHER, read_json, reading, write_json
from bench.machine.facts import Environment

SCHEMA = 1  # of either file


class KeptPieces:
    """results/<card>/pieces.json: the outcome of each piece, in the order in which they came."""

    def __init__(self, path: Path, facts: Environment) -> None:
        self.path = path
        self.pieces: list[dict[str, Any]] = []
        self.data = {
            "schema": SCHEMA, "pieces": self.pieces, "gpu": facts["gpu"].get("name"), "provenance": _provenance(facts),
        }  # fmt: skip
        write_json(path, self.data, ANOTHER)  # where that is no use, before anything runs

    def add(self, name: str, outcome: Outcome) -> None:
        """Keep what became of a piece."""
        piece = asdict(next(piece for piece in PIECES if piece.name == name))
        self.pieces.append({key: piece[key] for key in ("name", "kind", "precision")} | outcome)
        write_json(self.path, self.data, ANOTHER)

    def failed(self) -> bool:
        """Whether a piece neither went well nor was skipped."""
        return _failed(self.pieces)


class KeptConstants:
    """results/<card>/constants.json: constants, and experiments in the list's order, with what is expected of those to
    come. What earlier runs left of the same card stays."""

    def __init__(self, path: Path, facts: Environment, dry: bool) -> None:
        gpu = facts["gpu"].get("name") if not dry else None
        self.path, self.when = path, _provenance(facts)
        earlier = _earlier(path, gpu)
        self.experiments: list[dict[str, Any]] = earlier.get("experiments", [])
        self.data: dict[str, Any] = {
            "schema": SCHEMA, "gpu": gpu, "dry": dry, "constants": earlier.get("constants", {}),
            "experiments": self.experiments, "provenance": self.when,
        }  # fmt: skip
        write_json(path, self.data, ANOTHER)

    def answered(self) -> set[str]:
        """The names of the experiments that have a good outcome."""
        return {row["name"] for row in self.experiments if row["status"] == "ok"}

    def expect(self, experiments: Sequence[Experiment]) -> None:
        """Predictions, on disk before anything runs."""
        names = {row["name"] for row in self.experiments}
        for experiment in experiments:
            if experiment.name not in names:
                self._put(experiment, {"status": "skipped", "reason": "not begun", "seconds": 0.0})
        write_json(self.path, self.data, ANOTHER)

    def add(self, name: str, outcome: Outcome) -> None:
        """Keep what an experiment came to; one that is skipped now leaves an earlier outcome as it was."""
        earlier = next(row for row in self.experiments if row["name"] == name)
        if outcome["status"] != "skipped" or earlier["status"] == "skipped":
            self._put(next(one for one in EXPERIMENTS if one.name == name), outcome)
            self.data["constants"] |= outcome.get("constants", {})
            write_json(self.path, self.data, ANOTHER)

    def failed(self, names: set[str]) -> bool:
        """Whether an experiment of these names neither went well nor was skipped."""
        return _failed([row for row in self.experiments if row["name"] in names])

    def _put(self, experiment: Experiment, outcome: Outcome) -> None:
        row = {"name": experiment.name, "asks": experiment.asks, "prediction": experiment.prediction}
        row |= {key: outcome[key] for key in ("status", "reason", "seconds")}
        row |= {"data": outcome.get("data", {}), "date": self.when["date"]}
        self.experiments[:] = [other for other in self.experiments if other["name"] != experiment.name] + [row]
        order = [one.name for one in EXPERIMENTS]
        self.experiments.sort(key=lambda row: order.index(row["name"]) if row["name"] in order else len(order))


def _failed(rows: list[dict[str, Any]]) -> bool:
    return any(row["status"] not in ("ok", "skipped") for row in rows)


def _provenance(facts: Environment) -> dict[str, Any]:
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "environment": facts}


def _earlier(path: Path, gpu: str | None) -> dict[str, Any]:
    """The file's content if it is of the same card, else nothing. Raises StoreError for what is no such file."""
    if not path.exists():
        return {}
    with reading(path, "file of constants", "remove it, or name another with -o"):
        data = read_json(path, SCHEMA)
        return data if data["gpu"] == gpu else {}
