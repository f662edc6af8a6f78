"""The best case under a budget, the runner-up and the evidence for both; or why the records cannot decide.

A limit is met, or violated, only where the records show it: a p99 of these processes by its order-statistic bounds, so
that no luck of the sampling stands behind it. A case that may or may not meet a limit is undecided: it is listed, with
the run that would decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Literal

from bench.dependence import independent_beyond
from bench.records.record import STATUSES, Record
from bench.records.same import by_way
from bench.records.speed import (
    SpeedRatio,
    against_all,
    disturbed_turns,
    images_per_second,
    other_work,
    speed_ratio,
    sureness,
)
from bench.report.evidence import describe_dependence, describe_reliability, disturbance, why_no_energy, why_no_memory
from bench.report.price import Limited, agreement_limit, loss_limit
from bench.report.rows import Row, joules_per_image, rows_from_records
from bench.stats import is_beyond, ratio, samples_needed

CONFIDENCE = 0.99  # of a bound on the p99, each by itself
P = 0.99
MAX_SAMPLES = 1_000_000  # a p99 that takes more samples to decide is too close to the limit to be decided
SAMPLE_GROWTH = 4  # times as many samples before another look: the share beyond the limit is itself uncertain
GIB = 1 << 30


@dataclass(frozen=True)
class Objective:
    """A number to optimise: its unit, its value in one record, and whether more is better."""

    unit: str
    value: Callable[[Record], float | None]
    more_is_better: bool

    def improvement(self, value: float, other: float) -> float:
        """Return how many times better `value` is than `other`."""
        return value / other if self.more_is_better else other / value


OBJECTIVES = {
    "throughput": Objective("images/s", images_per_second, True),
    "latency": Objective("ms at the median", lambda record: (record.p50_ns("latency_ns") or 0.0) / 1e6 or None, False),
    "energy": Objective("J/image", joules_per_image, False),
}


@dataclass(frozen=True)
class Budget:
    """The limits that a case must meet, and the objective that is best within them."""

    p99_ns: float | None = None
    memory_bytes: float | None = None
    agreement: float | None = None  # least share of pictures whose top class is float32's, or the reference's
    objective: str = "throughput"
    accuracy_loss: float | None = None  # most of the share of right answers that float32 has more

    @property
    def admits_eight_bits(self) -> bool:
        """True if there is a limit on what 8 bits cost."""
        return self.agreement is not None or self.accuracy_loss is not None


@dataclass
class Assessment:
    """A case under a budget: the limits that it violates, and those that its records leave undecided, each in words."""

    row: Row
    value: float | None  # of the objective
    violated: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    samples_missing: int = 0  # latency samples that may decide its p99
    disturbed: bool = False  # its samples were taken beside other work, and cannot be counted on
    failed: Record | None = None  # a round that may end well in another process
    run_again: bool = False  # its records are from before a number was read that another run would have
    costs: list[Limited] = field(default_factory=list)  # limits on what it costs that are undecided
    over_best: SpeedRatio | None = None  # how many times better than the choice, in what they share

    @property
    def fits(self) -> bool:
        return not self.violated and not self.undecided


def assess(row: Row, budget: Budget, failed: Sequence[Record] = ()) -> Assessment:
    """Compare a case with every limit of a budget; `failed` are its rounds that failed."""
    value = OBJECTIVES[budget.objective].value
    speed = row.images_per_s if value is images_per_second else None
    assessment = Assessment(row, speed or row.median_over_rounds(value))
    if failed:
        statuses = sorted({record.status for record in failed})
        why = f"{', '.join(statuses)} in {len(failed)} of {len(failed) + row.rounds} rounds"
        (assessment.violated if "wrong" in statuses else assessment.undecided).append(why)
        assessment.failed = failed[-1]
    if budget.p99_ns is not None:
        _assess_p99(assessment, budget.p99_ns)
    if budget.memory_bytes is not None:
        if row.memory is None:
            why = why_no_memory(row)
            assessment.undecided.append(f"memory not on record ({why or 'an older record'})")
            assessment.run_again |= not why
        elif row.memory > budget.memory_bytes:
            assessment.violated.append(f"memory over {budget.memory_bytes / GIB:g} GiB")
    _assess_price(assessment, budget)
    if assessment.value is None:
        assessment.undecided.append(f"no {budget.objective} on record ({why_no_energy(row)})")
    return assessment


def _assess_price(assessment: Assessment, budget: Budget) -> None:
    for limit, judge in ((budget.agreement, agreement_limit), (budget.accuracy_loss, loss_limit)):
        cost = judge(assessment.row, limit) if limit is not None else Limited()
        assessment.violated += filter(None, [cost.violated])
        if cost.undecided:
            assessment.undecided.append(cost.undecided)
            assessment.costs.append(cost)


def _assess_p99(assessment: Assessment, limit_ns: float) -> None:
    """Compare the p99 of these processes with its limit: too few samples, or too many near it, leave it undecided."""
    samples, p99 = assessment.row.samples, assessment.row.p99
    if p99 and p99.upper <= limit_ns:
        return
    latencies, limit = assessment.row.latencies, f"{limit_ns / 1e6:g} ms"
    within = sum(int((each <= limit_ns).sum()) for each in latencies)
    independent = p99.independent if p99 else independent_beyond(latencies, limit_ns)
    if is_beyond(within, samples, independent, P, CONFIDENCE):
        others = max(other_work(assessment.row.records), default=0.0)
        if not others:
            assessment.violated.append(f"p99 over {limit}")
            return
        assessment.undecided.append(f"p99 over {limit}, while other work took {others:.0%} of this machine's time")
        assessment.samples_missing, assessment.disturbed = samples_needed(P), True
        return
    needed = samples_to_decide(independent, ceil((samples - within) * independent / samples))
    needed = min(max(samples_needed(P), SAMPLE_GROWTH * independent), needed)
    assessment.samples_missing = ceil(needed * samples / independent) - samples
    why = f"{samples} samples{describe_dependence(samples, independent)}, p99 needs {samples_needed(P)}"
    if p99:
        between = f"between {p99.lower / 1e6:.4g} and {p99.upper / 1e6:.4g}"
        why = f"p99 is {p99.value / 1e6:.4g} ms, each bound with 99 % confidence {between}"
    assessment.undecided.append(f"p99 within {limit} not shown ({why})")


def samples_to_decide(samples: int, beyond: int) -> int:
    """Return how many samples would show the p99 under a limit, if the same share as now is `beyond` it.

    At least those that support a p99 at all; MAX_SAMPLES where that share is too close to 1 %.
    """
    from scipy.special import bdtr

    count = max(samples, samples_needed(P))
    while count < MAX_SAMPLES:
        expected = ceil(beyond * count / samples)
        if bdtr(count - expected - 1, count, P) >= CONFIDENCE:
            return count
        count = ceil(1.05 * count)
    return MAX_SAMPLES


Answer = Literal["case", "no", "cannot tell"]


@dataclass
class Choice:
    """The cases of one model on one machine under a budget, best first in each list."""

    budget: Budget
    fitting: list[Assessment]
    undecided: list[Assessment]  # no limit is violated, and some are undecided
    excluded: Counter[str]  # reason -> cases
    unmeasured: list[Record] = field(default_factory=list)  # throttled: of cases that have no speed for that alone
    eight_bits: list[Assessment] = field(default_factory=list)  # left out, as no limit says what they may cost
    challenger: Assessment | None = None  # the fitting case that is closest to disprove that the best is the best
    advantage: SpeedRatio | None = None  # of the best over it, in what they share
    disturbance: str = ""  # the reason why speeds here are the machine's, too, as in the answer
    evidence: str = ""  # how reliable the rows are, as below every table

    @property
    def disturbed(self) -> bool:
        """True if the choice is among several cases by speeds that are the machine's, too."""
        several = len(self.fitting) + len(self.undecided) > 1
        return bool(self.disturbance) and several and self.budget.objective != "energy"

    @property
    def answer(self) -> Answer:
        """`no` where every case is shown to be outside the limits, or failed."""
        if self.fitting:
            return "cannot tell" if self.disturbed else "case"
        return "no" if self.excluded and not self.undecided and not self.unmeasured else "cannot tell"

    @property
    def best(self) -> Assessment | None:
        return next(iter(self.fitting), None)

    @property
    def runner_up(self) -> Assessment | None:
        return next(iter(self.fitting[1:]), None)

    @property
    def promising(self) -> list[Assessment]:
        """The undecided cases that would be better than the best, or, where nothing fits, all."""
        if not self.best:
            return [case for case in self.undecided if case.value is not None]
        return [case for case in self.undecided if case.over_best and case.over_best.value > 1]

    @property
    def clear(self) -> bool | None:
        """True if the best has a lead over every fitting case; None with too few samples for an interval of one.

        On a disturbed machine nothing is clear.
        """
        if self.advantage is None or self.advantage.low is None:
            return None
        return self.advantage.is_lead and not self.disturbance


