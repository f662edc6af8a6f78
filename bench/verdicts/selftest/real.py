"""The error rates of verdicts by real runs: `bench ab` of HEAD with itself, unchanged and with delays of a set size.

All worktrees are of HEAD: one is base, one is head of the A/A test, and in one for each delay `prepare` is wrapped
before anything runs. `bench.worker.measure.delay` has the code of the delay and its reasons.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import exp
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import FAILED, STOPPED, BenchError, RevisionError
from bench.files import owned_folder
from bench.machine.environment import ROOT
from bench.machine.facts import Environment
from bench.plans.plan import Plan
from bench.records.record import Record
from bench.runs.ab import SIDES, Duel
from bench.runs.turns import Events
from bench.runs.worktree import Checkout, checkouts
from bench.verdicts.compare import Comparison
from bench.verdicts.duel import compare_looks, side_lists, verdict_looks
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
    """A comparison to run: its delay, relative (0.03; 0 is the A/A test), and its number among the repeats."""

    delay: float
    repeat: int

    def __str__(self) -> str:
        code = f"delayed by {100 * self.delay:g} %" if self.delay else "the same code"
        return f"HEAD against HEAD, {code}, repeat {self.repeat + 1}"


@dataclass
class RealRuns:
    """The trials of a plan. `run_trials` yields each when it is over; `tests` and `failed` then have its results.

    A trial that the budget cut short does not count, because it had fewer rounds than the others.
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
    report: Callable[[str], None] = lambda text: None
    tests: list[dict[str, Any]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    first: Record | None = None  # the first that is ok, as the source of facts about the machine
    cut: bool = False  # it ended before all trials were run

    def run_trials(self) -> Iterator[Trial]:
        """Run every delay once, then all again. Raises RevisionError as `bench.runs.worktree.checkouts` does."""
        start, longest = time.monotonic(), 0.0
        with checkouts(["HEAD"] * (1 + len(self.delays)), self.report, self.repository) as (base, *heads):
            for delay, head in zip(self.delays, heads, strict=True):
                if delay:
                    inject(head.home.root, delay)
            for repeat in range(self.repeats):
                for place, delay in enumerate(self.delays):
                    began = time.monotonic()
                    left = self.budget_s - (began - start)
                    # each trial has other weights, pictures and turns, so that no trait of theirs is in all
                    seed = self.seed + repeat * len(self.delays) + place
                    if longest > left or not self._run_trial(Trial(delay, repeat), (base, heads[place]), seed, left):
                        self.cut = True
                        return
                    longest = max(longest, time.monotonic() - began)
                    yield Trial(delay, repeat)

    def _run_trial(self, trial: Trial, sides: tuple[Checkout, Checkout], seed: int, left: float) -> bool:
        """Run a trial; return whether it ended within `left` seconds."""
        settled = False
        # the records are not kept, because those of a delayed side would pass for a commit's
        with owned_folder("selftest") as folder, self.watched(trial) as events:

            def enough() -> bool:
                nonlocal settled
                settled = not compare_speed(folder, self.rounds)[0].counts["AMBIGUOUS"]
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
            self.tests += _tests(trial, *compare_speed(folder, self.rounds))
        return True

    def run_all(self) -> None:
        """Run all trials; an interruption keeps those that are over. Raises BenchError where none is."""
        try:
            for _ in self.run_trials():
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

    def as_json(self) -> dict[str, Any]:
        """Return the results as a file keeps them, with the setting that the tables name."""
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
    """Make every call of every variant of the checkout at `root` take `share` (0.03) longer. Raises RevisionError."""
    table = root / VARIANTS
    if not table.is_file():
        raise RevisionError(f"HEAD has no {VARIANTS}: it is from before a delay could be put into it")
    table.with_name("injected.py").write_text(INJECTED.read_text(encoding="utf-8"), encoding="utf-8")
    with table.open("a", encoding="utf-8") as file:
        file.write(WRAPPED.format(share=share))


def compare_speed(folder: Path, rounds: int) -> tuple[Comparison, Sides]:
    """Return the verdicts of `bench ab` on the speeds in base/ and head/ of `folder`, and the sides themselves."""
    sides = side_lists(folder)
    return compare_looks(sides, rounds, SPEED), Sides(*sides)


def _tests(trial: Trial, comparison: Comparison, sides: Sides) -> list[dict[str, Any]]:
    """Return a row for each verdict: its word, how many times slower head was, and the noise of that between rounds."""
    rows = []
    log_ratios: dict[str, Any] = {}  # log(head / base), [cases, rounds]
    for name in SPEED:
        metric = METRICS[name]
        base, head = (
            np.where(sides.throttled(side, metric), np.nan, np.log(sides.unmasked(side, metric))) for side in SIDES
        )
        log_ratios[name] = head - base
    for verdict in comparison.verdicts:
        sign, ratios = METRICS[verdict.metric].sign, log_ratios[verdict.metric][sides.index[verdict.case]]
        ratios = ratios[np.isfinite(ratios)]
        row = {"delay": trial.delay, "repeat": trial.repeat, "case": verdict.case, "metric": verdict.metric}
        row |= {"word": verdict.word, "rounds": min(verdict.rounds)}
        row["slower"] = exp(sign * float(ratios.mean())) if len(ratios) else None
        rows.append(row | {"noise": float(ratios.std(ddof=1)) if len(ratios) > 1 else None})
    return rows
