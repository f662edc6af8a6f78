"""How long a sweep will take: from earlier records of this machine where there are some, else from its settings."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median

from bench.errors import StoreError
from bench.plans.case import Case
from bench.plans.plan import Plan
from bench.plans.settings import P99_SAMPLES, Settings, settings_from
from bench.records.record import Record
from bench.records.same import SERIES, SweepConditions, differences
from bench.records.store import FILE, Store
from bench.runs.turns import LEAST
from bench.text import plural
from resnet.variants import find_variant

# Seconds of a case beside its measuring, where no record says: the start of a process that imports torch, the model,
# the gate; then the compiler's. Guesses from runs on small machines.
START_S = 6.0
COMPILE_S = 15.0
# The assumed seconds of a case of a variant that compiles for minutes, until one has run. It is a guess, large enough
# that none starts when time is nearly up.
FIRST_COMPILE_S = 60.0
# The seconds for the references of a model at an image size, which are computed once
REFERENCE_S = 6.0
READ = 8  # the newest folders of records that are read: more would take longer than they better the estimate


@dataclass
class Budget:
    """The time of a sweep from now on, and the seconds that the last case of each variant took."""

    seconds: float
    start: float = field(default_factory=time.monotonic)
    took: dict[str, float] = field(default_factory=dict)

    def left_s(self) -> float:
        """Return the seconds that are left."""
        return self.start + self.seconds - time.monotonic()

    def over(self, case: Case, more_s: float = 0.0) -> bool:
        """Return whether this case would end too late, with `more_s` after it.

        It is taken to take as long as its variant's last, else the longest.
        """
        minimum = FIRST_COMPILE_S if find_variant(case.variant).compiles_long else 0.0
        return self.took.get(case.variant, max([minimum, *self.took.values()])) + more_s > self.left_s()


@dataclass(frozen=True)
class Estimate:
    """The seconds of some executions; `measured` of the `executions` go by a record of the same variant.

    `samples` are those of a p99 that are not in it, as no record tells how long one takes.
    """

    seconds: float
    executions: int
    measured: int = 0
    samples: int = 0

    def __str__(self) -> str:
        basis = "earlier runs on this machine" if self.measured == self.executions else "the plan's settings"
        if 0 < self.measured < self.executions:
            basis = f"earlier runs on this machine for {self.measured} of them, else from the plan's settings"
        more = f", and the time of {self.samples} samples a case" if self.samples else ""
        executions = f"{self.executions} {plural(self.executions, 'execution')}"
        return f"{in_words(self.seconds)} for {executions}, from {basis}{more}"


def in_words(seconds: float) -> str:
    """Return a time as a sentence begins with it: `About 40 s`, `About 12 minutes`, `About 3.5 hours`."""
    if seconds < 90:
        return f"About {max(1, round(seconds))} s"
    return f"About {seconds / 60:.0f} minutes" if seconds < 5400 else f"About {seconds / 3600:.1f} hours"


def estimate(plan: Plan, due: Iterable[Case], earlier: Iterable[Record], jobs: int = 1) -> Estimate:
    """Return how long the executions `due` of a plan's cases take, `jobs` at a time, by `earlier` records.

    What a record's process took beside its measuring is taken to be the same again: of the same case, else of the
    same variant, else, of the start of a process, as of any that does not compile for minutes.
    """
    due = list(due)
    beside: dict[Case | str, list[float]] = {}
    latency_s: dict[Case, float] = {}
    for record in earlier:
        if record.status == "ok" and record.settings:
            one_s = latency_s[record.case] = median(record.latency_ns or [0]) / 1e9
            rest = record.wall_s - measuring_s(settings_from(record.settings), record.case, one_s)  # < 0: it was quiet
            for key in (record.case, record.case.variant):
                beside.setdefault(key, []).append(rest)
    starts = [rests for key, rests in beside.items() if isinstance(key, str) and not find_variant(key).compiles_long]
    start_s = max(0.0, median(chain.from_iterable(starts))) if starts else START_S
    seconds, measured = 0.0, 0
    for case in due:
        earlier_s = beside.get(case) or beside.get(case.variant)
        measured += bool(earlier_s)
        measuring = measuring_s(plan.settings, case, latency_s.get(case, 0.0))
        first_s = start_s + COMPILE_S * find_variant(case.variant).compiles_long
        seconds += max(0.0, measuring + (median(earlier_s) if earlier_s else first_s))
    groups = {(case.model, case.image) for case in due}
    untold = plan.settings.samples >= P99_SAMPLES and not latency_s.keys() >= set(due)
    samples = plan.settings.samples * untold
    return Estimate(seconds / jobs + REFERENCE_S * len(groups), len(due), measured, samples)


def measuring_s(settings: Settings, case: Case, one_s: float = 0.0) -> float:
    """Return the seconds that the settings give to measuring a case: halfway from the least to the limit.

    They are more where the least samples take longer, of `one_s` seconds each.
    Of turns they are the least, as most cases are settled by then.
    """
    limit_s = max(settings.latency_s, settings.latency_limit_s)
    latency = max((settings.latency_s + limit_s) / 2, settings.samples * one_s)
    flushed = latency if 0 < case.batch <= settings.flush_batch else 0.0
    throughput = LEAST * settings.turn_s if settings.turns > 1 else settings.throughput_s
    return settings.warmup_s + latency + flushed + throughput + settings.energy_s


def earlier_records(now: SweepConditions, results: Path) -> list[Record]:
    """Return the records of the newest folders under `results` that are of the machine that `now` describes."""
    files = [file for depth in ("*", "*/*", "*/*/*") for file in results.glob(f"{depth}/{FILE}")]  # 3: of `bench ab`
    records: list[Record] = []
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[:READ]:
        try:
            records += Store(file.parent).read()
        except StoreError:  # of a newer version, or gone meanwhile
            continue
    return [record for record in records if not differences([record], now, SERIES)]