def choose(records: Sequence[Record], budget: Budget, listed: bool = False) -> Choice:
    """Sort the cases of one machine and model into those that fit the budget, undecided ones, and excluded ones.

    `listed`: all are, beside each other; else those in 8 bits are left out where no limit says what they may cost.
    """
    objective = OBJECTIVES[budget.objective]
    sign, rows = -1 if objective.more_is_better else 1, rows_from_records(records)
    ways, passing = by_way(records), ("ok", "skipped", "throttled")
    failed = {way: [one for one in ones if one.status not in passing] for way, ones in ways.items()}
    cases = [assess(row, budget, failed.get((row.case, row.traits), ())) for row in rows]
    cases.sort(key=lambda case: inf if case.value is None else sign * case.value)
    # another answer is no better choice where nobody said what it may cost, unless there are 8 bits alone
    eight_bits = [] if listed or budget.admits_eight_bits else [case for case in cases if case.row.is_eight_bits]
    eight_bits = eight_bits if len(eight_bits) < len(cases) else []
    cases = [case for case in cases if case not in eight_bits]
    fitting = [case for case in cases if case.fits]
    undecided = [case for case in cases if case.undecided and not case.violated]
    excluded = Counter(case.violated[0] for case in cases if case.violated)
    measured = {(row.case, row.traits) for row in rows} | {row.case for row in rows}
    # what a machine cannot run it cannot in any way
    without = {
        key: one for way, ones in ways.items() for one in ones
        if one.status != "ok" and (key := way[0] if one.status == "skipped" else way) not in measured
    }  # fmt: skip
    unmeasured = [record for record in without.values() if record.status == "throttled"]
    statuses = Counter(record.status for record in without.values() if record.status != "throttled")
    excluded.update({f"{word}: {STATUSES.get(word, 'of a later version')}": n for word, n in statuses.items()})
    choice = Choice(budget, fitting, undecided, excluded, unmeasured, eight_bits)
    choice.disturbance = _disturbance(rows, [*fitting, *undecided], budget)
    choice.evidence = describe_reliability(list(records), rows)
    gains = [
        over.value if (over := advantage(case.row, fitting[0].row, objective, beside=rows)) else 0 for case in fitting
    ]
    if gains and max(gains) > 1:  # in what both share another is ahead, whose median is not
        fitting.insert(0, fitting.pop(gains.index(max(gains))))
    rivals = fitting[1:]
    if choice.best and rivals:
        confidence, best = against_all(len(rivals)), choice.best.row
        leads = [(advantage(best, rival.row, objective, confidence, rows), rival) for rival in rivals]
        choice.advantage, choice.challenger = min(leads, key=lambda lead: sureness(lead[0]))
    for case in undecided:
        if choice.best and choice.best.value and case.value:
            apart = SpeedRatio(objective.improvement(case.value, choice.best.value), None, None, "none", 0)
            case.over_best = advantage(case.row, choice.best.row, objective, beside=rows) or apart
    return choice


