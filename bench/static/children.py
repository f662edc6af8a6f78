"""A child that works through items by name: what kills it fails that item, and a new child goes on behind it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from bench.runs.process import HERE, Answer, Home, ask
from bench.runs.restart import Hand, restart

# How many items are done, of how many, and which one is begun.
Told = Callable[[int, int, str], None]


def work_through(
    job: dict[str, Any],
    limit_s: float,
    deaths: int,
    told: Told,
    module: str = "bench.worker",
    home: Home = HERE,
    stop: Event | None = None,
) -> Answer:
    """The answer of the last child, of `limit_s` seconds at most each; so many `deaths` are survived.

    A child says `done total name` before each item, and is given `broken`: the items that killed one, with the reason.
    Raises Stopped if `stop` was set.
    """
    broken: dict[str, str] = {}
    hand: Hand[str] = Hand()

    def stage(text: str) -> None:
        done, _, rest = text.partition(" ")
        total, _, name = rest.partition(" ")
        if done.isdigit():
            hand.turn_to(name)
            told(int(done), int(total), name)

    def start(alone: bool) -> Answer:
        return ask(job | {"broken": broken}, limit_s, stage, module, home, stop)

    def blame(name: str, answer: Answer) -> None:
        broken[name] = f"{answer.status}: {answer.reason}"

    ending = restart(start, hand, blame, deaths=deaths)
    assert ending.answer  # no clock ends it
    return ending.answer
