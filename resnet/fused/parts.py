"""Which modules of the model a part of a fused network computes, for whoever times one beside the other."""

from __future__ import annotations

import re
from collections.abc import Sequence

from resnet.fused.program import Conv, Step


def modules_of(step: Step) -> tuple[str, ...]:
    """The modules of the model that a step computes, by their names there; a block's sum is called `add`."""
    if not isinstance(step, Conv):
        return {"stem": ("conv1", "maxpool"), "head": ("avgpool", "fc")}[step.name]
    block = step.name.rpartition(".")[0]
    if step.name.endswith(".preact"):
        return (f"{step.name}_bn",)
    joined = (f"{block}.add",) if step.residual is not None or step.shortcut is not None else ()
    return (step.name, *joined, *((f"{block}.downsample.0",) if step.shortcut is not None else ()))


def computed(part: str, by_step: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The modules behind `steps.3`, or behind a part inside it; of any other part, itself."""
    place = re.match(r"steps\.(\d+)", part)
    return by_step[int(place[1])] if place else (part,)
