"""A program that is ready to run: weights packed, memory planned and launches prepared, so that a call only launches.

One block of memory (`resnet.fused.buffers`) contains all activations, and what a layer's kernels pass to each other, as
the partial sums of a split depth. So every kernel reads and writes fixed addresses, except the input's, and its
arguments are determined once (`resnet.fused.launches`): a call launches each kernel and allocates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from kernels.head import averages
from kernels.kinds import implementation
from kernels.launch import Call
from kernels.packing import TORCH_TYPES
from kernels.space.config import Config
from kernels.space.layer import Layer
from resnet.fused import launches
from resnet.fused.buffers import Buffers, Use, plan_buffers, scratch_name
from resnet.fused.layers import layer_of
from resnet.fused.program import INPUT, Conv, Head, Program, ProgramNetwork
from resnet.fused.quantized import CodedStep
from resnet.fused.steps import KernelCodes, KernelStep, kernel_step

ALIGNMENT = 16  # bytes, of a batch's address, which the first kernel was compiled for


class FusedNetwork(ProgramNetwork):
    """A network by this project's kernels: [N, C, H, W], channels-last, to logits [N, classes].

    It takes the program's shape only. In 8 bits, which are a program's `coded` steps, pictures and logits are fp16, and
    codes lie between. The logits are valid until the next call; with `keep` all activations are, as no memory is used
    twice. On a CPU a step is its op's aten, or with TRITON_INTERPRET=1 its kernel, interpreted. `layers`: of each step;
    `configs`: the configuration of each layer (none for aten); `cached`: whether all kernels were compiled before;
    `step_indices`: the index of the step of `first` and of each of `calls`.
    """

    cached = True
    means: Tensor | None = None  # the memory in which the head's kernels pass the averages
    step_indices: list[int]

    def __init__(
        self,
        program: Program,
        precision: str,
        device: torch.device,
        coded: tuple[CodedStep, ...] = (),
        keep: bool = False,
    ) -> None:
        super().__init__(program)
        wide = {part.step.name for part in coded if part.wide}
        layers = {step.name: layer_of(step, program, precision, step.name in wide) for step in program.steps}
        self.layers, self.device = layers, device
        self.dtype, self.stored = TORCH_TYPES["fp16" if coded else precision], TORCH_TYPES[precision]
        self.shape = torch.Size(program.shapes[INPUT])
        modules: list[nn.Module] = [KernelCodes(part, layers[part.step.name]) for part in coded]
        modules = modules or [kernel_step(step, precision) for step in program.steps]
        self.steps = nn.ModuleList(modules).to(device)
        target = launches.target_of(device, precision)
        self.configs: dict[Layer, Config] = {}
        if target is not None:
            self.configs = {layer: launches.config_of(layer, target) for layer in layers.values()}
        scratch = {
            name: implementation(layer, config).scratch_bytes(layer, config)
            for name, layer in layers.items()
            if (config := self.configs.get(layer))
        }
        uses = memory_uses(program, self.stored.itemsize, scratch)
        if keep:
            uses.append(Use("end", 0, tuple(step.name for step in program.steps)))
        buffers = plan_buffers(uses)
        self.memory = torch.empty(buffers.size, dtype=torch.uint8, device=device)
        # separate memory, as the next call's first kernels overwrite the block
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
        """Return the logits of a batch. Raises ValueError for one of another shape, dtype, device or layout."""
        self._check(x)
        with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
            self.first(x)
            for call in self.calls:
                call()
        return self.logits

    def averages(self) -> Tensor:
        """Return the averages [N, C] that the head of the last call multiplied, in 8 bits."""
        layer, operands = self.layers["head"], cast(KernelCodes, self.steps[-1]).operands(self.values)
        if self.means is None:
            return averages(layer, operands)
        return self.means[: 2 * layer.n * layer.c_in].view(torch.float16).view(layer.n, layer.c_in).clone()

    def _check(self, x: Tensor) -> None:
        if x.shape != self.shape:
            raise ValueError(f"a batch of shape {list(x.shape)}; this network is for {list(self.shape)}")
        if x.dtype != self.dtype or x.device != self.memory.device:
            raise ValueError(f"a batch of {x.dtype} on {x.device}; this network is for {self.dtype} on {self.device}")
        if not x.is_contiguous(memory_format=torch.channels_last) or x.data_ptr() % ALIGNMENT:
            raise ValueError("a batch that is not channels-last, or not aligned to 16 bytes: call place() on it first")

    def _by_ops(self, program: Program) -> tuple[Callable[[Tensor], object], list[Callable[[], object]]]:
        """Return the stem's call, which takes the input, and the calls that follow, by the ops' aten."""
        (stem, *rest), (module, *modules) = program.steps, self.steps
        self.step_indices = list(range(len(program.steps)))
        outs = [self.values.get(step.name, self.logits) for step in rest]
        pairs = zip(modules, outs, strict=True)
        calls: list[Callable[[], object]] = [partial(step, self.values, out) for step, out in pairs]
        return lambda x: module({INPUT: x}, self.values[stem.name]), calls

    def _by_kernels(
        self, program: Program, layers: Mapping[str, Layer], buffers: Buffers, scratch: Mapping[str, int]
    ) -> tuple[Callable[[Tensor], object], list[Callable[[], object]]]:
        """Return the launch of the stem's kernel, which takes the input, and the launches that follow."""
        x = torch.empty(self.shape, dtype=self.dtype, device=self.device, memory_format=torch.channels_last)
        values = {INPUT: x, **self.values}
        bound: list[Call] = []
        self.step_indices = []
        for index, (step, module) in enumerate(zip(program.steps, self.steps, strict=True)):
            layer, out = layers[step.name], self.values.get(step.name, self.logits)
            start = buffers.offsets.get(scratch_name(step.name), 0)
            memory = self.memory[start : start + scratch[step.name]]
            config, operands = self.configs[layer], cast(KernelStep, module).operands(values)
            self.means = memory
            bound += implementation(layer, config).calls(layer, config, operands, out, memory)
            self.step_indices += [index] * (len(bound) - len(self.step_indices))
        self.cached = launches.compile_together(bound)
        stem, *rest = bound
        return launches.bind_launch(*stem, takes_input=True), [launches.bind_launch(*launch) for launch in rest]

    def _pixels(self, offset: int, shape: tuple[int, ...]) -> Tensor:
        n, c, h, w = shape
        values = self.memory[offset : offset + n * c * h * w * self.stored.itemsize].view(self.stored)
        return values.view(n, h, w, c).permute(0, 3, 1, 2)


def memory_uses(program: Program, itemsize: int, scratch: Mapping[str, int]) -> list[Use]:
    """Return the steps' uses of memory. The logits' size is 0: their memory is separate, so no step overwrites it."""
    uses = []
    for step in program.steps:
        size = 0 if isinstance(step, Head) else prod(program.shapes[step.name]) * itemsize
        overwrites = step.residual if isinstance(step, Conv) else None  # kernels read an element before they write it
        uses.append(Use(step.name, size, step.reads, overwrites, scratch.get(step.name, 0)))
    return uses
