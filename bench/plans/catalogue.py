"""All that can be named on the command line: plans, models, variants, precisions, why each is there, what runs here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from bench.machine.environment import device, no_cuda
from bench.machine.facts import Environment
from bench.plans.axes import USUAL
from bench.plans.case import Case
from bench.plans.eligible import why_none, why_not
from bench.plans.plan import load_plan, plan_names
from resnet.archs import ARCHS
from resnet.data.digits import CURE, digits_file
from resnet.variants import LAUNCHES, PRECISIONS, VARIANTS
from resnet.variants.outside import installed_variants

WHY_PRECISION = {
    "fp32": "float32, with TF32 off: what a model is trained and checked in",
    "tf32": "float32 whose products have 10 bits of mantissa, on NVIDIA's tensor cores",
    "fp16": "half the bytes, tensor cores; what GPUs serve",
    "bf16": "half the bytes with float32's range; what newer CPUs serve",
    "fp8": "a quarter of the bytes, e4m3, calibrated on pictures; answers differ from float32's",
    "int8": "a quarter of the bytes, calibrated on pictures; answers differ from float32's; CPUs and older cards too",
}
DESIGNS = {
    "v1": "the stride in a block's first 1x1 convolution: the paper, Keras",
    "": "v1.5, the stride in the 3x3: torchvision, timm",
    "v2": "pre-activation: Keras",
}
OUTSIDE = {
    "timm": ("timm:NAME", "any model of timm", "pip install timm"),
    "torchvision": ("torchvision:NAME", "any classifier of torchvision", "pip install torchvision"),
    "": ("MODULE:FUNCTION", "your own: a function that returns an nn.Module for images [N, C, H, W]", ""),
}
Rows = list[dict[str, Any]]  # each with `name`, `why`, `runs` here, and if not the `reason`


def describe_all(env: Environment) -> dict[str, Rows]:
    """Return the plans and what there is on the axes, each with name and why, and whether this machine runs it."""
    return {
        "plans": [_plan(name, env) for name in plan_names()],
        "models": _models(),
        "variants": [
            *(_variant(name, env) for name in VARIANTS),
            *(_row(name, f"of an installed package: {target}") for name, target in installed_variants().items()),
            _row("MODULE:FUNCTION", "your own: a function that prepares the model for its timed calls"),
        ],
        "precisions": [_precision(name, env) for name in PRECISIONS],
    }


def _row(name: str, why: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "why": why, "runs": not reason, "reason": reason or "", **more}


def _plan(name: str, env: Environment) -> dict[str, Any]:
    plan = load_plan(name)
    refused = plan.device == "cuda" and no_cuda(env) is not None
    here = 0 if refused else sum(not why for why in why_none(plan.cases, env, plan.reserved).values())
    reason = "needs a CUDA device" if refused else None if here else "this machine runs none of its cases"
    return _row(name, " ".join(plan.why.split()), reason, cases=len(plan.cases), cases_here=here)


def _models() -> Rows:
    depths = ", ".join(f"resnet{depth}" for depth in ARCHS)
    rows = [_row(f"{depths} with {word}" if word else depths, why) for word, why in DESIGNS.items()]
    why = (
        "any of these, narrow and trained on handwritten digits: answers that are right or wrong; the hard form tells "
        "precisions apart"
    )
    rows.append(_row("resnet18-digits, resnet18-digits-hard", why, None if digits_file() else CURE))
    for source, (name, why, pip) in OUTSIDE.items():
        rows.append(_row(name, why, pip if source and not find_spec(source) else None))
    return rows


def _cases(variant: str, precision: str) -> list[Case]:
    return [Case(USUAL["model"][0], variant, precision, 1, 224, launch) for launch in LAUNCHES]


def _variant(name: str, env: Environment) -> dict[str, Any]:
    variant = VARIANTS[name]
    here = [word for word in PRECISIONS if any(not why_not(case, env) for case in _cases(name, word))]
    where = device(env)
    served = variant.serves.get(where) or next(iter(variant.serves.values()))
    reason = None if here else why_not(_cases(name, served[0])[0], env)
    return _row(name, variant.why, reason, precisions=here)


def _precision(name: str, env: Environment) -> dict[str, Any]:
    reasons = {variant: [why_not(case, env) for case in _cases(variant, name)] for variant in VARIANTS}
    here = [variant for variant, whys in reasons.items() if not all(whys)]
    served = any(name in words for variant in VARIANTS.values() for words in variant.serves.values())
    reason = None if here else reasons["eager"][0] if served else "no variant serves it yet"
    return _row(name, WHY_PRECISION[name], reason, variants=here)
