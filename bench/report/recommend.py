"""The best case under a budget, the runner-up, what the difference rests on; or what the records cannot tell, and why.

A limit is met only where the records show it: a p99 by its order-statistic upper bound, so that no luck of the sampling
stands behind it. A case that may meet it, or may not, is open: it is told, and so is the run that would decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import ceil, inf
from statistics import median
from typing import Literal

from bench.records.baseline import images_per_second
from bench.records.record import STATUSES, Record
from bench.report.rows import Row, left_out, rows
from bench.stats import LEAST_ROUNDS, Ratio, ratio, samples_needed

CONFIDENCE = 0.99  # of a bound on the p99, each by itself
P = 0.99
MANY = 1_000_000  # samples: what so many would not decide is too close to the limit to be decided
STEP = 4  # times as many samples, before another look: the share of slow ones is not known well itself
ROUNDS_WORTH = 100  # more rounds than these to tell two cases apart: the difference does not matter
GIB = 1 << 30
OLDER = "an older record"
AXES = ("model", "variant", "precision", "batch", "image", "launch")


@dataclass(frozen=True)
class Objective:
    """What is to be best: its unit, its value in one record, and whether more is better."""

    unit: str
    value: Callable[[Record], float | None]
    more: bool

    def of(self, row: Row) -> float | None:
        """The median over the rounds."""
        return row.middle(self.value)

    def gain(self, one: float, other: float) -> float:
        """How many times better `one` is."""
        return one / other if self.more else other / one


def _p50_ms(record: Record) -> float | None:
    kept = record.kept("latency_ns")
    return median(kept) / 1e6 if kept else None


def joules(record: Record) -> float | None:
    """Per image."""
    told = record.energy
    return told["joules"] / told["images"] if told.get("images") and told.get("joules") is not None else None


OBJECTIVES = {
    "throughput": Objective("images/s", images_per_second, True),
    "latency": Objective("ms at the median", _p50_ms, False),
    "energy": Objective("J/image", joules, False),
}


@dataclass(frozen=True)
class Budget:
    """The limits that are set, and what is best within them."""

    p99_ns: float | None = None
    memory_bytes: float | None = None
    agreement: float | None = None  # least share of pictures whose top class is that of float64
    objective: str = "throughput"

    @property
    def limits(self) -> bool:
        return not (self.p99_ns is None and self.memory_bytes is None and self.agreement is None)


@dataclass
class Judged:
    """A case under a budget: the limits it breaks, and those that its records cannot tell, each in words."""

    row: Row
    value: float | None  # of the objective
    over: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    more: int = 0  # latency samples that may decide its p99

    @property
    def fits(self) -> bool:
        return not self.over and not self.open


def judge(row: Row, budget: Budget) -> Judged:
    found = Judged(row, OBJECTIVES[budget.objective].of(row))
    if budget.p99_ns is not None:
        _judge_tail(found, budget.p99_ns)
    if budget.memory_bytes is not None:
        if row.memory is None:
            found.open.append(f"memory not on record ({why_no_memory(row)})")
        elif row.memory > budget.memory_bytes:
            found.over.append(f"memory over {budget.memory_bytes / GIB:g} GiB")
    if budget.agreement is not None:
        agreed = row.worst("top1")
        if agreed is None:
            found.open.append("agreement not on record")
        elif agreed < budget.agreement:
            found.over.append(f"top-1 agreement under {budget.agreement:g}")
    if found.value is None:
        found.open.append(f"no {budget.objective} on record ({_why_no_energy(row)})")
    return found


def _judge_tail(found: Judged, limit_ns: float) -> None:
    """Over where the p99 is, open where too few samples, or too many close to the limit, leave it open."""
    from scipy.special import bdtr

    samples = samples_of(found.row)
    within, limit = sum(ns <= limit_ns for ns in samples), f"{limit_ns / 1e6:g} ms"
    known = found.row.p99
    if known and known.upper <= limit_ns:
        return
    # with a p99 within the limit, so few samples within it would be that improbable
    if known.value > limit_ns if known else bdtr(within, len(samples), P) <= 1 - CONFIDENCE:
        found.over.append(f"p99 over {limit}")
        return
    step = max(samples_needed(P), STEP * len(samples))
    found.more = min(step, wanted(len(samples), len(samples) - within)) - len(samples)
    few = f"{len(samples)} samples, p99 needs {samples_needed(P)}"
    close = (
        f"p99 is {known.value / 1e6:.4g} ms, and with 99 % confidence under {known.upper / 1e6:.4g}" if known else ""
    )
    found.open.append(f"p99 within {limit} not shown ({close or few})")


def wanted(samples: int, beyond: int) -> int:
    """How many samples would show the p99 under a limit, if the same share as now is `beyond` it.

    At least those that support a p99 at all; MANY where that share is too close to 1 %.
    """
    from scipy.special import bdtr

    count = max(samples, samples_needed(P))
    while count < MANY:
        expected = ceil(beyond * count / samples)
        if bdtr(count - expected - 1, count, P) >= CONFIDENCE:
            return count
        count = ceil(1.05 * count)
    return MANY


def samples_of(row: Row) -> list[int]:
    """The latencies that count, of all its rounds."""
    return list(chain.from_iterable(record.kept("latency_ns") for record in row.records))


def why_no_memory(row: Row) -> str:
    number: Literal["device_process_unreadable", "host_resident_peak_unreadable"]
    number = "device_process_unreadable" if row.device == "cuda" else "host_resident_peak_unreadable"
    return next((record.memory[number] for record in row.records if number in record.memory), OLDER)


def _why_no_energy(row: Row) -> str:
    why = "its plan has no energy_s, of at least 5" if row.device == "cuda" else "only a GPU's counter is read"
    return next((r.energy["unreadable"] for r in row.records if "unreadable" in r.energy), why)


@dataclass
class Choice:
    """What one model on one machine offers under a budget, best first in each list."""

    budget: Budget
    fitting: list[Judged]
    open: list[Judged]  # within every limit that is known
    excluded: Counter[str]  # why -> cases
    ahead: Ratio | None = None  # of the best over the runner-up, in rounds that have both

    @property
    def best(self) -> Judged | None:
        return self.fitting[0] if self.fitting else None

    @property
    def runner_up(self) -> Judged | None:
        return self.fitting[1] if len(self.fitting) > 1 else None

    @property
    def promising(self) -> list[Judged]:
        """The open cases that would be better than the best, or, where nothing fits, all."""
        aim, best = OBJECTIVES[self.budget.objective], self.best
        known = [found for found in self.open if found.value is not None]
        if best is None or best.value is None:
            return known
        return [found for found in known if found.value and aim.gain(found.value, best.value) > 1]

    @property
    def clear(self) -> bool | None:
        """Whether the best is ahead by more than chance; None where too few rounds tell."""
        if self.ahead is None or self.ahead.low is None:
            return None
        return self.ahead.low > 1


def choose(records: Sequence[Record], budget: Budget) -> Choice:
    """Of one machine's records of one model: what fits the budget, what may, and what does not."""
    aim = OBJECTIVES[budget.objective]
    judged = [judge(row, budget) for row in rows(records)]
    judged.sort(key=lambda found: inf if found.value is None else -found.value if aim.more else found.value)
    fitting = [found for found in judged if found.fits]
    excluded = Counter(reason for found in judged for reason in found.over[:1])
    for status, _, cases in left_out(records):
        excluded[f"{status}: {STATUSES.get(status, 'of a later version')}"] += len(cases)
    choice = Choice(budget, fitting, [found for found in judged if found.open and not found.over], excluded)
    if choice.best and choice.runner_up:
        # the best is picked after a look at all: held against each of the others, as Bonferroni's correction has it
        choice.ahead = advantage(choice.best.row, choice.runner_up.row, aim, 1 - 0.05 / (len(fitting) - 1))
    return choice


