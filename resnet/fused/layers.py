"""Which layers a network is made of, as the kernels' own descriptions: from shapes, without weights or a GPU."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import cast

import torch

from kernels.space.layer import Layer
from resnet.archs import Spec
from resnet.fold import fold
from resnet.fused.program import STEM_PADDING, STEM_STRIDE, Head, Program, Stem, Step, program
from resnet.model import ResNet


def layers_of(model: str | Spec, batch: int, image: int | tuple[int, int], precision: str) -> list[Layer]:
    """Each step that `fused` runs for this model, in order, the stem first and the head last: alike ones repeat.

    What a tuner measures and an ahead-of-time check compiles. `image` is the side, or height and width, in pixels.
    Raises ValueError for an unknown model.
    """
    spec = Spec.parse(model) if isinstance(model, str) else model
    size = (image, image) if isinstance(image, int) else image
    return [replace(layer, n=batch, dtype=precision) for layer in _shapes(spec, size)]


@cache
def _shapes(spec: Spec, size: tuple[int, int]) -> tuple[Layer, ...]:
    """Walking a network takes half a second, and batch and precision are but two fields of what comes of it."""
    with torch.device("meta"):
        folded = cast(ResNet, fold(ResNet(spec).eval()))
    fused = program(folded, (1, folded.conv1.in_channels, *size))
    return tuple(layer_of(step, fused, "fp16") for step in fused.steps)


def stem_layer(step: Stem, made: Program, precision: str) -> Layer:
    """The first convolution and its pool, as `kernels.stem` knows them."""
    n, c, h, w = made.shapes[step.source]
    k, _, r, s = step.weight.shape
    return Layer(n, h, w, c, k, (r, s), STEM_STRIDE, STEM_PADDING, relu=step.relu, dtype=precision, pool=True)


def head_layer(step: Head, made: Program, precision: str) -> Layer:
    """The average and the classifier, as `kernels.head` knows them."""
    n, c, h, w = made.shapes[step.source]
    prologue = step.prologue is not None
    return Layer(n, h, w, c, step.weight.shape[0], (1, 1), relu=False, prologue=prologue, dtype=precision, mean=True)


def layer_of(step: Step, made: Program, precision: str) -> Layer:
    """A step as the kernels know it."""
    if isinstance(step, Stem):
        return stem_layer(step, made, precision)
    if isinstance(step, Head):
        return head_layer(step, made, precision)
    n, c, h, w = made.shapes[step.source]
    second = None
    if step.shortcut is not None:
        _, c2, h2, w2 = made.shapes[step.shortcut.source]
        second = (h2, w2, c2, step.shortcut.stride)
    k, _, r, s = step.weight.shape
    return Layer(
        *(n, h, w, c, k, (r, s), step.stride, step.padding),
        residual=step.residual is not None,
        relu=step.relu,
        second=second,
        prologue=step.prologue is not None,
        dtype=precision,
    )
