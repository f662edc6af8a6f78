"""The modules of the model that a part of a fused network computes, for comparisons of their times."""

from __future__ import annotations

import re
from collections.abc import Sequence

from resnet.fused.program import Conv, Step


def modules_of(step: Step) -> tuple[str, ...]:
    """Return the names of the model's modules that a step computes; a block's sum is called `add`."""
    if not isinstance(step, Conv):
        return {"stem": ("conv1", "maxpool"), "head": ("avgpool", "fc")}[step.name]
    block = step.name.rpartition(".")[0]
    if step.name.endswith(".preact"):
        return (f"{step.name}_bn",)
    added = (f"{block}.add",) if step.residual is not None or step.shortcut is not None else ()
    return (step.name, *added, *((f"{block}.downsample.0",) if step.shortcut is not None else ()))


def modules_of_part(part: str, by_step: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the modules that `steps.3`, or a part inside it, computes; for any other part, itself."""
    match = re.match(r"steps\.(\d+)", part)
    return by_step[int(match[1])] if match else (part,)
