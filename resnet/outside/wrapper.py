"""A module from outside as every variant runs it: [N, C, H, W] -> logits [N, classes], a tensor and nothing else.

Models answer with a tensor, a tuple, a mapping or an object with `logits`; some answer [N, classes, 1, 1], and some
change their input. How this one does is read off one call, so that the wrapper asks nothing when it runs: it can be
traced, exported and compiled as the module itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from resnet.outside.sources import ModelError

LOGITS = "logits"


class OutsideModel(nn.Module):
    """`net`, with its answer brought into one form, and what a record says of it.

    `origin` is the package with its version, or the module; `weights` is `synthetic`, `file` or `own`; `choice` is what
    was decided in reading a file; `code` is the digest of the user's own source that it runs, empty for a package's.
    `classes` and `channels` are counts.
    """

    def __init__(self, net: nn.Module, name: str, example: Tensor) -> None:
        super().__init__()
        self.net, self.name, self.channels = net, name, example.shape[1]
        self.origin, self.weights, self.choice, self.code = name, "own", "", ""
        before = example.clone()
        answer = _call(net, example, name)
        self.clones = not torch.equal(example, before)
        self.pick = _pick(answer, name)
        logits = self._picked(answer)
        _check(logits, len(example), name)
        self.flattens = logits.ndim == 4
        self.classes = logits.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        logits = self._picked(self.net(x.clone() if self.clones else x))
        return logits.flatten(1) if self.flattens else logits

    def _picked(self, answer: Any) -> Tensor:
        if self.pick == "attribute":
            return cast(Tensor, answer.logits)
        if self.pick == "key":
            return cast(Tensor, answer[LOGITS])
        return cast(Tensor, answer[0] if self.pick == "first" else answer)


def _call(net: nn.Module, example: Tensor, name: str) -> Any:
    """Return the answer of `net` to the example itself, which it may change. Raises ModelError where there is none."""
    try:
        with torch.no_grad():
            return net(example)
    except Exception as error:  # whatever the model's own code raises
        size = list(example.shape)
        raise ModelError(
            f"{name} does not run on a float32 batch {size} alone: {first_line(error)}. A model of one fixed size runs "
            "at that (--image), one of other channels with those (--in-channels)"
        ) from error


def _pick(answer: Any, name: str) -> str:
    """Return the way from a model's answer to its logits: itself, `attribute`, `key`, or `first`."""
    if isinstance(answer, Tensor):
        return "tensor"
    if isinstance(getattr(answer, LOGITS, None), Tensor):
        return "attribute"
    if isinstance(answer, Mapping):
        if isinstance(answer.get(LOGITS), Tensor):
            return "key"
        keys = ", ".join(map(str, answer)) or "nothing"
        raise ModelError(f"{name} answers with a mapping of {keys}, none of which is `{LOGITS}`: return the logits")
    if isinstance(answer, tuple | list) and answer and isinstance(answer[0], Tensor):
        return "first"
    raise ModelError(f"{name} answers with a {type(answer).__name__}, in which no logits are: return a tensor")


def _check(logits: Tensor, rows: int, name: str) -> None:
    shape = list(logits.shape)
    if logits.ndim == 4 and logits.shape[2:] != (1, 1):
        raise ModelError(f"{name} answers {shape}, a picture for each picture: a classifier's answer is [N, classes]")
    if logits.ndim not in (2, 4) or len(logits) != rows:
        raise ModelError(f"{name} answers {shape} for {rows} pictures: want [{rows}, classes]")
    if not logits.is_floating_point():
        raise ModelError(f"{name} answers in {str(logits.dtype).removeprefix('torch.')}, not in floating point")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, with its type's name, short enough for a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.')}" if lines else type(error).__name__
