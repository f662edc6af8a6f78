"""The cards that have results, with the environment of the machine that each was last seen in."""

from __future__ import annotations

from pathlib import Path

from bench.machine.facts import Environment
from kernels.cards import places
from kernels.cards.reading import read_json_file


def latest_card(results: Path = places.RESULTS) -> str:
    """Return the name of the card with the latest campaign in `results`; "a card to come" if there is none."""
    journals = sorted(results.glob("*/campaign.jsonl"), key=lambda path: path.stat().st_mtime)
    for journal in reversed(journals):
        if environment := _read_environment(journal.parent):
            return str(environment["gpu"]["name"])
    return "a card to come"


def environment_of_card(name: str, here: Environment) -> Environment:
    """Return the environment that a card was last seen in, with this checkout's commit; a Hopper's if never seen."""
    unseen: Environment = {**here, "gpu": {"name": name, "capability": [9, 0]}, "torch_cuda": "13.0"}
    return {**(_read_environment(places.card_folder(name)) or unseen), "git": here["git"]}


def _read_environment(folder: Path) -> Environment:
    try:
        environment: Environment = read_json_file(folder / "environment.json")
        return environment if environment["gpu"]["name"] else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
