"""A program made to run: weights packed, memory planned, launches prepared, so that a call only launches.

All activations lie in one block of memory (`resnet.fused.buffers`), and with them what a layer's kernels pass to each
other, as the partial sums of a split depth. So every kernel reads and writes fixed addresses, but for the input's, and
its arguments are worked out once (`resnet.fused.launches`): what is left of a call is a launch a kernel, and no
allocation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from kernels.packing import TORCH_TYPES
from kernels.space.config import Config
from kernels.space.layer import Layer
from resnet.fused import launches
from resnet.fused.buffers import Buffers, Use, plan, scratch_of
from resnet.fused.launches import Bound
from resnet.fused.layers import layer_of
from resnet.fused.parts import computed, modules_of
from resnet.fused.program import INPUT, Conv, Head, Program
from resnet.fused.steps import Own, own

ALIGNMENT = 16  # bytes, of a batch: what the first kernel's loads were compiled for


class FusedNetwork(nn.Module):
    """Every step by our own kernels: [N, C, H, W], channels-last -> logits [N, classes], valid until the next call.

    For the one shape that the program was made for; ValueError for anything else. On a CPU a step is its op's aten, or
    with TRITON_INTERPRET=1 its kernel, interpreted. `configs` says how each layer is cut (aten cuts nothing),
    `cached` whether Triton had compiled everything before. `owners`: the number of the step that each call is of,
    `first` before `calls`.
    """

    cached = True
    owners: list[int]

    def __init__(self, program: Program, precision: str, device: torch.device) -> None:
        super().__init__()
        self.device, self.dtype = device, TORCH_TYPES[precision]
        self.shape = torch.Size(program.shapes[INPUT])
        self.steps = nn.ModuleList(own(step, precision).to(device) for step in program.steps)
        self._modules_of = [modules_of(step) for step in program.steps]
        target = launches.target_of(device, precision)
        layers = {step.name: layer_of(step, program, precision) for step in program.steps}
        self.configs: dict[Layer, Config] = {}
        if target is not None:
            self.configs = {layer: launches.config_of(layer, target) for layer in layers.values()}
        scratch = {
            name: launches.scratch_bytes(layer, self.configs[layer]) for name, layer in layers.items() if self.configs
        }
        buffers = plan(uses(program, self.dtype.itemsize, scratch))
        self.memory = torch.empty(buffers.size, dtype=torch.uint8, device=device)
        # apart from the rest, which the next call writes over from its first kernel on
        self.logits = torch.empty(program.shapes["head"], dtype=self.dtype, device=device)
        self.activation_bytes = buffers.size + self.logits.nbytes
        self.values = {
            name: self._pixels(offset, program.shapes[name])
            for name, offset in buffers.offsets.items()
            if len(program.shapes.get(name, ())) == 4
        }
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            if target is None:
                self.first, self.calls = self._by_ops(program)
            else:
                self.first, self.calls = self._by_kernels(program, layers, buffers, scratch)

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
            self.first(x)
            for call in self.calls:
                call()
        return self.logits

    def computes(self, part: str) -> tuple[str, ...]:
        """The model's modules that a part computes, by the part's name among this network's modules."""
        return computed(part, self._modules_of)

    def _check(self, x: Tensor) -> None:
        if x.shape != self.shape:
            raise ValueError(f"a batch of shape {list(x.shape)}; this network was made for {list(self.shape)}")
        if x.dtype != self.dtype or x.device != self.memory.device:
            raise ValueError(f"a batch of {x.dtype} on {x.device}; this network is for {self.dtype} on {self.device}")
        if not x.is_contiguous(memory_format=torch.channels_last) or x.data_ptr() % ALIGNMENT:
            raise ValueError("a batch that is not channels-last, or not aligned to 16 bytes: call place() on it first")

    def _by_ops(self, program: Program) -> tuple[Callable[[Tensor], object], list[Callable[[], object]]]:
        (stem, *rest), (module, *modules) = program.steps, self.steps
        self.owners = list(range(len(program.steps)))
        outs = [self.values.get(step.name, self.logits) for step in rest]
        calls: list[Callable[[], object]] = [
            partial(step, self.values, out) for step, out in zip(modules, outs, strict=True)
        ]
        return lambda x: module({INPUT: x}, self.values[stem.name]), calls

    def _by_kernels(
        self, program: Program, layers: Mapping[str, Layer], buffers: Buffers, scratch: Mapping[str, int]
    ) -> tuple[Callable[[Tensor], object], list[Callable[[], object]]]:
        """The stem's kernel, for any input, and all that follows."""
        x = torch.empty(self.shape, dtype=self.dtype, device=self.device, memory_format=torch.channels_last)
        values = {INPUT: x, **self.values}
        bound: list[Bound] = []
        self.owners = []
        for place, (step, module) in enumerate(zip(program.steps, self.steps, strict=True)):
            layer, out = layers[step.name], self.values.get(step.name, self.logits)
            memory = self._bytes(buffers.offsets.get(scratch_of(step.name), 0), scratch[step.name])
            bound += launches.launches_of(layer, self.configs[layer], cast(Own, module).operands(values), out, memory)
            self.owners += [place] * (len(bound) - len(self.owners))
        self.cached = launches.compile_together(bound)
        stem, *rest = bound
        return launches.ready(*stem, opened=True), [launches.ready(*launch) for launch in rest]

    def _bytes(self, offset: int, size: int) -> Tensor:
        return self.memory[offset : offset + size]

    def _pixels(self, offset: int, shape: tuple[int, ...]) -> Tensor:
        """A channels-last activation [N, C, H, W] in the block of memory."""
        n, c, h, w = shape
        values = self._bytes(offset, n * c * h * w * self.dtype.itemsize).view(self.dtype)
        return values.view(n, h, w, c).permute(0, 3, 1, 2)


def uses(program: Program, itemsize: int, scratch: Mapping[str, int]) -> list[Use]:
    """What the steps do to memory. The logits have their own: what poisons them must not be undone by another step."""
    found = []
    for step in program.steps:
        size = 0 if isinstance(step, Head) else prod(program.shapes[step.name]) * itemsize
        over = step.residual if isinstance(step, Conv) else None  # the kernels read it where they write
        found.append(Use(step.name, size, step.reads, over, scratch.get(step.name, 0)))
    return found
