"""How often verdicts are wrong, by real runs: `bench ab` of HEAD with itself, as it is and with a delay of known size.

Worktrees of HEAD, all alike: one is base, one is head of the A/A test, and in one for each delay `prepare` is wrapped
before anything runs (`bench.worker.measure.delay` has the code, and why it is as it is).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import exp
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import FAILED, STOPPED, BenchError, RevisionError
from bench.machine.environment import ROOT
from bench.machine.facts import Environment
from bench.plans.plan import Plan
from bench.records.record import Record
from bench.runs.ab import SIDES, Duel
from bench.runs.sweep import Events
from bench.runs.worktree import Checkout, checkouts
from bench.verdicts.compare import Comparison
from bench.verdicts.duel import compared, sides, verdict_looks
from bench.verdicts.metrics import METRICS
from bench.verdicts.rounds import Sides
from bench.verdicts.selftest.simulated import SPEED

INJECTED = Path(__file__).parents[2] / "worker" / "measure" / "delay.py"
VARIANTS = Path("resnet/variants/__init__.py")
WRAPPED = """

from resnet.variants.injected import delayed as _delayed

prepare = _delayed(prepare, {share!r})
"""


@dataclass(frozen=True)
class Trial:
    """One comparison to be made: a delay (0.03; 0 is none, the A/A test) and which repeat of it this is."""

    delay: float
    repeat: int

    def __str__(self) -> str:
        what = f"delayed by {100 * self.delay:g} %" if self.delay else "the same code"
        return f"HEAD against HEAD, {what}, repeat {self.repeat + 1}"


@dataclass
class RealRuns:
    """Trials of a plan. `run` yields each when it is over; `tests` and `failed` then hold what it left.

    A trial that the budget cut short does not count: it had fewer rounds than the others.
    """

    plan: Plan
    env: Environment
    delays: Sequence[float]  # 0 among them for the A/A test
    rounds: int = 10
    repeats: int = 1
    seed: int = 0
    source: str = "photos"
    budget_s: float = float("inf")
    repository: Path = ROOT
    watched: Callable[[Trial], AbstractContextManager[Events]] = lambda trial: nullcontext(Events())
    tell: Callable[[str], None] = lambda text: None
    tests: list[dict[str, Any]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    first: Record | None = None  # a good one, for what it tells of the machine
    cut: bool = False  # it ended before all that was asked

    def run(self) -> Iterator[Trial]:
        """Every delay once, then all again. Raises RevisionError as `bench.runs.worktree.checkouts` does."""
        start, took = time.monotonic(), 0.0
        with checkouts(["HEAD"] * (1 + len(self.delays)), self.tell, self.repository) as (base, *heads):
            for delay, head in zip(self.delays, heads, strict=True):
                if delay:
                    inject(head.home.root, delay)
            for repeat in range(self.repeats):
                for place, delay in enumerate(self.delays):
                    began = time.monotonic()
                    left = self.budget_s - (began - start)
                    # each with other weights, pictures and turns: an effect of these is not met in all of them
                    seed = self.seed + repeat * len(self.delays) + place
                    if took > left or not self._trial(Trial(delay, repeat), (base, heads[place]), seed, left):
                        self.cut = True
                        return
                    took = max(took, time.monotonic() - began)
                    yield Trial(delay, repeat)

    def _trial(self, trial: Trial, sides: tuple[Checkout, Checkout], seed: int, left: float) -> bool:
        """Whether it came to its end within the time that is left."""
        settled = False
        # of the delayed side it would be said that a commit made it, if these records were kept
        with tempfile.TemporaryDirectory(prefix="resnet-bench-selftest-") as name, self.watched(trial) as events:
            folder = Path(name)

            def enough() -> bool:
                nonlocal settled
                settled = not judged(folder, self.rounds)[0].counts["AMBIGUOUS"]
                return settled

            duel = Duel(self.plan, sides, folder, self.env, enough, self.rounds, seed, self.source)
            duel.budget_s, duel.events = left, events
            for side, record in duel.run():
                if record.status == "ok":
                    self.first = self.first or record
                elif record.status != "skipped":
                    self.failed.append(f"{trial}, {side}: {record.case.name}: {record.status}: {record.reason}")
            if duel.done < self.rounds and not settled:
                return False
            self.tests += _tests(trial, *judged(folder, self.rounds))
        return True

    def finish(self) -> None:
        """Run all trials; an interruption keeps those that are over. Raises BenchError where none is."""
        try:
            for _ in self.run():
                pass
        except KeyboardInterrupt:
            if not self.tests:
                raise BenchError("stopped before one comparison was over", STOPPED) from None
            self.cut = True
        if not self.tests and self.cut:
            cure = "fewer cases (-f), or a larger --budget"
            raise BenchError(f"the budget was spent before one comparison was over: {cure}", FAILED)
        if not self.tests or not self.first:
            why = self.failed[0] if self.failed else "no case has a speed"
            raise BenchError(f"nothing of {self.plan.name} was compared: {why}", FAILED)

    def plain(self) -> dict[str, Any]:
        """As a file keeps it, with what the tables need to say how it came about."""
        return {
            "setting": {
                "plan": self.plan.name,
                "cases": [case.name for case in self.plan.cases],
                "delays": list(self.delays),
                "rounds": self.rounds,
                "looks": verdict_looks(self.rounds),
                "repeats": self.repeats,
                "seed": self.seed,
                "input": self.source,
                "cut": self.cut,
            },
            "tests": self.tests,
            "failed": self.failed,
        }


def inject(root: Path, share: float) -> None:
    """Make every call of every variant of the checkout at `root` take `share` longer. Raises RevisionError."""
    table = root / VARIANTS
    if not table.is_file():
        raise RevisionError(f"HEAD has no {VARIANTS}: it is from before a delay could be put into it")
    table.with_name("injected.py").write_text(INJECTED.read_text(encoding="utf-8"), encoding="utf-8")
    with table.open("a", encoding="utf-8") as file:
        file.write(WRAPPED.format(share=share))


def judged(folder: Path, rounds: int) -> tuple[Comparison, Sides]:
    """What `bench ab` says of the speeds in base/ and head/ of `folder`, and the numbers that it says it of."""
    frames = sides(folder)
    return compared(frames, rounds, SPEED), Sides(*frames)


def _tests(trial: Trial, found: Comparison, numbers: Sides) -> list[dict[str, Any]]:
    """A row for each verdict: its word, how many times slower head was, and the noise of that between rounds."""
    made = []
    ratios = {name: _log_ratios(numbers, name) for name in SPEED}
    for one in found.verdicts:
        sign, row = METRICS[one.metric].sign, ratios[one.metric][numbers.place[one.case]]
        known = row[np.isfinite(row)]
        made.append(
            {
                "delay": trial.delay,
                "repeat": trial.repeat,
                "case": one.case,
                "metric": one.metric,
                "word": one.word,
                "rounds": min(one.rounds),
                "slower": exp(sign * float(known.mean())) if len(known) else None,
                "noise": float(known.std(ddof=1)) if len(known) > 1 else None,
            }
        )
    return made


def _log_ratios(sides: Sides, name: str) -> Any:
    """log(head / base), [cases, rounds]."""
    base, head = (np.log(sides.number(side, METRICS[name])) for side in SIDES)
    return head - base
