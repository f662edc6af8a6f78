"""How much each layer of a model adds to its answer: what of a wrong one is seen there."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


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
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError):  # an operation without a derivative, no_grad inside, no such weights
        return {}
    return {
        name.removesuffix(".weight"): float((weight.detach() * gradient).norm()) / logits.numel() ** 0.5
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        if gradient is not None
    }
