"""The result files of pieces and experiments: rewritten after each part, so that every outcome is on disk at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.experiments.lists import EXPERIMENTS, PIECES, Experiment
from bench.experiments.parts import Outcome
from bench.files import ANOTHER, check_rewritable, read_json, reading, write_json
from bench.kinds import CONSTANTS_FILE, PIECES_FILE
from bench.machine.facts import Environment

SCHEMA = 1  # of either file
GOOD = ("ok", "skipped")  # statuses


class PiecesFile:
    """The file results/<card>/pieces.json: the outcome of each piece, in the order in which they came."""

    def __init__(self, path: Path, facts: Environment) -> None:
        check_rewritable(path, PIECES_FILE)
        self.path = path
        self.pieces: list[dict[str, Any]] = []
        self.data = {
            "schema": SCHEMA, "pieces": self.pieces, "gpu": facts["gpu"].get("name"), "provenance": _provenance(facts),
        }  # fmt: skip
        write_json(path, self.data, ANOTHER)  # fails before anything runs

    def add(self, name: str, outcome: Outcome) -> None:
        """Append a piece's outcome and write the file."""
        piece = asdict(next(piece for piece in PIECES if piece.name == name))
        self.pieces.append({key: piece[key] for key in ("name", "kind", "precision")} | outcome)
        write_json(self.path, self.data, ANOTHER)

    def failed(self) -> bool:
        """Tell whether a piece failed: its status is neither "ok" nor "skipped"."""
        return any(piece["status"] not in GOOD for piece in self.pieces)


class ConstantsFile:
    """The file results/<card>/constants.json: constants, and experiments in the list's order with their predictions.

    The outcomes of earlier runs on the same card stay.
    """

    def __init__(self, path: Path, facts: Environment, dry: bool) -> None:
        check_rewritable(path, CONSTANTS_FILE)
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
        """Return the names of the experiments whose outcome is "ok"."""
        return {row["name"] for row in self.experiments if row["status"] == "ok"}

    def expect(self, experiments: Sequence[Experiment]) -> None:
        """Write the predictions of experiments before anything runs."""
        names = {row["name"] for row in self.experiments}
        for experiment in experiments:
            if experiment.name not in names:
                self._put(experiment, {"status": "skipped", "reason": "not begun", "seconds": 0.0})
        write_json(self.path, self.data, ANOTHER)

    def add(self, name: str, outcome: Outcome) -> None:
        """Replace an experiment's outcome and write the file; an earlier outcome outlives a skipped run."""
        earlier = next(row for row in self.experiments if row["name"] == name)
        if outcome["status"] != "skipped" or earlier["status"] == "skipped":
            self._put(next(experiment for experiment in EXPERIMENTS if experiment.name == name), outcome)
            self.data["constants"] |= outcome.get("constants", {})
            write_json(self.path, self.data, ANOTHER)

    def failed(self, names: set[str]) -> bool:
        """Tell whether an experiment of these names failed: its status is neither "ok" nor "skipped"."""
        return any(row["status"] not in GOOD for row in self.experiments if row["name"] in names)

    def _put(self, experiment: Experiment, outcome: Outcome) -> None:
        row = {"name": experiment.name, "asks": experiment.question, "prediction": experiment.prediction}
        row |= {key: outcome[key] for key in ("status", "reason", "seconds")}
        row |= {"data": outcome.get("data", {}), "date": self.when["date"]}
        self.experiments[:] = [other for other in self.experiments if other["name"] != experiment.name] + [row]
        order = [experiment.name for experiment in EXPERIMENTS]
        self.experiments.sort(key=lambda row: order.index(row["name"]) if row["name"] in order else len(order))


def _provenance(facts: Environment) -> dict[str, Any]:
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "environment": facts}


def _earlier(path: Path, gpu: str | None) -> dict[str, Any]:
    """Return the file's content if it is of the same card, else nothing. Raises StoreError for a damaged file."""
    if not path.exists():
        return {}
    with reading(path, CONSTANTS_FILE, "remove it, or name another with -o"):
        data = read_json(path, SCHEMA)
        return data if data["gpu"] == gpu else {}
