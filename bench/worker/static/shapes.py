"""Networks as shapes alone, on the meta device: folded, and laid out as the steps that the fused variant runs."""

from __future__ import annotations

from typing import cast

import torch

from resnet.archs import Spec
from resnet.fold import fold
from resnet.fused.program import Program, program
from resnet.model import ResNet


def folded_shapes(model: str) -> ResNet:
    """A network with its norms folded, without weights."""
    with torch.device("meta"):
        return cast(ResNet, fold(ResNet(Spec.parse(model)).eval()))


def program_of(folded: ResNet, batch: int, image: int) -> Program:
    """Its steps for `batch` pictures of `image` pixels a side."""
    return program(folded, (batch, folded.conv1.in_channels, image, image))