def _disturbance(rows: Sequence[Row], cases: Sequence[Assessment], budget: Budget) -> str:
    """Return why the speeds of what is compared with any of the cases, at its batch and launch, are the machine's."""
    contests = dict.fromkeys((case.row.case.batch, case.row.case.launch) for case in cases)
    groups = ([row for row in rows if (row.case.batch, row.case.launch) == contest] for contest in contests)
    return next(filter(None, (disturbance(group, budget.objective == "throughput") for group in groups)), "")


def advantage(
    row: Row, other: Row, objective: Objective, confidence: float = 0.95, beside: Sequence[Row] = ()
) -> SpeedRatio | None:
    """Return how many times better one case is than another, by what both share; None where they share nothing.

    Speed is compared as everywhere, by rounds or turns, without those in which a row of `beside` with the batch of
    either was disturbed; latency and energy by the rounds that have both.
    """
    if objective is OBJECTIVES["throughput"]:
        group = [row, other, *(one for one in beside if one.case.batch in (row.case.batch, other.case.batch))]
        without = disturbed_turns(record for one in group for record in one.records)
        return speed_ratio(row.records, other.records, without, confidence)
    values, others = ({record.round: objective.value(record) for record in each.records} for each in (row, other))
    pairs = [(a, b) for number, a in values.items() if a and (b := others.get(number))]
    if not pairs:
        return None
    over_rounds = ratio([(a, b) if objective.more_is_better else (b, a) for a, b in pairs], confidence)
    return SpeedRatio(over_rounds.value, over_rounds.low, over_rounds.high, "rounds", over_rounds.rounds)
