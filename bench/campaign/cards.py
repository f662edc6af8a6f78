"""Whose campaign it is: the cards that results/ holds, as the machine that they were last seen in."""

from __future__ import annotations

import json
from pathlib import Path

from bench.machine.facts import Environment
from kernels.cards import places


def latest_card(results: Path = places.RESULTS) -> str:
    """The name of the card that `results` holds the latest campaign of; without any, of one to come."""
    journals = sorted(results.glob("*/campaign.jsonl"), key=lambda path: path.stat().st_mtime)
    for journal in reversed(journals):
        if facts := _facts_in(journal.parent):
            return str(facts["gpu"]["name"])
    return "a card to come"


def facts_of(name: str, here: Environment) -> Environment:
    """The machine that a card was last seen in, with this checkout's commit; a Hopper, if it was never seen."""
    unseen: Environment = {**here, "gpu": {"name": name, "capability": [9, 0]}, "torch_cuda": "13.0"}
    return {**(_facts_in(places.card_folder(name)) or unseen), "git": here["git"]}


def _facts_in(folder: Path) -> Environment:
    try:
        facts = json.loads((folder / "environment.json").read_text())
    except (OSError, ValueError):
        return {}
    whole = isinstance(facts, dict) and isinstance(facts.get("gpu"), dict) and facts["gpu"].get("name")
    return facts if whole else {}
