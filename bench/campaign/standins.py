"""What a CPU runs in a GPU's place, so that every command of a campaign can be walked without one."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.plans.plan import Plan
from bench.records.baseline import BASELINE
from resnet.variants import VARIANTS

# Enough for every column of a table.
SHORT: dict[str, Any] = {"warmup_s": 0.0, "warmup_limit_s": 0.0, "latency_s": 0.0, "latency_limit_s": 0.0, "samples": 7}
SHORT |= {"throughput_s": 0.05, "energy_s": 0.0, "steal": 1.0}


def case(wanted: Case) -> Case:
    """The smallest case that takes the same way on a CPU; for a variant that a CPU does not serve, the baseline."""
    variant = wanted.variant if "cpu" in VARIANTS[wanted.variant].serves else BASELINE
    serves = VARIANTS[variant].serves["cpu"]
    precision = wanted.precision if wanted.precision in serves else serves[0]
    return replace(wanted, model="resnet18", variant=variant, precision=precision, batch=1, image=32, launch="stream")


def plan(wanted: Plan, env: Environment) -> str:
    """A plan as TOML: one small case for a moment, of another variant than the baseline if a CPU serves one."""
    cases = [one for one in map(case, wanted.cases) if not why_not(one, env)]
    quick = [one for one in cases if one.variant != BASELINE and VARIANTS[one.variant].runs == "modules"]
    chosen = (quick or cases)[0]
    settings = replace(wanted.settings, **SHORT)
    axes = [f'{axis} = "{getattr(chosen, axis)}"' for axis in ("model", "variant", "precision", "launch")]
    lines = [f'why = "A dry run of {wanted.name}: the CPU stands in for the GPU."', f"rounds = {min(wanted.rounds, 2)}"]
    lines += ["[measure]", *(f"{key} = {value}" for key, value in asdict(settings).items())]
    lines += ["[[group]]", 'why = "Walks the way."', *axes, f"batch = {chosen.batch}", f"image = {chosen.image}"]
    return "\n".join(lines) + "\n"


def argv(words: list[str]) -> list[str]:
    """A command without its filters, whose cases a stand-in does not have; the case it compares with, stood in for."""
    made: list[str] = []
    for word in words:
        previous = made[-1] if made else ""
        if previous == "-f":
            made.pop()
        else:
            made.append(case(Case.parse(word)).name if previous == "--against" else word)
    return made
