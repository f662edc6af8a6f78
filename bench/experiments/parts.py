"""Parts of a job, each a fault domain of its own, in as few processes as that takes. For the parent: no torch.

A process that imports torch and Triton cold takes eight seconds and more, so one process does part after part, telling
`try NAME` before and `done NAME {...}` behind each. If it dies or hangs, that is the outcome of the part it was at, and
another process goes on behind it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bench.runs.job import Empty, PartOutcome, PartsJob
from bench.runs.process import HERE, Answer, Ask, Home
from bench.runs.process import ask as ask_child
from bench.runs.request import request
from bench.runs.restart import InFlight, restart

LATE = 0.9  # of its limit, behind which a death is taken for the limit's: what a child tells is heard a little later
STRIKES = 2  # processes in a row that die before they begin a part

STATUSES = ("ok", "wrong", "error", "timeout", "skipped")


class Part(Protocol):
    """What `limit_s` seconds at most may go into, once the process is up."""

    @property
    def name(self) -> str: ...
    @property
    def limit_s(self) -> float: ...


Outcome = PartOutcome
Told = Callable[[str, Outcome], None]


@dataclass
class _Parts:
    """The parts without an outcome, with their limits; what one process after the other tells of them."""

    waiting: dict[str, float]
    told: Told
    hand: InFlight[str] = field(default_factory=InFlight)

    def hear(self, stage: str) -> None:
        verb, _, rest = stage.partition(" ")
        name, _, rest = rest.partition(" ")
        if verb == "try":
            self.hand.begin(name)
        elif verb == "done":
            self.end(name, json.loads(rest))

    def end(self, name: str, outcome: Outcome) -> None:
        self.hand.end(name)
        if self.waiting.pop(name, None) is not None:
            self.told(name, outcome)

    def blame(self, name: str, answer: Answer[Empty]) -> None:
        """The part that a process was at when it died has that as its outcome."""
        seconds = time.monotonic() - self.hand.items[name]
        limit = self.waiting[name]
        late = seconds >= LATE * limit or answer.status == "timeout"
        reason = f"it did not end within {min(limit, seconds):.0f} s; {answer.reason}" if late else answer.reason
        self.end(name, {"status": "timeout" if late else "error", "reason": reason, "seconds": seconds})


def each(
    job: PartsJob,
    parts: Sequence[Part],
    budget_s: float,
    told: Told,
    home: Home = HERE,
    module: str = "bench.worker",
    ask: Ask = ask_child,
) -> None:
    """Run `job` for every part, in order; `told` hears the outcome of each, once, as it comes.

    What is not begun within `budget_s` seconds is skipped, and what runs then is ended.
    """
    end = time.monotonic() + budget_s
    left = _Parts({part.name: part.limit_s for part in parts}, told)

    def start(alone: bool) -> Answer[Empty] | None:
        if not left.waiting:
            return None
        remaining = max(0.0, end - time.monotonic())
        following = replace(job, parts=list(left.waiting.items()))
        return request(following, remaining, left.hear, ask, module=module, home=home)

    ending = restart(start, left.hand, left.blame, strikes=STRIKES, final=(), until=end)
    status, reason = "skipped", f"the {budget_s:g} s were over"
    if ending.gave_up and ending.answer:
        status, reason = "error", f"its process began nothing: {ending.answer.status}: {ending.answer.reason}"
    for name in left.waiting:
        told(name, {"status": status, "reason": reason, "seconds": 0.0})


def first_cause(reason: str) -> str:
    """A reason's first line, for a table."""
    return next((line.strip() for line in reason.splitlines() if line.strip()), "")[:160]
