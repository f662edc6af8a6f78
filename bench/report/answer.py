"""The answer: which way of running each model is fastest, as surely as its records tell, and what would settle it.

The ways of one model, batch and launch are a contest, decided by the intervals of the ratios of their images/s. Where a
model was run both on a stream and as a graph, these are two contests: one way's graph does not compete with its stream.
So do the ways in 8 bits, which answer otherwise than float32, compete with each other alone, and what is said of them
has what they cost.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

from bench.plans.case import Case
from bench.plans.plan import load_plan, plan_names
from bench.plans.words import label
from bench.records import quality
from bench.records.again import untimed_options
from bench.records.baseline import BASELINE, Against
from bench.records.record import Record
from bench.records.same import Traits, are_alike, by_way
from bench.records.speed import LEAST_LEAD, SpeedRatio, disturbed_turns, rates_once, speed_ratio
from bench.report.evidence import describe_unmeasured, disturbance
from bench.report.rows import Row, all_disturbed, group_rows
from bench.stats import LEAST_ROUNDS
from bench.text import at_pixels, digits, plural, plus_minus

EQUAL = 0.05  # within this of each other, by the whole interval, ways are equally fast
NAMED = 3  # ways that a sentence names
FOR_ONE = 6  # cases that a command names; for more it is the whole plan's
LAUNCHED = {"graph": "as a graph", "stream": "on a stream"}

Verdict = Literal["alone", "winner", "tie", "unknown"]
# makes the command that runs cases (none: all) in so many rounds (None: as before), like records with some traits
Settle = Callable[[Sequence[Case], int | None, Traits], str]


@dataclass(frozen=True)
class Contest:
    """The ways of running one model at one batch and launch: `rows`, of which the first leads, the others by speed."""

    rows: tuple[Row, ...]
    leads: dict[Case, SpeedRatio | None]  # images/s of the first over those of each other
    eager: Against | None  # the leader over the best eager, of this launch if there is one
    disturbance: str  # the reason why no winner can be named; empty where the machine was quiet
    among_launches: bool  # the model was run with the other launch, too
    wider: Against | None = None  # of 8 bits: the leader over the fastest in more bits

    @property
    def leader(self) -> Row:
        return self.rows[0]

    @property
    def bits(self) -> str:
        """The precision of a contest in 8 bits; empty of others."""
        return bits_of(self.leader)

    @cached_property
    def candidates(self) -> list[Row]:
        """The rows that may be the fastest: the leader, and those that may be as fast."""
        leads = self.leads
        return [self.leader, *(row for row in self.rows[1:] if not ((lead := leads[row.case]) and lead.is_lead))]

    @property
    def within(self) -> float | None:
        """The largest distance between the leader and a candidate, by their intervals; None where one has none."""
        bounds = [LEAST_LEAD if len(self.candidates) > 1 else 0.0]
        for row in self.candidates[1:]:
            lead = self.leads[row.case]
            if lead is None or lead.low is None or lead.high is None:
                return None
            bounds += [lead.high - 1, 1 - lead.low]
        return max(bounds)

    @property
    def verdict(self) -> Verdict:
        if len(self.rows) == 1:
            return "alone"
        if self.disturbance or self.within is None or self.within > EQUAL:
            return "unknown"
        return "tie" if len(self.candidates) > 1 else "winner"

    @property
    def winner(self) -> Row | None:
        return self.leader if self.verdict == "winner" else None

    @property
    def has_intervals(self) -> bool:
        return any(lead and lead.low is not None for lead in self.leads.values())


def contests_of(rows: Sequence[Row]) -> list[Contest]:
    """Return the contests of some rows, in their order; of two launches the one with the fastest row first."""
    contests = []
    for group in group_rows(rows).values():
        kinds: dict[tuple[str, str, str], list[Row]] = {}
        for row in group:
            kinds.setdefault((bits_of(row), row.case.launch, row.choices), []).append(row)
        for (bits, *_), ways in sorted(kinds.items(), key=lambda item: bool(item[0][0])):
            alike = [row for row in group if are_alike(ways[0].traits, row.traits)]
            # eager alone with the other launch is there to be compared with
            fastest = next((row for row in alike if not bits_of(row)), None)
            if bits or ways[0] is fastest or any(row.case.variant != BASELINE for row in ways):
                contests.append(_contest(ways, alike))
    return contests


def bits_of(row: Row) -> str:
    return row.case.precision if row.is_eight_bits else ""


def _contest(ways: list[Row], group: list[Row]) -> Contest:
    without = disturbed_turns(record for row in group for record in row.records)
    ratio_of = partial(speed_ratio, without=without, rates_of=rates_once())

    def leads_of(leader: Row) -> dict[Case, SpeedRatio | None]:
        return {row.case: ratio_of(leader.records, row.records) for row in ways if row is not leader}

    leader, leads = ways[0], leads_of(ways[0])
    ratios = {case: lead.value for case, lead in leads.items() if lead}
    if ratios and min(ratios.values()) < 1:  # in turns taken alternately another is ahead, whose median is not
        leader = next(row for row in ways if row.case == min(ratios, key=lambda case: ratios[case]))
        leads = leads_of(leader)

    def against(rows: Sequence[Row]) -> Against | None:
        """Compare the leader with what is fastest beside it of some rows: of the same launch if there is one."""
        rivals = [row for row in rows if row.case.launch == leader.case.launch] or rows
        ratios = [(ratio_of(leader.records, row.records), row.case) for row in rivals]
        if leader in rivals or not ratios or not ratios[0][0]:  # without a ratio to the first by median none is known
            return None
        known = [Against(leader.case, case, ratio) for ratio, case in ratios if ratio]
        return min(known, key=lambda one: one.ratio.value)

    eager = against([row for row in group if row.case.variant == BASELINE])
    wider = against([row for row in group if not bits_of(row)]) if bits_of(leader) else None
    rows = (leader, *(row for row in ways if row is not leader))
    among_launches = any(row.case.launch != leader.case.launch for row in group)
    return Contest(rows, leads, eager, disturbance(ways), among_launches, wider)


def describe_fastest(records: list[Record], contests: Sequence[Contest]) -> str:
    """Return a sentence for each contest: the fastest way and by how much, ties as ties, or why that is open."""
    return "\n".join(map(_sentence, contests)) or describe_unmeasured(records)


def _sentence(contest: Contest) -> str:
    by_intervals = contest.verdict != "unknown" or (contest.has_intervals and not contest.disturbance)
    named = contest.candidates if by_intervals else contest.rows
    return _speeds(contest) + _order(contest) + (_prices(named[:NAMED]) if contest.bits else "")


def _order(contest: Contest) -> str:
    """Return why the leader is ahead of one with more images/s in the table; empty where it has the most."""
    row = max(contest.rows, key=lambda row: row.images_per_s)
    if row is contest.leader or not (lead := contest.leads[row.case]):
        return ""
    basis, first = lead.basis.replace("none", "turns"), label(contest.leader.case)
    ahead = f"{first} has {times(lead)} times the images/s of {label(row.case)}"
    return f" By the {basis} of both, {ahead}, whose median is higher."


def _prices(rows: Sequence[Row]) -> str:
    """Return a sentence on what each of some ways in 8 bits costs."""
    return "".join(f" {label(row.case) if rows[1:] else 'It'} {quality.describe_score(row.score)}." for row in rows)


def _speeds(contest: Contest) -> str:
    case, leader = contest.leader.case, contest.leader
    head = f"{case.model}{at_pixels(case.image)}, batch {case.batch}"
    head += f", {LAUNCHED[case.launch]}" * contest.among_launches + f", in {contest.bits}" * bool(contest.bits)
    head += f" ({leader.choices})" * bool(leader.choices)
    gain = _gain(contest)
    match contest.verdict:
        case "alone":
            return f"{head}: only {label(case)} was measured, {_rate(leader)}{gain}."
        case "winner":
            return f"{head}: {label(case)} is fastest, {_rate(leader)}{gain}{_ahead_of_next(contest)}."
        case "tie":
            names, rates = _names(contest.candidates), ", ".join(map(_rate, contest.candidates[:NAMED]))
            within = f"within ±{100 * (contest.within or 0):.1f} %"
            if contest.eager and contest.eager.baseline in [row.case for row in contest.candidates]:
                gain = ""
            return f"{head}: {names} are equally fast {within}, {rates}{gain}{_ahead_of_next(contest)}."
    return f"{head}: {_cannot_tell(contest)}"


def _cannot_tell(contest: Contest) -> str:
    """Return what was ahead, and why that may be chance: the machine, windows too few, or intervals that overlap."""
    if all_disturbed(contest.rows):
        return "which is fastest cannot be told, as every window was disturbed; run again when the machine is quiet."
    ahead = f"{label(contest.leader.case)}, {_rate(contest.leader)}{_gain(contest)}"
    behind = f", then {_behind(contest.rows[1:NAMED])}"
    if contest.disturbance:
        return f"which is fastest is not known, as {contest.disturbance}; ahead in this run was {ahead}{behind}."
    if not contest.has_intervals:
        windows = max([1, *(lead.samples for lead in contest.leads.values() if lead)])
        why = f"{windows} {plural(windows, 'window')} of each {plural(windows, 'gives', 'give')} no interval"
        return f"fastest in this run was {ahead}{behind}; {why}, so another run may order them otherwise."
    near = _behind(contest.candidates[1:])
    return f"which is fastest cannot be told; ahead in this run was {ahead}, and within the noise of it {near}."


def _behind(rows: Sequence[Row]) -> str:
    """Return ways with their images/s, and where they are many, how many more."""
    named = rows[: NAMED - 1]
    more = [f"{len(rows) - len(named)} more"] if len(named) < len(rows) else []
    return _joined([*(f"{label(row.case)} ({digits(row.images_per_s)})" for row in named), *more])


def _rate(row: Row) -> str:
    interval = row.images_per_s_interval
    width = plus_minus((interval[1] - interval[0]) / 2 / row.images_per_s) if interval else ""
    return f"{digits(row.images_per_s)}{width} images/s"


def _gain(contest: Contest) -> str:
    """Return how far the leader is ahead of the best eager; in 8 bits of fp32, and of the fastest in more bits."""
    if not contest.bits:
        return _times_eager(contest)
    float32, wider = contest.leader.against_float32, contest.wider
    named = {against.baseline: against.ratio for against in (float32, wider) if against}  # often the same
    gains = [f"{times(ratio)} times {label(case)}" for case, ratio in named.items()]
    if wider:
        gains[-1] += ", the fastest in more bits"
    return f", {' and '.join(gains)}" * bool(gains)


def _times_eager(contest: Contest) -> str:
    """Return `, 1.57±3% times the best eager (eager/bf16)`, with its precision or launch where that is another."""
    against = contest.eager
    if against is None:
        return ""
    unlike = f", not in {against.case.precision}" * (not against.same_precision)
    unlike += f", {LAUNCHED[against.baseline.launch]}" * (not against.same_launch)
    return f", {times(against.ratio)} times the best eager ({label(against.baseline)}{unlike})"


def times(ratio: SpeedRatio) -> str:
    """Return a ratio with its half-width in percent, where it has an interval: `1.57±3%`."""
    return f"{ratio.value:.{2 if ratio.value < 99.995 else 0}f}{plus_minus(ratio.half_width)}"


def _ahead_of_next(contest: Contest) -> str:
    """Return how far the fastest is ahead of the first that is slower for sure, in percent of that one's images/s."""
    leads = [(lead, row) for row in contest.rows if row not in contest.candidates and (lead := contest.leads[row.case])]
    if not leads:
        return ""
    lead, row = min(leads, key=lambda pair: pair[0].value)  # which may have another order than the medians
    low, high = lead.low or 0.0, lead.high or 0.0  # what is slower for sure has both
    places = 1 if lead.value < 1.1 else 0
    percent, least, most = (f"{100 * (ratio - 1):.{places}f}" for ratio in (lead.value, low, high))
    return f"; {percent} % ({least} to {most}) faster than the next, {label(row.case)}"


