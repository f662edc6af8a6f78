"""Step by step the faster of our kernels and the vendor library's, as measured on the GPU in front of it.

A step is what `resnet.fused.program` makes one kernel of, and its rival is all that the library needs for the same:
for a block's last convolution with a projection in its accumulator two convolutions, for the stem a convolution and a
pool. So whole groups are compared. What no library call computes stays ours: a convolution with a norm before it, a
shortcut by a matrix of zeros and ones.

Both are timed as they will run: in a CUDA graph for a graph, one launch after the other for a stream, where the host's
time counts too. Everything is channels-last, and activations come from torch's allocator, as the library returns its
results in no other way. So on a stream our kernels go through their ops here, which costs the host more than `fused`
spends: at a small batch that one may be ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from resnet.fold import fold
from resnet.fused.buffers import Use, peak_bytes
from resnet.fused.carried import bundle_details
from resnet.fused.eager_memory import eager_uses
from resnet.fused.launches import compile_layers, config_of, install_tuned, scratch_bytes, target_of
from resnet.fused.layers import layer_of
from resnet.fused.parts import modules_of, modules_of_part
from resnet.fused.program import INPUT, Conv, Program, Stem, Step, build_program
from resnet.fused.steps import kernel_step
from resnet.library.ops import FUSED_TOLERANCE
from resnet.library.steps import LibraryStep, library_step
from resnet.model import ResNet
from resnet.runner import DTYPES, CudaCapture, Runner, fastest, launched, weights_bytes
from resnet.variants.fused import OwnRunner, check

# Executions in a timed turn: of one alone, most is the way to the GPU and back.
REPEATS = 8

Choices = Mapping[tuple[str, str, str], str]
_installed: Choices = {}


def use(choices: Choices) -> None:
    """Installs choices that need no timing: (GPU, `key_of` the step, launch) -> "own" or "library".

    Steps that only ours can compute stay ours.
    """
    global _installed
    _installed = choices


def prepare(model: ResNet, example: Tensor, precision: str, launch: str) -> Runner:
    """The folded network, channels-last, each step by the way that is faster for batches of `example`'s shape.

    `details` has every choice with both times in microseconds. Raises ValueError for a precision without kernels and
    for a graph without a GPU.
    """
    check(example.device, precision, launch)
    shape, dtype = tuple(example.shape), DTYPES[precision]
    made = build_program(cast(ResNet, fold(model)), shape)
    cached, chosen = True, dict[str, object]()
    if example.device.type == "cuda":
        chosen = install_tuned(torch.cuda.get_device_name(example.device))
        cached = compile_layers({layer_of(step, made, precision) for step in made.steps}, example.device)
    with torch.no_grad():
        choice = Choice(made, precision, example.device, launch)
        network = MixedNetwork(made, choice, example.to(dtype, copy=True, memory_format=torch.channels_last))
    details = {
        "weights_bytes": weights_bytes(network),
        "activation_bytes": peak_bytes(uses(made, choice, dtype.itemsize)),
        "eager_activation_bytes": peak_bytes(eager_uses(model, shape, dtype.itemsize)),
        "library": f"cuDNN {torch.backends.cudnn.version()}",
        "triton_cached": cached,
        **chosen,
        "steps": {way: sum(choice.way(step) == way for step in made.steps) for way in ("own", "library")},
        "choices": choice.why,
    }
    details |= bundle_details(example.device.type)
    return launched(OwnRunner(network, example, precision, details), launch)


class MixedNetwork(nn.Module):
    """A program, each step by the way that is chosen on the activations of a first pass over `x`."""

    def __init__(self, made: Program, choice: Choice, x: Tensor) -> None:
        super().__init__()
        self.names = [step.name for step in made.steps]
        self._modules_of = [modules_of(step) for step in made.steps]
        last = {name: index for index, step in enumerate(made.steps) for name in step.reads}
        self.dead = [[name for name, read in last.items() if read == index] for index in range(len(made.steps))]
        self.steps = nn.ModuleList()
        values = {INPUT: x}
        for step, dead in zip(made.steps, self.dead, strict=True):
            self.steps.append(choice(step, values))
            values[step.name] = self.steps[-1](values)
            for name in dead:
                del values[name]

    def forward(self, x: Tensor) -> Tensor:
        values = {INPUT: x}
        for name, step, dead in zip(self.names, self.steps, self.dead, strict=True):
            values[name] = step(values)
            for gone in dead:
                del values[gone]
        return values[self.names[-1]]

    def computes(self, part: str) -> tuple[str, ...]:
        """The model's modules that a part computes, by the part's name among this network's modules."""
        return modules_of_part(part, self._modules_of)


