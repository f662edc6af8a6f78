"""What several tests ask of a network."""

from kernels.space.layer import Layer
from resnet.archs import Spec
from resnet.fused.layers import layers_of


def convolutions(model: str | Spec, batch: int, image: int | tuple[int, int], precision: str) -> list[Layer]:
    """Its different convolutions behind the stem, in the order in which they first run."""
    layers = layers_of(model, batch, image, precision)
    return list(dict.fromkeys(layer for layer in layers if layer.kind == "conv"))
