"""A plan by its name, with the cases that globs leave; whether this machine can run any of them, on what pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import PlanError
from bench.machine.environment import no_cuda
from bench.machine.facts import Environment
from bench.plans.eligible import why_not
from bench.plans.plan import Plan, load


def narrowed(plan: str | Path | Plan, globs: Sequence[str] | None) -> Plan:
    """A plan, or that of a name or file, with the cases that match a glob; all without. Raises PlanError for none."""
    name, whole = (plan.name, plan) if isinstance(plan, Plan) else (str(plan), load(str(plan)))
    chosen = whole.only(*(globs or ()))
    if not chosen.cases:
        raise PlanError(f"no case of {name} matches {' or '.join(globs or ())}; `bench list {name}` shows them")
    return chosen


def not_an_input(word: str) -> str | None:
    """Why a word of `--input` names no pictures; None if it does."""
    if word in ("photos", "noise") or Path(word).is_dir():
        return None
    return f"--input {word}: neither photos, noise, nor a folder"


def unable(plan: Plan, env: Environment) -> str | None:
    """Why the machine that `env` describes can run nothing of a plan, as a sentence; None if it can run a case."""
    if plan.device == "cuda" and no_cuda(env):
        return f"the plan {plan.name} needs a CUDA device: {no_cuda(env)}"
    if all(why_not(case, env, plan.reserved) for case in plan.cases):
        return f"this machine can run no case of {plan.name}; `bench list` says why"
    return None
