"""A plan by its name, with the cases that globs leave of it; and whether this machine can run any of them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import PlanError
from bench.machine.environment import no_cuda
from bench.machine.facts import Environment
from bench.plans.eligible import why_not
from bench.plans.plan import Plan, load


def narrowed(name: str, globs: Sequence[str] | None) -> Plan:
    """The plan of that name or file, with the cases that match a glob; all without globs. Raises PlanError for none."""
    plan = load(name).only(*(globs or ()))
    if not plan.cases:
        raise PlanError(f"no case of {name} matches {' or '.join(globs or ())}; `bench list {name}` shows them")
    return plan


def unable(plan: Plan, env: Environment) -> str | None:
    """Why the machine that `env` describes can run nothing of a plan, as a sentence; None if it can run a case."""
    if plan.device == "cuda" and no_cuda(env):
        return f"the plan {plan.name} needs a CUDA device: {no_cuda(env)}"
    if all(why_not(case, env, plan.reserved) for case in plan.cases):
        return f"this machine can run no case of {plan.name}; `bench list` says why"
    return None
