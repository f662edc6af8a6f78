"""What the gate must know of a model beside its answers: that they are steady, float32's, and what each layer adds.

Computed where the references are, in their process.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.worker.failure import CannotJudge
from resnet.runner import DTYPES

# The most that two float64 answers of one batch may differ by, relative to them: atomic additions in another order
# make 1e-15.
STEADY = 1e-9


def assert_steady(network: nn.Module, batch: Tensor, answer: Tensor) -> None:
    """Raise CannotJudge unless a float64 `network` gives `answer` [N, classes] to `batch` again, whole and in parts."""
    half = -(-len(batch) // 2)
    parts = torch.cat([network(part) for part in batch.split(half)])
    if _differ(network(batch), answer):
        raise CannotJudge("cannot be judged: the model gives one batch other answers each time (is dropout left on?)")
    if _differ(parts, answer):
        raise CannotJudge(
            "cannot be judged: the model answers a picture by the others in its batch (a norm in training mode?)"
        )


def float32_answers(model: nn.Module, batch: Tensor, precision: str, device: str) -> np.ndarray[Any, Any]:
    """Return float32's answers to `batch` rounded to a 16-bit precision, [2, N, classes]: as float32.

    The first are those of the weights as they are, the second those of rounded ones.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    dtype = DTYPES[precision]
    rounded = batch.to(device, dtype).float()
    with torch.inference_mode():
        answers = [network.to(device)(rounded) for network in (deepcopy(model), deepcopy(model).to(dtype).float())]
    return torch.stack(answers).float().cpu().numpy()


def sensitivities(model: nn.Module, batch: Tensor, device: str) -> dict[str, float]:
    """Return how far the logits are off, as an RMS, if a weight is wrong throughout: each of two dimensions or more.

    Wrong throughout is each value off by its own size at random; to first order that is the norm of weight times
    gradient. Layers that the answer does not need are left out, and all are where the model has no gradients.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    network = deepcopy(model).to(device)
    named = network.named_parameters()
    weights = {name: weight for name, weight in named if weight.ndim > 1 and weight.is_floating_point()}
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        with torch.enable_grad():
            logits = network(batch.to(device))
            # the expected square of a random sum of the logits' errors is the sum of their squares
            signs = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits)
            gradients = torch.autograd.grad((logits * signs).sum(), list(weights.values()), allow_unused=True)
    except (RuntimeError, ValueError):  # an operation without a derivative, no_grad inside, no such weights
        return {}
    return {
        name.removesuffix(".weight"): float((weight.detach() * gradient).norm()) / logits.numel() ** 0.5
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        if gradient is not None
    }


def _differ(answer: Tensor, expected: Tensor) -> bool:
    """Return whether two answers differ by more than rounding; a NaN is another check's, so two of them are equal."""
    return not torch.allclose(answer, expected, rtol=STEADY, atol=STEADY * float(expected.abs().mean()), equal_nan=True)