def _names(rows: Sequence[Row]) -> str:
    more = [f"{len(rows) - NAMED} more"] if len(rows) > NAMED else []
    return _joined([*(label(row.case) for row in rows[:NAMED]), *more])


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def describe_settling(contests: Sequence[Contest], settle: Settle) -> str:
    """Return a line with the command that would settle what is open, for each way of running that needs its own."""
    together: list[list[Contest]] = []
    unknown = [contest for contest in contests if contest.verdict == "unknown"]
    for contest in sorted(unknown, key=lambda contest: -len(contest.leader.traits)):
        alike = [others for others in together if are_alike(others[0].leader.traits, contest.leader.traits)]
        alike[0].append(contest) if alike else together.append([contest])
    return "\n".join(_settling(ones, settle) for ones in together)


def _settling(unknown: Sequence[Contest], settle: Settle) -> str:
    like = unknown[0].leader.traits
    if any(contest.disturbance for contest in unknown):
        return f"To settle it when the machine is quiet: {settle((), None, like)}"
    records = [record for contest in unknown for row in contest.rows for record in row.records]
    if not any(contest.has_intervals for contest in unknown) and not any(record.windows for record in records):
        return f"To settle it: {settle((), None, like)}"  # an older version measured one window of each
    cases = [row.case for contest in unknown for row in contest.candidates]
    rounds = max(row.rounds for contest in unknown for row in contest.rows)
    return f"To settle it: {settle(cases if len(cases) <= FOR_ONE else (), max(LEAST_ROUNDS, 2 * rounds), like)}"


def settled_in_documents(records: Sequence[Record]) -> Settle:
    """Return a maker of commands that are the same on every machine, for documents: of the records' plan."""
    plans = {record.plan.get("name", "") for record in records}
    plan = next(iter(plans)) if plans <= set(plan_names()) and len(plans) == 1 else ""

    def settle(cases: Sequence[Case], rounds: int | None, like: Traits) -> str:
        first = next(ones[0] for (_, traits), ones in by_way(records).items() if set(like) <= set(traits))
        words = ["bench", "run", plan or "PLAN", *(word for case in cases for word in ("-f", case.name))]
        words += untimed_options(first, load_plan(plan) if plan else None, cases)
        return f"`{shlex.join([*words, *(['--rounds', str(rounds)] if rounds else [])])}`"

    return settle
