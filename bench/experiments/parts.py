"""The parts of a job, run as separate fault domains in as few processes as possible. For the parent: no torch.

A process that imports torch and Triton cold takes eight seconds and more, so one process does part after part, and
reports `try NAME` before and `done NAME {...}` after each. If it dies or hangs, that is the outcome of the part it was
at, and another process continues with the next.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from bench.experiments.lists import Experiment, Piece
from bench.runs.job import Empty, PartOutcome, PartsJob
from bench.runs.process import HERE, Answer, Ask, Home, request
from bench.runs.process import ask as ask_child
from bench.runs.restart import InFlight, restart

LATE = 0.9  # of a part's limit: a later death counts as a timeout, as a child's stages arrive with a delay
STRIKES = 2  # processes in a row that die before they begin a part, after which none is started

STATUSES = ("ok", "wrong", "error", "timeout", "skipped")

Outcome = PartOutcome
OnOutcome = Callable[[str, Outcome], None]


@dataclass
class _Parts:
    """The parts without an outcome, with their limits in seconds, as the stages of one process after the other come."""

    waiting: dict[str, float]
    on_outcome: OnOutcome
    hand: InFlight[str] = field(default_factory=InFlight)

    def receive(self, stage: str) -> None:
        verb, _, rest = stage.partition(" ")
        name, _, rest = rest.partition(" ")
        if verb == "try":
            self.hand.begin(name)
        elif verb == "done":
            self.end(name, json.loads(rest))

    def end(self, name: str, outcome: Outcome) -> None:
        self.hand.end(name)
        if self.waiting.pop(name, None) is not None:
            self.on_outcome(name, outcome)

    def blame(self, name: str, answer: Answer[Empty]) -> None:
        """Give the part that a process was at when it died that death as its outcome."""
        seconds = time.monotonic() - self.hand.items[name]
        limit = self.waiting[name]
        timed_out = seconds >= LATE * limit or answer.status == "timeout"
        reason = f"it did not end within {min(limit, seconds):.0f} s; {answer.reason}" if timed_out else answer.reason
        self.end(name, {"status": "timeout" if timed_out else "error", "reason": reason, "seconds": seconds})


def run_each_part(
    job: PartsJob,
    parts: Sequence[Piece | Experiment],
    budget_s: float,
    on_outcome: OnOutcome,
    home: Home = HERE,
    module: str = "bench.worker",
    ask: Ask = ask_child,
) -> None:
    """Run `job` for every part, in order; `on_outcome` receives the outcome of each, once, as it comes.

    A part may take its `limit_s` seconds once the process is up. Parts not begun within `budget_s` seconds are skipped,
    and the one that runs then is ended.
    """
    deadline = time.monotonic() + budget_s
    left = _Parts({part.name: part.limit_s for part in parts}, on_outcome)

    def start(alone: bool) -> Answer[Empty] | None:
        if not left.waiting:
            return None
        remaining = max(0.0, deadline - time.monotonic())
        remaining_job = replace(job, parts=list(left.waiting.items()))
        return request(remaining_job, remaining, left.receive, ask, module=module, home=home)

    ending = restart(start, left.hand, left.blame, strikes=STRIKES, final=(), until=deadline)
    status, reason = "skipped", f"the {budget_s:g} s were over"
    if ending.gave_up and ending.answer:
        status, reason = "error", f"its process began nothing: {ending.answer.status}: {ending.answer.reason}"
    for name in left.waiting:
        on_outcome(name, {"status": status, "reason": reason, "seconds": 0.0})


def first_cause(reason: str) -> str:
    """Return a reason's first line that is not blank, cut to 160 characters, for a table."""
    return next((line.strip() for line in reason.splitlines() if line.strip()), "")[:160]
