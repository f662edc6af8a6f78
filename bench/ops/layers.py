"""The convolutions of a network, each different one once, with the names that `bench layers` has for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isqrt

from bench.commands import command_line
from bench.errors import ArgumentError
from bench.text import did_you_mean
from kernels.space.layer import Layer, out_size
from resnet.cost import INPUT, Operation, operations
from resnet.floors import Ceilings, part_floors

ALL = "all"


@dataclass(frozen=True)
class ConvLayer:
    """A convolution with bias, and the residual and ReLU behind it where it has them; `names` are its places."""

    layer: Layer
    names: tuple[str, ...]
    parts: tuple[str, ...]  # the operations of the first place: the convolution, and the sum if there is one

    @property
    def key(self) -> str:
        return self.layer.key


def conv_layers(model: str, batch: int, image: int, precision: str) -> list[ConvLayer]:
    """Return the different convolutions of one of this project's ResNets, in the order in which they first run.

    The norm is folded into weight and bias; a residual is another summand that is there already. Raises ValueError for
    an unknown model or precision.
    """
    network = operations(model, batch, image, precision)
    shapes = {INPUT: (batch, 3, image, image)} | {operation.name: operation.shape for operation in network}
    sums = {operation.sources[0]: operation for operation in network if operation.kind == "add"}
    places: dict[Layer, list[str]] = {}
    parts: dict[Layer, tuple[str, ...]] = {}
    for operation in network:
        if operation.kind != "conv":
            continue
        added = sums.get(operation.name)
        layer = _layer(operation, added, shapes[operation.sources[0]])
        places.setdefault(layer, []).append(operation.name)
        parts.setdefault(layer, (operation.name, *([added.name] if added else [])))
    return [ConvLayer(layer, tuple(names), parts[layer]) for layer, names in places.items()]


def choose_layers(layers: Sequence[ConvLayer], words: Sequence[str]) -> list[ConvLayer]:
    """Return the layers whose key or a place's name matches one of `words`, globs that may omit the ends of the key.

    Raises ArgumentError for a word that matches none.
    """
    chosen = set[ConvLayer]()
    for word in words:
        exact = {layer for layer in layers if word == layer.key}
        matched = exact or {layer for layer in layers if word == ALL or _matches(layer, word)}
        if not matched:
            names = [name for layer in layers for name in (layer.key, *layer.names)]
            raise ArgumentError(
                f"no convolution matches --layer {word}{did_you_mean(word, names)}; there are "
                f"{', '.join(layer.names[0] for layer in layers)}; `{command_line('op', '--list')}` shows their keys"
            )
        chosen |= matched
    return [layer for layer in layers if layer in chosen]


def floors_us(layers: Sequence[ConvLayer], model: str, image: int, ceilings: Ceilings | None) -> list[float | None]:
    """Return the least microseconds of each layer as one kernel, by the roofline model; None without ceilings."""
    if ceilings is None or not layers or layers[0].layer.dtype not in ceilings.flops:
        return [None] * len(layers)
    network = operations(model, layers[0].layer.n, image, layers[0].layer.dtype)
    by_name = {operation.name: operation for operation in network}
    parts = [[by_name[name] for name in layer.parts] for layer in layers]
    return [1e6 * floor.seconds for floor in part_floors(parts, network, ceilings)]


def _layer(operation: Operation, added: Operation | None, source: tuple[int, ...]) -> Layer:
    (n, c, h, w), (_, k, out_h, out_w) = source, operation.shape
    side = isqrt(operation.flops // (2 * n * out_h * out_w * k * c))
    stride = next(stride for stride in range(1, h + 1) if out_size(h, side, stride, side // 2) == out_h)
    last = added or operation
    block = operation.name.rpartition(".conv")[0] if ".conv" in operation.name else ""
    # a ReLU behind the norm of the block that follows (v2) belongs to that block, which reads the sum itself too
    relu = any(name.startswith(f"{block}.relu" if block else "relu") for name in last.passes)
    return Layer(n, h, w, c, k, (side, side), stride, side // 2, added is not None, relu, dtype=operation.precision)


def _matches(layer: ConvLayer, word: str) -> bool:
    return fnmatchcase(layer.key, f"*{word}*") or any(fnmatchcase(name, word) for name in layer.names)