class Choice:
    """Chooses a module for a step, once for all steps that are alike. `why` says in words what was chosen, by key."""

    def __init__(self, made: Program, precision: str, device: torch.device, launch: str) -> None:
        self.made, self.precision, self.device, self.launch = made, precision, device, launch
        self.gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        self.ways: dict[str, str] = {}
        self.why: dict[str, str] = {}

    def way(self, step: Step) -> str:
        """ "own" or "library", of a step that was chosen for."""
        return self.ways[key_of(step, self.made, self.precision)]

    def __call__(self, step: Step, values: dict[str, Tensor]) -> nn.Module:
        key = key_of(step, self.made, self.precision)
        rival = library_step(step, self.precision)
        known = self.ways.get(key)
        if known is None and rival is None:
            known, self.why[key] = "own", "own: the library has no call for it"
        if known is None and (known := _installed.get((self.gpu, key, self.launch))):
            self.why[key] = f"{known}: installed"
        mine = kernel_step(step, self.precision).to(self.device) if known != "library" else None
        if rival is not None and known != "own":
            rival.to(self.device).choose(values)
            if mine is not None:
                known, self.why[key] = self._compared(mine, rival, values)
        self.ways[key] = str(known)
        return cast(nn.Module, mine if known == "own" else rival)

    def _compared(self, mine: nn.Module, rival: LibraryStep, values: dict[str, Tensor]) -> tuple[str, str]:
        apart = _apart(mine(values), rival(values))
        if not apart < FUSED_TOLERANCE:  # or not a number
            return "library", f"library: the other is {apart:.2g} of the largest value apart"
        ways: dict[str, nn.Module] = {"own": mine, "library": rival}
        capture = CudaCapture() if self.launch == "graph" else None  # of this comparison, with which its graphs go
        calls = {name: _repeated(way, values, capture) for name, way in ways.items()}
        name, us = fastest(calls, self.device, self.launch == "stream")
        times = {name: round(value / REPEATS, 2) for name, value in us.items()}
        return name, f"{name}: own {times['own']} us, library {times['library']} us"


def _repeated(module: nn.Module, values: dict[str, Tensor], capture: CudaCapture | None) -> Callable[[], object]:
    def repeat(_: Tensor) -> Tensor:
        for _turn in range(REPEATS - 1):
            module(values)
        return cast(Tensor, module(values))

    anything = next(iter(values.values()))
    return capture(repeat, anything) if capture else lambda: repeat(anything)


def key_of(step: Step, made: Program, precision: str) -> str:
    """A step in a line; steps that are alike have the same, in every process."""
    if isinstance(step, Conv):
        return layer_of(step, made, precision).key
    shape = "x".join(map(str, made.shapes[step.source]))
    relu = "-relu" if isinstance(step, Stem) and step.relu else ""
    return f"{precision}-{step.name}-{shape}-k{made.shapes[step.name][1]}{relu}"


def uses(made: Program, choice: Choice, itemsize: int) -> list[Use]:
    """What the steps do to memory, by the way chosen for each: nothing is written over, temporaries count."""
    found = []
    for step in made.steps:
        size = prod(made.shapes[step.name]) * itemsize
        scratch = 0
        target = target_of(choice.device, choice.precision)
        if choice.way(step) == "library":
            # the projection; what is pooled, twice as high and wide, or a row and a column less
            projection = size if isinstance(step, Conv) and step.shortcut is not None else 0
            scratch = 4 * size if isinstance(step, Stem) else projection
            if choice.precision == "tf32":  # what is rounded, and its bits
                scratch += 2 * size
        elif target is not None:
            layer = layer_of(step, made, choice.precision)
            scratch = scratch_bytes(layer, config_of(layer, target))
        found.append(Use(step.name, size, step.reads, scratch=scratch))
    return found


def _apart(got: Tensor, want: Tensor) -> float:
    """Largest difference, over the largest value."""
    return float((got.float() - want.float()).abs().max() / want.float().abs().max())
