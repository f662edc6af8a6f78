"""A card, and Python programs in place of a campaign's commands."""

from dataclasses import replace
from typing import Any

from bench.campaign.tasks import Task


def quiet(task: Task, seconds: float) -> None:
    """Nobody is told that a task begins."""


def program(task: Task, text: str, seconds: float = 60.0) -> Task:
    """The task with a Python program in place of its command; words in braces are the campaign's."""
    return replace(task, argv=("-c", text), dry=(), seconds=seconds, least_s=1.0, plan="", case="")


def on_a_card(here: dict[str, Any]) -> dict[str, Any]:
    """This machine's description with a card in it."""
    gpu = {"name": "NVIDIA Test 9000", "capability": [9, 0], "driver": "580.1", "memory_bytes": 80 << 30}
    return here | {"gpu": gpu, "torch_cuda": "13.0", "git": {"sha": "0" * 40, "dirty": False}}
