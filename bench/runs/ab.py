"""Two commits interleaved: the same cases, round by round, each case of both sides one after the other.

The side that goes first is drawn anew for every case, so that drift, warming up and other load affect both sides alike.
The two records of a case and round are a pair. Each side's processes run that commit's code, including the harness:
where that differs, the difference may come from the harness (`harness_changes`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from bench.errors import RevisionError, StoreError
from bench.machine.environment import ROOT
from bench.machine.facts import Environment
from bench.machine.provenance import sha_of
from bench.plans.plan import Plan
from bench.plans.settings import EIGHT_BIT_SETTINGS, Settings, thread_variables
from bench.records.record import Record
from bench.records.store import Store
from bench.runs import process
from bench.runs.standing import Turn
from bench.runs.sweep import Sweep
from bench.runs.turns import Events
from bench.runs.wire import Json
from bench.runs.worktree import Checkout, changed_files
from resnet.names import Build
from resnet.variants import RENAMED

SIDES = ("base", "head")
# Verdicts are computed after these rounds alone. Each of these looks may be wrong, so the allowed error is divided
# among them (Bonferroni): the chance of a false alarm over all looks is at most the allowed one.
LOOKS = (6, 8, 11, 15, 21, 30)
MEASURING_FOLDER = "bench/worker/measure"  # all its modules measure
# of bench/worker; the others time no case
WORKER_MODULES = ("__init__", "__main__", "case", "prepare", "gate", "runtime", "fits")
MEASURING_FILES = (
    *(f"bench/worker/{name}.py" for name in WORKER_MODULES),
    *(f"bench/machine/{name}.py" for name in ("readings", "watch")),
    *("bench/runs/job.py", "resnet/device_time.py", "resnet/runner.py"),
)
# The same files in older commits, of which the first have a harness in one folder.
OLDER_MODULES = ("worker", "clock", "measure", "warmup", "gate", "memory", "energy", "watch", "job", "runtime", "fit")
OLDER_FILES = (
    *(f"bench/{name}.py" for name in OLDER_MODULES),
    *("bench/worker/turns.py", "resnet/variants/held.py", "resnet/variants/runner.py", "resnet/held.py"),
)

# Settings that came later than the first commits with a worker, which refuse those that they do not know.
LATER = ("threads", "turns", "turn_s", "group_s", *EIGHT_BIT_SETTINGS)


def interim_looks(rounds: int) -> list[int]:
    """Return the numbers of rounds after which a duel may stop; the last is `rounds`."""
    return sorted({look for look in LOOKS if look < rounds} | {rounds})


@dataclass
class Duel:
    """A plan on two checkouts. `is_decided` is called at each look, and says if every case is decided."""

    plan: Plan
    sides: tuple[Checkout, Checkout]
    folder: Path  # the records are in its base/ and head/
    env: Environment
    is_decided: Callable[[], bool] = lambda: False
    rounds: int = LOOKS[-1]
    seed: int = 0
    source: str = "photos"
    resume: bool = False
    budget_s: float = float("inf")  # no round starts that would end later, going by the last one's time
    events: Events = field(default_factory=Events)
    done: int = 0  # rounds that both sides have whole
    stopped: str = ""  # why it ended

    def run(self) -> Iterator[tuple[str, Record]]:
        """Yield each side's record when it is on disk. Raises StoreError as `Sweep.turns` does."""
        start = time.monotonic()
        draw = random.Random(f"ab {self.seed}")
        with ExitStack() as stack:
            turns = {side: stack.enter_context(closing(self._sweep(side).turns())) for side in SIDES}
            due = {side: next(turns[side], None) for side in SIDES}
            round_s = 0.0
            for number in count():
                round_start = time.monotonic()
                while position := _next_position(due, number):
                    pair = [side for side in SIDES if _position(due[side]) == position]
                    for side in draw.sample(pair, len(pair)):
                        turn = due[side]
                        assert turn
                        yield side, turn.run()
                        due[side] = next(turns[side], None)
                self.done = number + 1
                round_s = max(time.monotonic() - round_start, round_s / 2)
                if not any(due.values()):
                    self.stopped = self.stopped or f"all {self.rounds} rounds are done"
                    return
                if self.done in interim_looks(self.rounds) and self.is_decided():
                    self.stopped = "every case is decided"
                    return
                if time.monotonic() - start + round_s > self.budget_s:
                    self.stopped = "the budget is spent"
                    return

    def _sweep(self, side: str) -> Sweep:
        checkout = self.sides[SIDES.index(side)]
        if self.plan.build != Build() and not (checkout.home.root / "resnet" / "names.py").is_file():
            before = "from before models took weights, classes or channels, and would ignore them"
            raise RevisionError(f"{checkout.rev} is {before}")
        store = Store(self.folder / side)
        if self.resume:
            _same_commit(store, checkout)
        usual = Settings()
        # a case's two sides are next to each other instead
        settings = replace(self.plan.settings, turns=1, turn_s=usual.turn_s, group_s=usual.group_s)
        plan = replace(self.plan, rounds=self.rounds, rounds_limit=0, settings=settings)
        # by variables, too: a commit may be from before its worker read the setting
        variables = checkout.home.variables | thread_variables(plan.settings.threads)
        ask = partial(ask_checkout, replace(checkout, home=replace(checkout.home, variables=variables)))
        env: Environment = {**self.env, "git": checkout.provenance}
        events = _EventsOfBoth(self.events)
        return Sweep(plan, store, env, self.seed, self.source, self.resume, events=events, ask=ask)


