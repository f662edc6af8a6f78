"""The layers of a network as the kernels' `Layer`s: from shapes, without weights or a GPU."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import cast

import torch

from kernels.space.layer import BYTES, Layer
from resnet.archs import Spec
from resnet.calibration import NO_PROLOGUE
from resnet.fold import fold
from resnet.fused.program import Head, Program, Step, build_program
from resnet.model import ResNet


def layers_of(model: str | Spec, batch: int, image: int | tuple[int, int], precision: str) -> list[Layer]:
    """Return the layer of each step that `fused` runs for this model, in order, with repetitions.

    `image` is the side, or height and width, in pixels. Raises ValueError for an unknown model.
    """
    spec = Spec.parse(model) if isinstance(model, str) else model
    size = (image, image) if isinstance(image, int) else image
    return [in_precision(replace(layer, n=batch), precision) for layer in _shapes(spec, size)]


def in_precision(layer: Layer, precision: str, wide: bool = False) -> Layer:
    """Return a layer of 16 bits in a case's precision. Raises ValueError for a prologue in 8 bits.

    In 8 bits a stem multiplies fp16 and writes codes, a head reads them, and so does a layer that is kept `wide`.
    """
    if BYTES[precision] > 1:
        return replace(layer, dtype=precision)
    if layer.prologue:
        raise ValueError(f"no {precision} form of a pre-activation network: {NO_PROLOGUE}")
    if layer.pool or layer.mean or wide:
        reads, writes = "" if layer.pool else precision, "" if layer.mean else precision
        return replace(layer, dtype="fp16", reads=reads, writes=writes)
    return replace(layer, dtype=precision)


@cache
def _shapes(spec: Spec, size: tuple[int, int]) -> tuple[Layer, ...]:
    """Return a network's layers at batch 1 in fp16; cached, as building one takes half a second."""
    with torch.device("meta"):
        folded = cast(ResNet, fold(ResNet(spec).eval()))
    fused = build_program(folded, (1, folded.conv1.in_channels, *size))
    return tuple(_layer_of(step, fused) for step in fused.steps)


def layer_of(step: Step, program: Program, precision: str, wide: bool = False) -> Layer:
    """Return a step's layer; `precision` is a word of a case, and `wide` is for 8 bits."""
    return in_precision(_layer_of(step, program), precision, wide)


def _layer_of(step: Step, program: Program) -> Layer:
    n, c, h, w = program.shapes[step.source]
    prologue = step.prologue is not None
    if isinstance(step, Head):
        return Layer(n, h, w, c, step.weight.shape[0], (1, 1), relu=False, prologue=prologue, mean=True)
    k, _, r, s = step.weight.shape
    second = None
    if step.shortcut is not None:
        _, c2, h2, w2 = program.shapes[step.shortcut.source]
        second = (h2, w2, c2, step.shortcut.stride)
    shape, residual = (n, h, w, c, k, (r, s), step.stride, step.padding), step.residual is not None
    return Layer(*shape, residual=residual, relu=step.relu, second=second, prologue=prologue, pool=step.pool)
