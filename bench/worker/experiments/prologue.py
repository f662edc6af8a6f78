"""The gain of address arithmetic before the wait for the previous kernel, at batch 1."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Any

from torch import Tensor

from bench.worker.experiments.place import ARCH, Place, Run
from bench.worker.experiments.products import as_outcome
from bench.worker.failure import Wrong
from bench.worker.tune.candidate import depth_of, draw, launcher, same_bits
from kernels import conv
from kernels.experiments import pinned_conv
from kernels.launch import Operands, compilations, empty_output
from kernels.space.config import Config
from kernels.space.layer import Layer

# Of ResNet-50 at batch 1, in the configurations that the model chooses: splits that give every SM a program.
SINGLE = {
    "14x14 256 3x3": (Layer(1, 14, 14, 256, 256, (3, 3), 1, 1), "ptr-64x64x64-w4-s4-k8-g8-pdl"),
    "7x7 512 3x3": (Layer(1, 7, 7, 512, 512, (3, 3), 1, 1), "ptr-64x64x64-w4-s4-k16-g8-pdl"),
    "14x14 1024-256": (Layer(1, 14, 14, 1024, 256, (1, 1)), "ptr-64x64x64-w4-s4-k4-g8-pdl"),
}
KERNELS = {"plain": conv, "pinned": pinned_conv}
SETS = 12  # of operands in turn, so that weights come from where a network's come from
REPEATS = 4  # of all sets in a graph
ROUNDS = 5  # in which the two kernels take turns


def prologue(place: Place, name: str) -> dict[str, Any]:
    """Time conv.py's kernels at batch 1 in turns with those whose arithmetic comes before the wait.

    Raises Wrong unless both write the same bits.
    """
    if not place.dry:
        place.needs(ARCH, "programmatic dependent launch")
    return as_outcome(place, {title: _compare(place, title, *single) for title, single in SINGLE.items()})


def _compare(place: Place, title: str, layer: Layer, text: str) -> dict[str, Any]:
    """Return both kernels' times of one layer, in microseconds a launch, and the samples in nanoseconds a graph."""
    config = Config.parse(text)
    if place.dry:
        for compiled in (compilations, pinned_conv.compilation):
            place.compile_only(compiled(layer, config))
        layer = replace(layer, h=4, w=4)
    sets = [draw(layer, place.device, seed) for seed in range(place.on(SETS, 2))]
    repeats = place.on(REPEATS, 1)
    graphs: dict[str, Run] = {}
    outputs: dict[str, list[Tensor]] = {}
    for side in KERNELS:
        outputs[side] = [empty_output(layer, place.device) for _ in sets]
        runs = [_bind(place, side, layer, config, *pair) for pair in zip(sets, outputs[side], strict=True)]
        for run in runs:
            run()
        graphs[side] = place.graph(runs * repeats)
    place.clock.wait()
    if not all(same_bits(*pair) for pair in zip(outputs["plain"], outputs["pinned"], strict=True)):
        raise Wrong(f"{title} by {config}: the pinned kernel writes other bits than conv.py's")
    ns: dict[str, list[int]] = {side: [] for side in KERNELS}
    for _ in range(place.on(ROUNDS, 1)):
        for side, graph in graphs.items():
            ns[side] += place.times(graph, 8)
    launches = len(sets) * repeats
    us = {side: median(samples) / launches / 1e3 for side, samples in ns.items()}
    return {
        "layer": layer.key, "config": text, "depth": depth_of(layer), "us": us, "ns": ns,
        "layers_in_a_graph": launches, "gain_us": us["plain"] - us["pinned"],
    }  # fmt: skip


def _bind(place: Place, side: str, layer: Layer, config: Config, operands: Operands, out: Tensor) -> Run:
    """Return a call of one of the two kernels, with separate memory for partial sums; on a CPU, the reference's."""
    if place.dry:
        return launcher(layer, config, operands, out)
    bound = list(KERNELS[side].calls(layer, config, operands, out))
    return lambda: [launch.enqueue(*arguments) for launch, arguments in bound]
