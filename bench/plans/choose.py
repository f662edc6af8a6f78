"""The plan and cases that a command names, and the reasons why it cannot run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.errors import UNABLE, BenchError, PlanError
from bench.machine.environment import no_cuda
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.plans.plan import Plan, load_plan


def select_cases(plan: str | Path | Plan, globs: Sequence[str] | None) -> Plan:
    """Return a plan, given itself or by name or file, with the cases that match a glob. Raises PlanError for none."""
    name, whole = (plan.name, plan) if isinstance(plan, Plan) else (str(plan), load_plan(str(plan)))
    selected = whole.only(*(globs or ()))
    if not selected.cases:
        raise PlanError(f"no case of {name} matches {' or '.join(globs or ())}; `bench list {name}` shows them")
    return selected


def check_input(word: str) -> None:
    """Raise PlanError for a word of `--input` that names no pictures."""
    if word not in ("photos", "noise") and not Path(word).is_dir():
        raise PlanError(f"--input {word}: neither photos, noise, nor a folder")


def check_plan(plan: Plan, env: Environment) -> None:
    """Raise BenchError where the machine that `env` describes can run no case of a plan."""
    if plan.device == "cuda" and (reason := no_cuda(env)):
        raise BenchError(f"the plan {plan.name} needs a CUDA device: {reason}", UNABLE)
    if all(why_not(case, env, plan.reserved) for case in plan.cases):
        raise BenchError(f"this machine can run no case of {plan.name}; `bench list` says why", UNABLE)


def check_case(case: Case, env: Environment) -> None:
    """Raise BenchError where the machine that `env` describes cannot run a case."""
    if reason := why_not(case, env):
        raise BenchError(f"this machine cannot run {case.name}: {reason}", UNABLE)
