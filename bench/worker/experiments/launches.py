"""What a launch costs in a CUDA graph, and what address arithmetic before the wait gains at batch 1."""
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import Any

import triton
import triton.language as tl

from bench.worker.experiments.place import Place, Run
from bench.worker.experiments.products import ARCH, told
from bench.worker.gate import Wrong
from bench.worker.tune.candidate import depth_of, draw, launcher, same_bits
from kernels import conv
from kernels.compiled.emit import emit
from kernels.experiments import pinned_conv
from kernels.launch import Launch, empty_output
from kernels.space.config import Config
from kernels.space.layer import Layer

COUNTS = (50, 250)  # empty kernels in a graph: what the graph itself costs falls out of the difference
PAIRS = ((False, "launch_us"), (True, "launch_pdl_us"))

# Of ResNet-50 at batch 1, cut as the model would: splits that give every SM a program.
SINGLE = {
    "14x14 256 3x3": (Layer(1, 14, 14, 256, 256, (3, 3), 1, 1), "ptr-64x64x64-w4-s4-k8-g8-pdl"),
    "7x7 512 3x3": (Layer(1, 7, 7, 512, 512, (3, 3), 1, 1), "ptr-64x64x64-w4-s4-k16-g8-pdl"),
    "14x14 1024-256": (Layer(1, 14, 14, 1024, 256, (1, 1)), "ptr-64x64x64-w4-s4-k4-g8-pdl"),
}
SETS = 12  # of operands in turn, so that weights come from where a network's come from


@triton.jit
def _empty(PDL: tl.constexpr):
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()


def empty(pdl: bool, programs: int) -> Launch:
    """A kernel that does nothing, on as many programs as the card has SMs."""
    options = {"num_warps": 4} | ({"launch_pdl": True} if pdl else {})
    return Launch(_empty, {"PDL": pdl}, (programs,), options)


def launches(place: Place, name: str) -> dict[str, Any]:
    """Of one empty kernel behind another."""
    data: dict[str, Any] = {}
    constants = {}
    for pdl, constant in PAIRS:
        if pdl and not place.dry and place.arch < ARCH:
            continue
        launch = empty(pdl, place.sms or 1)
        if place.dry:
            assert not emit(launch.compilation(), ARCH).spills
        run: Run = (lambda: None) if place.dry else launch.enqueue
        run()
        times = {count: place.times(place.graph([run] * count)) for count in COUNTS}
        few, many = COUNTS
        us = (median(times[many]) - median(times[few])) / (many - few) / 1e3
        data[constant] = {"us": us, **{f"ns of {count}": ns for count, ns in times.items()}}
        how = f"empty kernels in a CUDA graph: what {many} take beyond {few}, each"
        constants[constant] = (us, "us", f"{how}, with programmatic dependent launch" if pdl else how)
    return told(place, data, **constants)


def prologue(place: Place, name: str) -> dict[str, Any]:
    """conv.py's kernels at batch 1 against those with their arithmetic before the wait, in turns; the same bits."""
    if not place.dry:
        place.needs(ARCH, "programmatic dependent launch")
    data: dict[str, Any] = {}
    for title, (layer, text) in SINGLE.items():
        config = Config.parse(text)
        sides = {"plain": conv, "pinned": pinned_conv}
        if place.dry:
            for module in sides.values():
                assert not any(emit(one, ARCH).spills for one in module.compilation(layer, config))
            layer = replace(layer, h=4, w=4)
        sets = [draw(layer, place.device, seed) for seed in range(place.on(SETS, 2))]
        graphs, outs = {}, {}
        for side, module in sides.items():
            outs[side] = [empty_output(layer, place.device) for _ in sets]
            runs = [_run(place, module, layer, config, *pair) for pair in zip(sets, outs[side], strict=True)]
            for run in runs:
                run()
            graphs[side] = place.graph(runs * place.on(4, 1))
        place.clock.wait()
        if not all(same_bits(*pair) for pair in zip(outs["plain"], outs["pinned"], strict=True)):
            raise Wrong(f"{title} by {config}: the pinned kernel makes other bits than conv.py's")
        times: dict[str, list[int]] = {side: [] for side in sides}
        for _ in range(place.on(5, 1)):
            for side, graph in graphs.items():
                times[side] += place.times(graph, 8)
        launched = len(sets) * place.on(4, 1)
        us = {side: median(ns) / launched / 1e3 for side, ns in times.items()}
        data[title] = {"layer": layer.key, "config": text, "depth": depth_of(layer), "us": us, "ns": times}
        data[title] |= {"layers_in_a_graph": launched, "gain_us": us["plain"] - us["pinned"]}
    return told(place, data)


def _run(place: Place, module: Any, layer: Layer, config: Config, operands: Any, out: Any) -> Run:
    if place.dry:
        return launcher(layer, config, operands, out, None)
    bound = list(module.calls(layer, config, operands, out))  # with memory for the partial sums of its own
    return lambda: [launch.enqueue(*arguments) for launch, arguments in bound]
