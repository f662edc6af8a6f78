"""A runner in 8 bits held against its model as the gate does, on every picture of a batch."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from resnet.model import ResNet
from resnet.quant.check import check_declaration, check_steps
from resnet.quant.steps import QuantizedRunner


def check_runner(runner: QuantizedRunner, model: ResNet, batch: Tensor) -> dict[str, int]:
    """How many steps and layers of a runner are in 8 bits. Its taps are of the call's own bits, its steps exact."""
    x = runner.place(batch)
    logits, taps = runner(x).clone(), runner.taps(x)
    assert torch.equal(taps.logits, logits)
    assert torch.equal(runner(x), logits)
    assert {*taps.activations, runner.steps[-1].name} == {step.name for step in runner.steps}
    for row in range(len(batch)):
        check_steps(runner.steps, batch[row : row + 1], taps, row)
    exact = deepcopy(model).double()(batch[:1].double())
    wide = runner.details["quantized"]["wide"]
    return check_declaration(runner.steps, "int8", wide, model, batch[:1], exact)
