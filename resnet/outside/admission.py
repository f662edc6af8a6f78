"""Admission: the answers of a model are checked, once, before any variant of it is judged by them.

The gate holds a variant's answer against a float64 answer of the same module, row by row. That says nothing of a module
that answers differently each time, mixes the pictures of a batch, or computes a part in float32 whatever its dtype.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from resnet.outside.sources import ModelError
from resnet.outside.wrapper import OutsideModel, first_line
from resnet.weights.entries import listed
from resnet.weights.synthetic import digest

PICTURES = 3  # of a batch that the checks run; the last one alone too
# Differences of float64 answers, relative to their size, that are rounding: a sum in another order makes 1e-13 or less,
# dropout 0.1, a part in float32 1e-7.
ROUNDING = 1e-9
# The step, relative to the picture's size, of the check that float64 is all through: far below float32's rounding
# (6e-8) and far above float64's (1e-16).
STEP = 1e-11
# Change of the answer's slope between two such steps: about 1e-4 in float64, about 1 where float32 rounds it.
BENT = 0.1


def admit(model: OutsideModel, again: nn.Module, batch: Tensor, device: str) -> None:
    """Raise ModelError where answers of `model` on `device` cannot be judged.

    `batch` is [3 or more, C, H, W], float32 on the CPU; `again` is the model as another process builds it.
    """
    if digest(model) != digest(again):
        raise ModelError(
            f"{model.name} has other weights each time it is built, and each case builds it again: seed its random "
            "numbers (torch's, numpy's and random's are seeded here)"
        )
    training = [name or "the model" for name, module in model.named_modules() if module.training]
    if training:
        raise ModelError(
            f"{model.name} stays in training mode after eval(): {listed(training)} (is `train` overridden?)"
        )
    exact = _copy(model).to(device=device, dtype=torch.float64)
    pictures = batch[:PICTURES].to(device=device, dtype=torch.float64)
    with torch.inference_mode():
        answer = _answer(exact, pictures, model)
        size = float(answer.abs().mean())
        for check in (_finite, _silent, _deterministic, _independent, _float64):
            check(exact, pictures, answer, size)
        if not bool(_copy(model).to(device)(pictures.float()).isfinite().all()):
            raise ModelError(
                f"{model.name} answers with NaN or infinities in float32, where its float64 answer is finite"
            )


def _copy(model: OutsideModel) -> OutsideModel:
    try:
        return deepcopy(model)
    except Exception as error:  # of the model's own `__deepcopy__`, or tensors that came of others
        raise ModelError(f"{model.name} cannot be copied, which every variant does: {first_line(error)}") from error


def _answer(exact: OutsideModel, pictures: Tensor, model: OutsideModel) -> Tensor:
    """Return the answer in float64. Raises ModelError where there is none."""
    try:
        answer = exact(pictures)
    except Exception as error:  # whatever the model's own code raises
        reason = f"{model.name} does not run in float64 on {pictures.device.type}: {first_line(error)}"
        raise ModelError(f"{reason}{_unregistered(model)}") from error
    if answer.dtype != torch.float64:
        dtype = str(answer.dtype).removeprefix("torch.")
        raise ModelError(
            f"{model.name} answers in {dtype} when its weights and pictures are float64, so there is no exact answer "
            f"to judge others by (a .float() inside?){_unregistered(model)}"
        )
    return answer


def _finite(model: OutsideModel, pictures: Tensor, answer: Tensor, size: float) -> None:
    if not bool(answer.isfinite().all()):
        share = 1 - float(answer.isfinite().double().mean())
        raise ModelError(
            f"{model.name}: {share:.0%} of its float64 answer is NaN or infinite, so nothing can be judged"
        )


def _silent(model: OutsideModel, pictures: Tensor, answer: Tensor, size: float) -> None:
    if not float((answer - answer[:1]).abs().max()) > ROUNDING * size:
        raise ModelError(
            f"{model.name} gives the same answer for every picture, so a wrong one would not show (zero weights in its "
            "last layer? --weights FILE brings others)"
        )


def _deterministic(model: OutsideModel, pictures: Tensor, answer: Tensor, size: float) -> None:
    difference = float((model(pictures) - answer).abs().max())
    if not difference <= ROUNDING * size:
        raise ModelError(
            f"{model.name} answers differently each time, by {difference / size:.1%} of the answer's size: dropout "
            "that eval() does not turn off, or other random numbers inside"
        )


def _independent(model: OutsideModel, pictures: Tensor, answer: Tensor, size: float) -> None:
    try:
        alone = model(pictures[-1:])
    except Exception as error:  # whatever the model's own code raises
        raise ModelError(f"{model.name} does not run on one picture alone: {first_line(error)}") from error
    if alone.shape != answer[-1:].shape or not float((alone - answer[-1:]).abs().max()) <= ROUNDING * size:
        raise ModelError(
            f"{model.name} answers for a picture depending on the others of its batch: references are made in parts, "
            "so its answers cannot be judged (a norm in training mode, or a mean over the batch?)"
        )


def _float64(model: OutsideModel, pictures: Tensor, answer: Tensor, size: float) -> None:
    """Raise ModelError where the answer does not change evenly over two steps that only float64 can tell apart."""
    steps = torch.randn(pictures[:1].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    step = STEP * steps.to(pictures.device) * float(pictures[:1].abs().mean())
    first, second, third = (model(pictures[:1] + count * step) for count in range(3))
    change = float((third - first).abs().max())
    bend = float((third - 2 * second + first).abs().max())
    if change == 0 or not bend <= BENT * change:
        raise ModelError(
            f"{model.name} computes a part in less than float64 when its weights and pictures are float64, so there is "
            f"no exact answer to judge others by (a .float() inside?){_unregistered(model)}"
        )


def _unregistered(model: nn.Module) -> str:
    """Return a hint at tensors that are neither parameters nor buffers, and so follow no `to`; or ""."""
    names = [
        f"{name}.{attribute}".removeprefix("net").lstrip(".")
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, Tensor) and value.is_floating_point()
    ]
    if not names:
        return ""
    return f"; {listed(names)}: a tensor that is neither parameter nor buffer follows no .to(): register_buffer"
