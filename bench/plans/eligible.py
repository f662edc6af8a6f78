"""The reasons why this machine cannot run a case: read from data without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bench.machine.environment import device
from bench.machine.facts import Environment
from bench.plans.case import Case
from kernels.cards.archs import ARCHS
from resnet.code import find_code
from resnet.data import digits
from resnet.names import is_outside, outside_parts, task_of
from resnet.outside.sources import PACKAGES, why_not_built
from resnet.variants import find_variant, missing, not_taken, refusal
from resnet.variants.table import NO_VNNI

# The least compute capability whose tensor cores take the precision (CUDA C++ Programming Guide, arithmetic
# instructions); below it the library converts, and the case's precision would be wrong.
CAPABILITY = {"fp16": (7, 0), "bf16": (8, 0), "tf32": (8, 0), "fp8": (8, 9), "int8": (7, 2)}
# Without one of these torch emulates bf16 on a CPU, slower than fp32.
BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


def why_not(case: Case, env: Environment, reserved: Mapping[Case, str] = MappingProxyType({})) -> str | None:
    """Return the reason why this machine cannot run `case`, with the cure if there is one, or None.

    `reserved` maps the cases that their plan runs on one device alone to that device.
    """
    where = device(env)
    if reserved.get(case, where) != where:
        return f"the plan wants it on a {'GPU' if where == 'cpu' else 'CPU'}"
    variant = find_variant(case.variant)
    reason = not_taken(variant, case.model, case.precision, where)
    reason = reason or refusal(variant, where, case.precision, case.launch)
    reason = reason or _lacking_hardware(case, env, where)
    reason = reason or missing(variant, where, case.precision) or why_not_built(case.model)
    return reason or (digits.CURE if task_of(case.model) and digits.digits_file() is None else None)


def why_none(cases: Iterable[Case], env: Environment, reserved: Mapping[Case, str]) -> dict[Case, str | None]:
    """Return `why_not` of each case, which is looked up once for all that differ in batch and image size alone."""
    reasons: dict[tuple[str | None, ...], str | None] = {}
    every = {}
    for case in cases:
        alike = (case.model, case.variant, case.precision, case.launch, reserved.get(case))
        if alike not in reasons:
            reasons[alike] = why_not(case, env, reserved)
        every[case] = reasons[alike]
    return every


def misnamed(cases: Iterable[Case]) -> str | None:
    """Return a sentence for a module of a user's that the cases name and that is not there, or None."""
    names = {name for case in cases for name in (case.model, case.variant) if is_outside(name)}
    theirs = sorted(name for name in names if outside_parts(name)[0] not in PACKAGES)
    return next(filter(None, map(find_code, theirs)), None)


def _lacking_hardware(case: Case, env: Environment, where: str) -> str | None:
    if where == "cpu":
        if case.precision == "bf16" and not any(flag in env["cpu"]["flags"] for flag in BF16_FLAGS):
            return "this CPU has no bf16 instructions (avx512_bf16 or amx_bf16): torch would emulate them"
        if (case.variant, case.precision) == ("compile-max", "int8") and "avx512_vnni" not in env["cpu"]["flags"]:
            return NO_VNNI
        return None
    needed, here = CAPABILITY.get(case.precision), tuple(env["gpu"]["capability"])
    oldest = divmod(min(ARCHS), 10)
    if find_variant(case.variant).runs == "kernels" and here < oldest:
        return f"our kernels need compute capability {oldest[0]}.{oldest[1]}; this GPU has {here[0]}.{here[1]}"
    if needed and here < needed:
        return f"{case.precision} needs compute capability {needed[0]}.{needed[1]}; this GPU has {here[0]}.{here[1]}"
    return None