def advantage(one: Row, other: Row, aim: Objective, confidence: float = 0.95) -> Ratio | None:
    """How many times better one case is than another, over the rounds that have both; None without one."""
    mine, theirs = ({record.round: aim.value(record) for record in row.records} for row in (one, other))
    pairs = [(a, b) for number, a in mine.items() if a and (b := theirs.get(number))]
    return ratio([(a, b) if aim.more else (b, a) for a, b in pairs], confidence) if pairs else None


def rounds_to_tell(found: Choice) -> int | None:
    """Rounds in which the best would be clear of the runner-up, if the ratio is what it seems; None if it is, or never.

    The interval narrows with the square root of the rounds.
    """
    ahead = found.ahead
    if ahead is None or found.clear:
        return None
    if ahead.low is None:
        return LEAST_ROUNDS
    lead, doubt = ahead.value - 1, ahead.value - ahead.low
    needed = ceil(ahead.rounds * (doubt / lead) ** 2) + 1 if lead > 0 else ROUNDS_WORTH + 1
    return max(LEAST_ROUNDS, needed) if needed <= ROUNDS_WORTH else None


def differing(one: Row, other: Row) -> list[str]:
    """The axes that two cases differ in, with both words."""
    pairs = [(axis, getattr(one.case, axis), getattr(other.case, axis)) for axis in AXES]
    return [f"{axis} ({mine}, {theirs})" for axis, mine, theirs in pairs if mine != theirs]


def pareto(found: Iterable[Judged]) -> list[Judged]:
    """The cases that none beats in everything: throughput, median latency, memory, and energy where it was measured."""
    among = list(found)
    scores = [_scores(judged.row) for judged in among]

    def beaten(mine: tuple[float, ...]) -> bool:
        return any(other != mine and all(b <= a for a, b in zip(mine, other, strict=True)) for other in scores)

    return [judged for judged, mine in zip(among, scores, strict=True) if not beaten(mine)]


def _scores(row: Row) -> tuple[float, ...]:
    """Less is better in each; what is not known is as bad as can be."""
    energy = row.middle(joules)
    memory = inf if row.memory is None else float(row.memory)
    return (-row.images_per_s, row.p50_ns, memory, inf if energy is None else energy)


def agreement(row: Row) -> tuple[float, int, float] | None:
    """The least top-1 agreement of all checks, its pictures, and what it is at least with 95 % confidence.

    The bound is Clopper and Pearson's.
    """
    checks = [check for record in row.records for check in record.gate.values() if check.get("pictures")]
    if not checks:
        return None
    from scipy.special import betaincinv

    worst = min(checks, key=lambda check: (check["top1"], check["pictures"]))
    pictures = int(worst["pictures"])
    agreed = round(worst["top1"] * pictures)
    return worst["top1"], pictures, float(betaincinv(agreed, pictures - agreed + 1, 0.05)) if agreed else 0.0
