"""The number of rounds of a plan: a given one, or as many as each ratio to eager needs for its precision."""

from __future__ import annotations

from dataclasses import replace

from bench.errors import ArgumentError
from bench.plans.plan import Plan
from bench.records.baseline import baseline_of

# more rounds hardly help, as the interval narrows with their square root
ROUNDS_LIMIT = 20


def with_rounds(plan: Plan, rounds: int | None, until: float | None, limit: int | None) -> Plan:
    """Return the plan with `rounds` rounds, then more until each ratio is within `until` percent, at most `limit`.

    None leaves the plan's number. Raises ArgumentError for arguments that do not go together.
    """
    if limit and not until and not plan.rounds_limit:
        raise ArgumentError("--rounds-limit goes with --until")
    plan = replace(plan, rounds=rounds or plan.rounds, rounds_limit=limit or plan.rounds_limit)
    if until is None:
        return plan
    if not any(baseline_of(case, plan.cases) not in (None, case) for case in plan.cases):
        raise ArgumentError("--until needs a case and its eager baseline; `bench list` shows the cases")
    settings = replace(plan.settings, ratio=until / 100)
    return replace(plan, settings=settings, rounds_limit=plan.rounds_limit or ROUNDS_LIMIT)
