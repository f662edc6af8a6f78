"""A child that works through items by name; an item that kills it fails, and a new child goes on after it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from bench.runs.process import HERE, Answer, Home, request
from bench.runs.restart import InFlight, restart
from bench.runs.wire import A, Job

# Receives the number of items done, their total, and the name of the item that begins.
Progress = Callable[[int, int, str], None]


def work_through(
    job: Callable[[dict[str, str]], Job[A]],
    limit_s: float,
    deaths: int,
    progress: Progress,
    module: str = "bench.worker",
    home: Home = HERE,
    stop: Event | None = None,
) -> Answer[A]:
    """Return the answer of the last child. A child has `limit_s` seconds, and at most `deaths` of them may die.

    A child sends `done total name` before each item. `job` makes the job of a child from the items that killed earlier
    ones, with the reasons. Raises Stopped if `stop` was set.
    """
    broken: dict[str, str] = {}
    hand: InFlight[str] = InFlight()

    def stage(text: str) -> None:
        done, _, rest = text.partition(" ")
        total, _, name = rest.partition(" ")
        if done.isdigit():
            hand.begin_next(name)
            progress(int(done), int(total), name)

    def start(alone: bool) -> Answer[A]:
        return request(job(dict(broken)), limit_s, stage, module=module, home=home, stop=stop)

    def blame(name: str, answer: Answer[A]) -> None:
        broken[name] = f"{answer.status}: {answer.reason}"

    ending = restart(start, hand, blame, deaths=deaths)
    assert ending.answer  # no clock ends it
    return ending.answer
