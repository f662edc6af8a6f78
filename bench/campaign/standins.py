"""Small cases and plans that a CPU runs in a GPU's place, so that every command of a campaign can be tried."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.plans.plan import Plan
from bench.records.baseline import BASELINE
from bench.records.quality import is_eight_bits
from resnet.variants import find_variant

EIGHT_BIT = "library-fused", "int8"  # what torch alone runs in 8 bits on a CPU, without compiling
# enough for every column of a table
SHORT: dict[str, Any] = {"warmup_s": 0.0, "warmup_limit_s": 0.0, "latency_s": 0.0, "latency_limit_s": 0.0, "samples": 7}
SHORT |= {"throughput_s": 0.05, "energy_s": 0.0, "steal": 1.0, "calibration_pictures": 2, "score_pictures": 2}


def small_case(case: Case) -> Case:
    """Return the smallest case with the same variant, or with EIGHT_BIT's or the baseline's where no CPU serves it."""
    variant, precision = case.variant, case.precision
    if is_eight_bits(case) and precision not in find_variant(variant).serves.get("cpu", ()):
        variant, precision = EIGHT_BIT
    variant = variant if "cpu" in find_variant(variant).serves else BASELINE
    serves = find_variant(variant).serves["cpu"]
    precision = precision if precision in serves else serves[0]
    return replace(case, model="resnet18", variant=variant, precision=precision, batch=1, image=32, launch="stream")


def small_plan(plan: Plan, env: Environment) -> str:
    """Return a plan as TOML: a small case for a moment, and one in 8 bits if it has any; another than the baseline."""
    cases = [case for case in map(small_case, plan.cases) if not why_not(case, env)]
    settings = replace(plan.settings, **SHORT)
    lines = [f'why = "A dry run of {plan.name}: the CPU stands in for the GPU."', f"rounds = {min(plan.rounds, 2)}"]
    lines += ["[measure]", *(f"{key} = {json.dumps(value)}" for key, value in asdict(settings).items())]
    for some in ([case for case in cases if is_eight_bits(case) is eight] for eight in (False, True)):
        quick = [case for case in some if case.variant != BASELINE and find_variant(case.variant).runs == "modules"]
        for case in (quick or some)[:1]:
            axes = [f'{axis} = "{getattr(case, axis)}"' for axis in ("model", "variant", "precision", "launch")]
            lines += ["[[group]]", 'why = "Walks the way."', *axes, f"batch = {case.batch}", f"image = {case.image}"]
    return "\n".join(lines) + "\n"


def small_argv(argv: list[str]) -> list[str]:
    """Return a command without filters, which match no small case, and with a small case to compare with."""
    words: list[str] = []
    for word in argv:
        previous = words[-1] if words else ""
        if previous == "-f":
            words.pop()
        else:
            words.append(small_case(Case.parse(word)).name if previous == "--against" else word)
    return words
