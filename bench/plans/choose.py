"""The plan and cases that a command names, and the reasons why it cannot run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import PlanError
from bench.machine.environment import no_cuda
from bench.machine.facts import Environment
from bench.plans.eligible import why_not
from bench.plans.plan import Plan, load_plan


def select_cases(plan: str | Path | Plan, globs: Sequence[str] | None) -> Plan:
    """Return a plan, given itself or by name or file, with the cases that match a glob. Raises PlanError for none."""
    name, whole = (plan.name, plan) if isinstance(plan, Plan) else (str(plan), load_plan(str(plan)))
    selected = whole.only(*(globs or ()))
    if not selected.cases:
        raise PlanError(f"no case of {name} matches {' or '.join(globs or ())}; `bench list {name}` shows them")
    return selected


def input_refusal(word: str) -> str | None:
    """Return the reason why a word of `--input` names no pictures, or None."""
    if word in ("photos", "noise") or Path(word).is_dir():
        return None
    return f"--input {word}: neither photos, noise, nor a folder"


def plan_refusal(plan: Plan, env: Environment) -> str | None:
    """Return the reason why the machine that `env` describes can run no case of a plan, or None."""
    if plan.device == "cuda" and no_cuda(env):
        return f"the plan {plan.name} needs a CUDA device: {no_cuda(env)}"
    if all(why_not(case, env, plan.reserved) for case in plan.cases):
        return f"this machine can run no case of {plan.name}; `bench list` says why"
    return None
