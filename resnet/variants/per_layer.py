"""Step by step the faster of this project's kernels and the vendor library's, as measured on this GPU.

A step is what `resnet.fused.program` makes one kernel of, and it competes with all library calls for the same: for a
block's last convolution with a projection in its accumulator two convolutions, for the stem a convolution and a pool.
Steps that no library call computes use this project's kernels: a convolution with a norm before it, a shortcut by a
matrix of zeros and ones.

Both are timed as they will run: in a CUDA graph for the launch `graph`, one launch after the other for `stream`, where
host time counts too. Everything is channels-last, and activations come from torch's allocator, as the library returns
its results in no other way. So for `stream` the kernels are launched through their ops here, which costs the host more
than in the variant `fused`: at a small batch that may be faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from resnet.fold import fold
from resnet.fused.carried import bundle_details
from resnet.fused.launches import compile_layers, install_tuned
from resnet.fused.layers import layer_of
from resnet.fused.program import INPUT, Conv, Program, ProgramNetwork, Step, build_program
from resnet.fused.steps import kernel_step
from resnet.library.ops import FUSED_TOLERANCE
from resnet.library.steps import LibraryStep, library_step
from resnet.model import ResNet
from resnet.runner import DTYPES, CudaCapture, Runner, fastest, weights_bytes, with_launch
from resnet.variants.fused import KernelRunner

KERNELS, LIBRARY = "own", "library"  # as `details` has them

# Executions in a timed turn: the time of a single one is mostly the way to the GPU and back.
REPEATS = 8


def prepare(model: ResNet, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the folded network, channels-last, each step as is faster for batches of `example`'s shape.

    `details` has every choice with both times in microseconds.
    """
    shape, dtype = tuple(example.shape), DTYPES[precision]
    steps = build_program(cast(ResNet, fold(model)), shape)
    cached, tuned = True, dict[str, object]()
    if example.device.type == "cuda":
        tuned = install_tuned(torch.cuda.get_device_name(example.device))
        cached = compile_layers({layer_of(step, steps, precision) for step in steps.steps}, example.device)
    with torch.no_grad():
        chooser = Chooser(steps, precision, example.device, launch)
        network = PerLayerNetwork(steps, chooser, example.to(dtype, copy=True, memory_format=torch.channels_last))
    details = {
        "weights_bytes": weights_bytes(network),
        "library": f"cuDNN {torch.backends.cudnn.version()}",
        "triton_cached": cached,
        **tuned,
        "steps": {side: sum(chooser.choice(step) == side for step in steps.steps) for side in (KERNELS, LIBRARY)},
        "choices": chooser.reasons,
    }
    details |= bundle_details(example.device.type)
    return with_launch(KernelRunner(network, example, precision, details), launch)


class PerLayerNetwork(ProgramNetwork):
    """A program whose steps are chosen on the activations of a first pass over `x`."""

    def __init__(self, steps: Program, choose: Chooser, x: Tensor) -> None:
        super().__init__(steps)
        self.names = [step.name for step in steps.steps]
        last = {name: index for index, step in enumerate(steps.steps) for name in step.reads}
        self.dead = [[name for name, read in last.items() if read == index] for index in range(len(steps.steps))]
        self.steps = nn.ModuleList()
        values = {INPUT: x}
        for step, dead in zip(steps.steps, self.dead, strict=True):
            self.steps.append(choose(step, values))
            values[step.name] = self.steps[-1](values)
            for name in dead:
                del values[name]

    def forward(self, x: Tensor) -> Tensor:
        values = {INPUT: x}
        for name, step, dead in zip(self.names, self.steps, self.dead, strict=True):
            values[name] = step(values)
            for other in dead:
                del values[other]
        return values[self.names[-1]]


class Chooser:
    """Chooses the module of each step, once for all steps with the same key; `reasons` says why, by key."""

    def __init__(self, steps: Program, precision: str, device: torch.device, launch: str) -> None:
        self.steps, self.precision, self.device, self.launch = steps, precision, device, launch
        self._choices: dict[str, str] = {}
        self.reasons: dict[str, str] = {}

    def choice(self, step: Step) -> str:
        """Return KERNELS or LIBRARY for a step that a module was chosen for."""
        return self._choices[key_of(step, self.steps, self.precision)]

    def __call__(self, step: Step, values: dict[str, Tensor]) -> nn.Module:
        key = key_of(step, self.steps, self.precision)
        library_call = library_step(step, self.precision)
        if library_call is None:
            self._choices[key], self.reasons[key] = KERNELS, f"{KERNELS}: the library has no call for it"
        elif self._choices.get(key) != KERNELS:
            library_call.to(self.device).choose(values)
            if key in self._choices:
                return library_call
        kernel = kernel_step(step, self.precision).to(self.device)
        if library_call is not None and key not in self._choices:
            self._choices[key], self.reasons[key] = self._compare(kernel, library_call, values)
        return cast(nn.Module, kernel if self._choices[key] == KERNELS else library_call)

    def _compare(self, kernel: nn.Module, library_call: LibraryStep, values: dict[str, Tensor]) -> tuple[str, str]:
        difference = _relative_difference(kernel(values), library_call(values))
        if not difference < FUSED_TOLERANCE:  # or NaN
            return LIBRARY, f"{LIBRARY}: the other is {difference:.2g} of the largest value apart"
        candidates: dict[str, nn.Module] = {KERNELS: kernel, LIBRARY: library_call}
        capture = CudaCapture() if self.launch == "graph" else None  # freed with this comparison's graphs
        calls = {name: _repeated(module, values, capture) for name, module in candidates.items()}
        name, us = fastest(calls, self.device, self.launch == "stream")
        times = {name: round(value / REPEATS, 2) for name, value in us.items()}
        return name, f"{name}: own {times[KERNELS]} us, library {times[LIBRARY]} us"


def _repeated(module: nn.Module, values: dict[str, Tensor], capture: CudaCapture | None) -> Callable[[], object]:
    """Return a call that runs `module` REPEATS times; with `capture`, as a graph."""

    def repeat(_: Tensor) -> Tensor:
        for _turn in range(REPEATS - 1):
            module(values)
        return cast(Tensor, module(values))

    any_input = next(iter(values.values()))
    return capture(repeat, any_input) if capture else lambda: repeat(any_input)


def key_of(step: Step, steps: Program, precision: str) -> str:
    """Return a step's key, which is the same for steps of the same kind and shapes, in every process."""
    if isinstance(step, Conv) and not step.pool:
        return layer_of(step, steps, precision).key
    shape = "x".join(map(str, steps.shapes[step.source]))
    relu = "-relu" if isinstance(step, Conv) and step.relu else ""
    return f"{precision}-{step.name}-{shape}-k{steps.shapes[step.name][1]}{relu}"


def _relative_difference(result: Tensor, reference: Tensor) -> float:
    """Return the largest difference over the largest value of the reference."""
    return float((result.float() - reference.float()).abs().max() / reference.float().abs().max())
