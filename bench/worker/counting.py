"""What a record says of the work in a model from outside: its FLOPs and its kernels, or why it says none."""

from __future__ import annotations

from typing import Any

from bench.worker.models import Built
from resnet.outside.counting import CountError, count_module
from resnet.outside.wrapper import OutsideModel


def counted_facts(built: Built, image: int) -> dict[str, Any]:
    """Return the facts of one picture of `image` pixels; none of this project's networks, which have `resnet.cost`."""
    if not isinstance(built.module, OutsideModel):
        return {}
    try:
        counted = count_module(built.module, (1, built.channels, image, image))
    except CountError as error:
        return {"uncounted": str(error)}
    return {"flops": counted.flops, "groups": counted.rows}
