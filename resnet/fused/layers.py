"""The layers of a network as the kernels' `Layer`s: from shapes, without weights or a GPU."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import cast

import torch

from kernels.space.layer import Layer
from resnet.archs import Spec
from resnet.fold import fold
from resnet.fused.program import Head, Program, Step, build_program
from resnet.model import ResNet


def layers_of(model: str | Spec, batch: int, image: int | tuple[int, int], precision: str) -> list[Layer]:
    """Return the layer of each step that `fused` runs for this model, in order, with repetitions.

    `image` is the side, or height and width, in pixels. Raises ValueError for an unknown model.
    """
    spec = Spec.parse(model) if isinstance(model, str) else model
    size = (image, image) if isinstance(image, int) else image
    return [replace(layer, n=batch, dtype=precision) for layer in _shapes(spec, size)]


@cache
def _shapes(spec: Spec, size: tuple[int, int]) -> tuple[Layer, ...]:
    """Return a network's layers at batch 1 in fp16; cached, as building one takes half a second."""
    with torch.device("meta"):
        folded = cast(ResNet, fold(ResNet(spec).eval()))
    fused = build_program(folded, (1, folded.conv1.in_channels, *size))
    return tuple(layer_of(step, fused, "fp16") for step in fused.steps)


def layer_of(step: Step, program: Program, precision: str) -> Layer:
    """Return a step's layer; `precision` is a word of a case."""
    n, c, h, w = program.shapes[step.source]
    if isinstance(step, Head):
        return Layer(
            *(n, h, w, c, step.weight.shape[0], (1, 1)),
            relu=False,
            prologue=step.prologue is not None,
            dtype=precision,
            mean=True,
        )
    k, _, r, s = step.weight.shape
    second = None
    if step.shortcut is not None:
        _, c2, h2, w2 = program.shapes[step.shortcut.source]
        second = (h2, w2, c2, step.shortcut.stride)
    return Layer(
        *(n, h, w, c, k, (r, s), step.stride, step.padding),
        residual=step.residual is not None,
        relu=step.relu,
        second=second,
        prologue=step.prologue is not None,
        dtype=precision,
        pool=step.pool,
    )
