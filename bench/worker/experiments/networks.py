"""Host-side designs on the fused ResNet-50: half batches on two streams, and a stage in slices that stay in L2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

import resnet
from bench.worker.experiments.place import Place, Run
from bench.worker.experiments.products import as_outcome
from bench.worker.failure import Wrong
from bench.worker.tune.candidate import launcher
from resnet.fold import fold
from resnet.fused import launches
from resnet.fused.buffers import plan_buffers
from resnet.fused.layers import layer_of
from resnet.fused.network import FusedNetwork, memory_uses
from resnet.fused.program import Conv, Program, build_program
from resnet.fused.steps import KernelStep, kernel_step
from resnet.model import ResNet

PRECISION = "fp16"
SLICES = (4, 8, 16)
STAGE = "layer1."
TOLERANCE = 0.01  # relative RMS: another order of sums in a network of fp16 is a tenth of it, a lost image all of it
TURNS = 4


@cache
def _folded(name: str) -> ResNet:
    with torch.inference_mode(False):
        return cast(ResNet, fold(resnet.build(name, source="noise")))


def _program(place: Place, batch: int) -> Program:
    image = place.on(224, 32)
    return build_program(_folded(place.on("resnet50", "resnet18")), (batch, 3, image, image))


def halves(place: Place, name: str) -> dict[str, Any]:
    """Time a batch of 128, its halves on two streams, and its halves one after the other: a graph each, in turns."""
    batch = place.on(128, 4)
    image = place.on(224, 32)
    x = _random(place, (batch, 3, image, image), relu=False)
    programs = {size: _program(place, size) for size in (batch, batch // 2)}
    device = torch.device(place.device)
    whole, *parts = [FusedNetwork(programs[size], PRECISION, device) for size in (batch, batch // 2, batch // 2)]
    first, second = x.split(batch // 2)
    side_stream = None if place.dry else torch.cuda.Stream()

    def apart() -> None:
        if side_stream is None:
            return in_a_row()
        main = torch.cuda.current_stream()
        side_stream.wait_stream(main)
        with torch.cuda.stream(side_stream):
            parts[1](second)
        parts[0](first)
        main.wait_stream(side_stream)

    def in_a_row() -> None:
        parts[0](first)
        parts[1](second)

    outs = {"whole": lambda: whole.logits, "two streams": lambda: torch.cat([part.logits for part in parts])}
    outs["in a row"] = outs["two streams"]
    designs = {"whole": [lambda: whole(x)], "two streams": [apart], "in a row": [in_a_row]}
    ns, us = _time_in_turns(place, designs, outs)
    data = {"batch": batch, "us": us, "ns": ns, "gain": us["whole"] / us["two streams"] - 1}
    return as_outcome(place, data)


def slices(place: Place, name: str) -> dict[str, Any]:
    """Time stage 1 of a batch of 128 at once and slice after slice; the slices share the memory between layers."""
    batch = place.on(128, 4)
    sizes = {"whole": batch} | {f"slices of {size}": size for size in place.on(SLICES, (1, 2))}
    whole = _program(place, batch)
    steps = [step for step in whole.steps if step.name.startswith(STAGE)]
    x = _random(place, whole.shapes[whole.steps[0].name])
    modules = {step.name: kernel_step(step, PRECISION).to(place.device) for step in steps}
    runs: dict[str, list[Run]] = {}
    outs: dict[str, Callable[[], Tensor]] = {}
    for design, size in sizes.items():
        out = torch.empty_like(_random(place, whole.shapes[steps[-1].name]))
        runs[design] = _stage(place, _program(place, size), modules, x, out)
        outs[design] = out.detach
    ns, us = _time_in_turns(place, runs, outs)
    gains = {design: us["whole"] / slice_us - 1 for design, slice_us in us.items() if design != "whole"}
    return as_outcome(place, {"batch": batch, "us": us, "ns": ns, "gains": gains})


def _random(place: Place, shape: tuple[int, ...], relu: bool = True) -> Tensor:
    """Return normal values in channels-last fp16, with `relu` as between layers: power and clocks follow the data."""
    values = torch.randn(shape, device=place.device)
    return (values.relu_() if relu else values).half().contiguous(memory_format=torch.channels_last)


def _stage(place: Place, part: Program, modules: Mapping[str, nn.Module], x: Tensor, out: Tensor) -> list[Run]:
    """Return the launches of the stage for all of x; `part` is the program of as many images as run at a time."""
    stem, *_ = part.steps
    steps = [step for step in part.steps if step.name in modules]
    size = part.shapes[stem.name][0]
    planned = plan_buffers(memory_uses(part, 2, {}))
    memory = torch.empty(planned.size, dtype=torch.uint8, device=place.device)
    between = {s.name: _activation(memory, planned.offsets[s.name], part.shapes[s.name]) for s in steps[:-1]}
    target = launches.target_of(x.device, PRECISION)
    runs: list[Run] = []
    for images, result in zip(x.split(size), out.split(size), strict=True):
        values = {stem.name: images, **between, steps[-1].name: result}
        for step in steps:
            assert isinstance(step, Conv)
            runs += _runs(modules[step.name], values, values[step.name], layer_of(step, part, PRECISION), target)
    return runs


def _runs(module: nn.Module, values: Mapping[str, Tensor], out: Tensor, layer: Any, target: Any) -> list[Run]:
    if target is None:
        return [lambda: module(values, out)]
    config = launches.config_of(layer, target)
    return [launcher(layer, config, cast(KernelStep, module).operands(values), out)]


def _activation(memory: Tensor, offset: int, shape: tuple[int, ...]) -> Tensor:
    """Return a channels-last activation [N, C, H, W] of 16 bits in a block of memory."""
    n, c, h, w = shape
    return memory[offset : offset + 2 * prod(shape)].view(torch.float16).view(n, h, w, c).permute(0, 3, 1, 2)


def _time_in_turns(
    place: Place, designs: Mapping[str, list[Run]], outs: Mapping[str, Callable[[], Tensor]]
) -> tuple[dict[str, list[int]], dict[str, float]]:
    """Return the ns of each design as a graph, and the median us. Raises Wrong where an output is not the first's."""
    graphs = {}
    for design, runs in designs.items():
        for run in runs:
            run()
        place.clock.wait()
        graphs[design] = place.graph(runs)
    expected: Tensor | None = None
    for design, graph in graphs.items():
        graph()
        place.clock.wait()
        got = outs[design]().float().clone()
        if expected is None:
            expected = got
        error = float((got - expected).square().mean().sqrt() / expected.square().mean().sqrt())
        if not error <= TOLERANCE:
            raise Wrong(f"{design}: {error:.2g} relative RMS from {next(iter(designs))}")
    ns: dict[str, list[int]] = {design: [] for design in designs}
    for _ in range(place.on(TURNS, 1)):
        for design, graph in graphs.items():
            ns[design] += place.times(graph, 8)
    return ns, {design: median(times) / 1e3 for design, times in ns.items()}