def ask_checkout(checkout: Checkout, job: Json, limit_s: float, on_stage: Callable[[str], None]) -> process.Answer[Any]:
    """Have a checkout's worker do a job; one from before a variant was renamed gets the case by the old name.

    The first commits refuse what they do not know: they get no `build` or `data`, and none of LATER, that are as usual.
    """
    plain = {"build": asdict(Build()), "data": ""}
    job = {name: value for name, value in job.items() if name not in plain or value != plain[name]}
    if "settings" in job:
        usual = asdict(Settings())
        settings = {name: value for name, value in job["settings"].items() if name not in LATER or value != usual[name]}
        job |= {"settings": settings}
    for old, new in RENAMED.items():
        if (checkout.home.root / "resnet" / "variants" / f"{old}.py").exists() and "case" in job:
            job = job | {"case": job["case"].replace(f"/{new}/", f"/{old}/")}
    return process.ask(job, limit_s, on_stage, home=checkout.home)


class _EventsOfBoth(Events):
    """The events of one of two sweeps, with the total of both."""

    def __init__(self, events: Events) -> None:
        self.starts, self.stage, self.ended = events.starts, events.stage, events.ended  # type: ignore[method-assign]
        self._planned = events.planned

    def planned(self, total: int) -> None:
        self._planned(2 * total)


def _position(turn: Turn | None) -> tuple[int, int] | None:
    return (turn.round, turn.place) if turn else None


def _next_position(due: dict[str, Turn | None], number: int) -> tuple[int, int] | None:
    """Return the next round and place, up to round `number`, at which a side has a turn; None if there is none."""
    positions = map(_position, due.values())
    return min((position for position in positions if position and position[0] <= number), default=None)


def _same_commit(store: Store, checkout: Checkout) -> None:
    """Raise StoreError where a store has records of another commit, or of other uncommitted changes to it."""
    try:
        records = store.read()
    except StoreError:  # nothing there yet
        return
    if any(sha_of(record.environment) != checkout.sha for record in records):
        raise StoreError(f"the records in {store.folder} are of another commit than {checkout.rev}; choose -o anew")
    commits = [commit for record in records if isinstance(commit := record.environment.get("git"), dict)]
    if {commit["code"] for commit in commits if "code" in commit} - {checkout.provenance["code"]}:
        raise StoreError(f"the code has changed since the records in {store.folder} were taken; choose -o anew")


def measuring_files(root: Path = ROOT) -> list[str]:
    """Return the modules that measure in the checkout at `root`, as paths relative to it."""
    modules = [*(root / MEASURING_FOLDER).glob("*.py"), *(root / file for file in (*MEASURING_FILES, *OLDER_FILES))]
    return sorted(path.relative_to(root).as_posix() for path in modules if path.is_file())


def harness_changes(base: Checkout, head: Checkout, repository: Path = ROOT) -> list[str]:
    """Return a sentence if the two commits do not measure with the same code, in a list; else an empty list."""
    paths = {path for side in (base, head) for path in measuring_files(side.home.root)}
    files = changed_files(base.commit, head.commit, sorted(paths), repository)
    if not files:
        return []
    return [f"the measuring code differs between the two ({', '.join(files)}): a difference may come from it"]
