"""The work in a model from outside, as a record has it: its FLOPs and its kernels, or the reason for none."""

from __future__ import annotations

from typing import Any

from torch import nn

from bench.runs.job import Ended, NetworkAnswer, NetworkJob, Notify
from resnet.outside.build import bare_outside
from resnet.outside.counting import CountError, count_module
from resnet.outside.wrapper import OutsideModel


def count_work(model: nn.Module, image: int) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the facts of one picture of `image` pixels, and the kernels that each module's time counts to, by name.

    There are none of this project's networks, which have `resnet.cost`.
    """
    if not isinstance(model, OutsideModel):
        return {}, {}
    try:
        counted = count_module(model, (1, model.channels, image, image))
    except CountError as error:
        return {"uncounted": str(error)}, {}
    return {"flops": counted.flops, "groups": counted.rows}, counted.kernels.modules


def count_network(job: NetworkJob, notify: Notify) -> NetworkAnswer | Ended:
    """Build the model and count it. Raises ModelError for one that cannot be built."""
    classes, channels = job.build.num_classes or None, job.build.in_channels or None
    model = bare_outside(job.model_name, image=job.image, num_classes=classes, in_channels=channels)
    facts = {"origin": model.origin, "num_classes": model.classes, "in_channels": model.channels}
    return {"status": "ok", "network": facts | count_work(model, job.image)[0]}
