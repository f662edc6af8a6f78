"""A child that works through items by name: what kills it fails that item, and a new child goes on behind it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from bench.runs.process import HERE, Answer, Home
from bench.runs.request import request
from bench.runs.restart import InFlight, restart
from bench.runs.wire import A, Job

# How many items are done, of how many, and which one is begun.
Told = Callable[[int, int, str], None]


def work_through(
    job: Callable[[dict[str, str]], Job[A]],
    limit_s: float,
    deaths: int,
    told: Told,
    module: str = "bench.worker",
    home: Home = HERE,
    stop: Event | None = None,
) -> Answer[A]:
    """The answer of the last child, of `limit_s` seconds at most each; so many `deaths` are survived.

    A child says `done total name` before each item. `job` makes what it is asked from the items that killed one before,
    with the reason. Raises Stopped if `stop` was set.
    """
    broken: dict[str, str] = {}
    hand: InFlight[str] = InFlight()

    def stage(text: str) -> None:
        done, _, rest = text.partition(" ")
        total, _, name = rest.partition(" ")
        if done.isdigit():
            hand.begin_next(name)
            told(int(done), int(total), name)

    def start(alone: bool) -> Answer[A]:
        return request(job(dict(broken)), limit_s, stage, module=module, home=home, stop=stop)

    def blame(name: str, answer: Answer[A]) -> None:
        broken[name] = f"{answer.status}: {answer.reason}"

    ending = restart(start, hand, blame, deaths=deaths)
    assert ending.answer  # no clock ends it
    return ending.answer
