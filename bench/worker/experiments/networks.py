"""Host-only designs on the fused ResNet-50: half batches on two streams, and a stage in slices that stay in L2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from math import prod
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn

import resnet
from bench.worker.experiments.place import Place, Run
from bench.worker.experiments.products import told
from bench.worker.gate import Wrong
from kernels.kinds import implementation
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
ALIKE = 0.01  # relative RMS: another order of sums in a network of fp16 is a tenth of it, a lost image all of it
TURNS = 4


@cache
def _folded(name: str) -> ResNet:
    with torch.inference_mode(False):
        return cast(ResNet, fold(resnet.build(name, source="noise")))


def _program(place: Place, batch: int) -> Program:
    image = place.on(224, 32)
    return build_program(_folded(place.on("resnet50", "resnet18")), (batch, 3, image, image))


def _images(place: Place, batch: int) -> Tensor:
    image = place.on(224, 32)
    x = torch.randn(batch, 3, image, image, device=place.device, dtype=torch.float16)
    return x.contiguous(memory_format=torch.channels_last)


def halves(place: Place, name: str) -> dict[str, Any]:
    """One batch of 128; its halves on two streams, joined; its halves one after the other: each one graph, in turns."""
    batch = place.on(128, 4)
    x = _images(place, batch)
    made = {size: _program(place, size) for size in (batch, batch // 2)}
    device = torch.device(place.device)
    whole, *parts = [FusedNetwork(made[size], PRECISION, device) for size in (batch, batch // 2, batch // 2)]
    first, second = x.split(batch // 2)
    side = None if place.dry else torch.cuda.Stream()

    def apart() -> None:
        if side is None:
            return in_a_row()
        main = torch.cuda.current_stream()
        side.wait_stream(main)
        with torch.cuda.stream(side):
            parts[1](second)
        parts[0](first)
        main.wait_stream(side)

    def in_a_row() -> None:
        parts[0](first)
        parts[1](second)

    outs = {"whole": lambda: whole.logits, "two streams": lambda: torch.cat([part.logits for part in parts])}
    outs["in a row"] = outs["two streams"]
    ns = _in_turns(place, {"whole": lambda: whole(x), "two streams": apart, "in a row": in_a_row}, outs)
    us = {way: median(times) / 1e3 for way, times in ns.items()}
    data = {"batch": batch, "us": us, "ns": ns, "gain": us["whole"] / us["two streams"] - 1}
    return told(place, data)


def slices(place: Place, name: str) -> dict[str, Any]:
    """Stage 1 of a batch of 128 at once, and slice after slice, the memory between its layers the same for each."""
    batch = place.on(128, 4)
    sizes = {"whole": batch} | {f"slices of {size}": size for size in place.on(SLICES, (1, 2))}
    made = _program(place, batch)
    steps = [step for step in made.steps if step.name.startswith(STAGE)]
    x = _random(place, made.shapes[made.steps[0].name])
    modules = {step.name: kernel_step(step, PRECISION).to(place.device) for step in steps}
    runs: dict[str, Run] = {}
    outs: dict[str, Callable[[], Tensor]] = {}
    for way, size in sizes.items():
        out = torch.empty_like(_random(place, made.shapes[steps[-1].name]))
        runs[way] = partial(_each, _stage(place, _program(place, size), modules, x, out))
        outs[way] = partial(_itself, out)
    ns = _in_turns(place, runs, outs)
    us = {way: median(times) / 1e3 for way, times in ns.items()}
    gains = {way: us["whole"] / each - 1 for way, each in us.items() if way != "whole"}
    return told(place, {"batch": batch, "us": us, "ns": ns, "gains": gains})


def _random(place: Place, shape: tuple[int, ...]) -> Tensor:
    values = torch.randn(shape, device=place.device).relu_().half()
    return values.contiguous(memory_format=torch.channels_last)


def _stage(place: Place, made: Program, modules: Mapping[str, nn.Module], x: Tensor, out: Tensor) -> list[Run]:
    """The launches of the stage for all of x, as many images at a time as `made` is for."""
    stem, *_ = made.steps
    steps = [step for step in made.steps if step.name in modules]
    size = made.shapes[stem.name][0]
    planned = plan_buffers(memory_uses(made, 2, {}))
    memory = torch.empty(planned.size, dtype=torch.uint8, device=place.device)
    between = {step.name: _at(memory, planned.offsets[step.name], made.shapes[step.name]) for step in steps[:-1]}
    target = launches.target_of(x.device, PRECISION)
    runs: list[Run] = []
    for mine, result in zip(x.split(size), out.split(size), strict=True):
        values = {stem.name: mine, **between, steps[-1].name: result}
        for step in steps:
            assert isinstance(step, Conv)
            runs += _runs(modules[step.name], values, values[step.name], layer_of(step, made, PRECISION), target)
    return runs


def _runs(module: nn.Module, values: Mapping[str, Tensor], out: Tensor, layer: Any, target: Any) -> list[Run]:
    if target is None:
        return [lambda: module(values, out)]
    config = launches.config_of(layer, target)
    operands = cast(KernelStep, module).operands(values)
    bound = implementation(layer, config).calls(layer, config, operands, out)
    return [partial(launch.enqueue, *arguments) for launch, arguments in bound]


def _each(runs: list[Run]) -> None:
    for run in runs:
        run()


def _itself(out: Tensor) -> Tensor:
    return out


def _at(memory: Tensor, offset: int, shape: tuple[int, ...]) -> Tensor:
    """A channels-last activation [N, C, H, W] of 16 bits in a block of memory."""
    n, c, h, w = shape
    return memory[offset : offset + 2 * prod(shape)].view(torch.float16).view(n, h, w, c).permute(0, 3, 1, 2)


def _in_turns(place: Place, ways: Mapping[str, Run], outs: Mapping[str, Callable[[], Tensor]]) -> dict[str, list[int]]:
    """Times of each way as a graph. Raises Wrong where one makes another result than the first."""
    graphs = {}
    for way, run in ways.items():
        run()
        place.clock.wait()
        graphs[way] = place.graph([run])
    want: Tensor | None = None
    for way, graph in graphs.items():
        graph()
        place.clock.wait()
        got = outs[way]().float().clone()
        if want is None:
            want = got
        error = float((got - want).square().mean().sqrt() / want.square().mean().sqrt())
        if not error <= ALIKE:
            raise Wrong(f"{way}: {error:.2g} relative RMS from {next(iter(ways))}")
    ns: dict[str, list[int]] = {way: [] for way in ways}
    for _ in range(place.on(TURNS, 1)):
        for way, graph in graphs.items():
            ns[way] += place.times(graph, 8)
    return ns
