"""A layer on a device, with random operands and the right output, on which candidates are checked and timed.

A candidate is **right** if two runs give the same bits on memory filled and fenced with NaN, if they agree with float64
of the same rounded operands, and if hundreds of overlapping launches give the same bits again. The tolerance of an
element is the sum of
- its rounding: u = 2^-11 of it in fp16 and tf32, 2^-8 in bf16, 2^-24 in fp32 (Higham, Accuracy and Stability of
  Numerical Algorithms, section 2.1);
- the roundings of its sum in float32: depth * 2^-24 of the largest element. With N(0, 1) inputs and weights of depth
  ** -0.5 the largest element is about 5, the absolute products of an element add up to 0.64 sqrt(depth), and such
  errors grow as sqrt(depth) * 2^-24 of these (Higham and Mary 2019), an eighth of the tolerance;
- of codes, half the distance to the next (of e4m3 2^-4 of it), for they are the nearest of sums that are exact;
- where there is a prologue, or averages are multiplied, one u of the largest element, because these may round to the
  other side than float64 does. (tf32 operands are drawn as a network passes them, without the digits that the tensor
  cores drop.)

It is **timed** as a CUDA graph of launches one after the other over sets of operands in rotation: as in a network, a
large layer finds nothing in L2, and a small layer much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from math import ceil, prod, sqrt
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from bench.worker.measure.clock import Clock
from bench.worker.truth import ROUNDOFF
from kernels.call import compute_layer
from kernels.kinds import implementation, reference, space_of
from kernels.launch import Operands, empty_output
from kernels.packing import TORCH_TYPES, Packed, unpack
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import machine_of
from kernels.stem import widen
from kernels.tf32 import round_tf32

Run = Callable[[], object]
Timer = Callable[[], float]

OPERAND_NAMES = [operand.name for operand in fields(Operands)]


SPREAD = 40.0  # the standard deviation of codes
POISON = 0x7F  # of memory of codes: e4m3's NaN, int8's largest, which is rare
FENCE = 4096  # elements before and after an output
FLOAT64_BYTES = 1 << 30  # of right outputs at a time
MAX_SETS = 16  # of operands in rotation
GRAPH_US = 500.0  # of work in a graph: the events add little to that
MAX_LAUNCHES = 256  # in a graph: capturing each takes the host some 50 us


class Subject:
    """A layer with its operands, its right output, and memory for outputs."""

    def __init__(self, layer: Layer, device: str, clock: Clock, seed: int) -> None:
        self.layer, self.clock = layer, clock
        first = draw(layer, device, seed)
        self.expected = right_output(layer, first)
        self.tolerance = tolerance(layer, float(self.expected.abs().max()))
        self.sets = [first, *(_mapped(first, OPERAND_NAMES, torch.clone) for _ in range(set_count(layer, device) - 1))]
        self.block, out = fenced(layer, device)
        self.outs = [out, *(empty_output(layer, device) for _ in self.sets[1:])]
        self.scratch: Tensor | None = None
        self.single_run = out

    def launchers(self, config: Config) -> list[Run]:
        """Return a launch for each set of operands."""
        size = implementation(self.layer, config).scratch_bytes(self.layer, config)
        self.scratch = torch.empty(size, dtype=torch.uint8, device=self.block.device) if size else None
        pairs = zip(self.sets, self.outs, strict=True)
        return [launcher(self.layer, config, operands, out, self.scratch) for operands, out in pairs]

    def check(self, config: Config) -> str:
        """Return what is wrong with a candidate's output; empty if nothing is."""
        run, *_ = self.launchers(config)
        outputs = []
        for _ in range(2):
            self._poison()
            run()
            self.clock.wait()
            outputs.append(self.outs[0].clone())
        self.single_run = outputs[0]
        fence = torch.cat([self.block[:FENCE], self.block[-FENCE:]])
        if not bool((fence.view(torch.uint8) == POISON if fence.itemsize == 1 else fence.isnan()).all()):
            return "it writes outside its output"
        mismatch = describe_mismatch(outputs[0], self.expected, roundoff(self.layer), self.tolerance)
        return mismatch or ("" if same_bits(*outputs) else "two runs on the same operands differ")

    def repeats_exactly(self, timer: Timer) -> bool:
        """Return whether launches back to back give the bits of a single launch, for the candidate checked last."""
        self._poison()
        timer()
        return all(same_bits(out, self.single_run) for out in self.outs)

    def _poison(self) -> None:
        for memory in (self.block, *self.outs[1:]):
            if memory.itemsize == 1:
                memory.view(torch.uint8).fill_(POISON)
            else:
                memory.fill_(torch.nan)
        if self.scratch is not None:
            self.scratch.fill_(255)  # NaN in every type

    def timer(self, config: Config) -> Timer:
        """Return a function that measures the microseconds of a launch, of a candidate that has run."""
        runs, cuda = self.launchers(config), self.block.device.type == "cuda"
        launches, call = 1, runs[0]
        if cuda:
            major, minor = torch.cuda.get_device_capability()
            needed = GRAPH_US / space_of(self.layer).predicted_us(self.layer, config, machine_of(10 * major + minor))
            launches = len(runs) * ceil(min(max(needed, 4), MAX_LAUNCHES) / len(runs))
            call = capture([runs[k % len(runs)] for k in range(launches)])

        # the default argument keeps alive what the graph reads and writes
        def sample(_memory: tuple[Any, ...] = (self.sets, self.outs, self.scratch)) -> float:
            return self.clock.device(call).ns / 1e3 / launches

        sample()
        return sample


def tolerance(layer: Layer, largest: float) -> float:
    """Return the error that any element may have beside its rounding; `largest` is the largest element.

    Codes of int8 are the nearest of exact sums, those of e4m3 too, whose least are 2^-9 apart; a thousandth of a code
    is for float32.
    """
    if BYTES[layer.out_dtype] == 1:
        return 0.501 if layer.out_dtype == "int8" else 2.0**-10 + largest * depth_of(layer) * 2.0**-20
    intermediate = ROUNDOFF[layer.dtype] if layer.prologue or layer.mean else 0
    return largest * ((depth_of(layer) + (layer.h * layer.w if layer.mean else 0)) * 2.0**-24 + intermediate)


def roundoff(layer: Layer) -> float:
    """Return half of the distance of neighbouring results, relative to them; int8's are as far apart everywhere."""
    return 0.0 if layer.out_dtype == "int8" else ROUNDOFF[layer.out_dtype]


def depth_of(layer: Layer) -> int:
    """Return the products in an element."""
    return prod(layer.kernel) * layer.c_in + layer.c_in2


def capture(runs: list[Run]) -> Run:
    """Capture launches in a CUDA graph, and return its replay; what they allocate must exist before."""
    graph = torch.cuda.CUDAGraph()
    graph.capture_begin(capture_error_mode="thread_local")
    try:
        for run in runs:
            run()
    finally:
        graph.capture_end()

    def replay(_runs: list[Run] = runs) -> None:
        """Replay the graph; the default argument keeps alive the memory that it reads and writes."""
        graph.replay()

    return replay


def launcher(layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None) -> Run:
    """Return a launch as in a network; on a CPU as in the op, by aten or by the interpreted kernel."""
    if out.device.type == "cuda":
        bound = list(implementation(layer, config).calls(layer, config, operands, out, scratch))
        return lambda: [launch.enqueue(*arguments) for launch, arguments in bound]
    return partial(compute_layer, layer, operands, out, str(config))


def draw(layer: Layer, device: str, seed: int) -> Operands:
    """Draw random operands for results of about unit size; the padding of weights is zero."""
    generator = torch.Generator(device).manual_seed(seed)
    operands = Operands.empty(replace(layer, pool=False), device)
    operands = _mapped(operands, OPERAND_NAMES, lambda tensor: _normal(tensor, 1.0, generator))
    if operands.scale is not None:
        operands.scale.abs_().add_(0.5)
    operands.weight.zero_()
    for view in unpack(operands.weight, layer):
        _normal(view, depth_of(layer) ** -0.5, generator)
    if operands.factors is not None:
        operands.factors.copy_(_factors(layer))
    elif layer.mean:
        operands.x.mul_(sqrt(layer.h * layer.w))  # so that averages have unit size
    if layer.dtype == "tf32":
        for operand in (operands.x, operands.weight, operands.x2):
            if operand is not None:
                operand.copy_(round_tf32(operand))
    if layer.pool:
        packed = Packed(operands.weight, operands.bias, layer.c_in, layer.kernel, 0, layer.dtype)
        operands = replace(operands, weight=widen(packed, layer.stride, layer.padding).weight)
    return operands


def _normal(tensor: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Draw a tensor's values; codes have a deviation of SPREAD."""
    if tensor.itemsize > 1:
        return tensor.normal_(0, deviation, generator=generator)
    values = torch.empty(tensor.shape, device=tensor.device).normal_(0, SPREAD, generator=generator).clamp_(-127, 127)
    return tensor.copy_(values.round_() if tensor.dtype == torch.int8 else values)


def _factors(layer: Layer) -> Tensor:
    """Return the factors for results of about SPREAD codes, and averages of unit size."""
    if layer.mean:
        return torch.tensor([sqrt(layer.h * layer.w) / SPREAD])
    of_x = SPREAD if BYTES[layer.in_dtype] == 1 else 1.0
    of_w = SPREAD * sqrt(depth_of(layer)) if BYTES[layer.dtype] == 1 else 1.0
    factors = torch.ones(layer.factors)
    factors[: layer.c_out] = SPREAD / (of_x * of_w)
    return factors


def _mapped(operands: Operands, names: Iterable[str], change: Callable[[Tensor], Tensor]) -> Operands:
    """Return the operands with `change` applied to the named ones that are not None."""
    named: dict[str, Any] = {name: getattr(operands, name) for name in names}
    return replace(operands, **{name: change(tensor) for name, tensor in named.items() if tensor is not None})


def right_output(layer: Layer, operands: Operands) -> Tensor:
    """Return the right output in float32, computed in float64, some images at a time."""
    expected = torch.empty_like(empty_output(layer, operands.x.device), dtype=torch.float32)
    pixels = layer.h * layer.w * layer.c_in + 2 * layer.out_h * layer.out_w * layer.c_out
    for images in torch.arange(layer.n).split(max(1, FLOAT64_BYTES // (8 * pixels))):
        part = slice(int(images[0]), int(images[-1]) + 1)
        cut = _mapped(operands, ("x", "residual", "x2"), itemgetter(part))
        expected[part] = reference(layer, cut, torch.float64).float()
    if BYTES[layer.out_dtype] == 1:
        expected.clamp_(*((-128, 127) if layer.out_dtype == "int8" else (-448, 448)))
    return expected


def set_count(layer: Layer, device: str) -> int:
    """Return how many sets of operands rotate: two, or twice the L2 cache; at most MAX_SETS, or a quarter of memory."""
    if device == "cpu":
        return 1
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    free = torch.cuda.mem_get_info()[0] // 4 // layer.bytes
    return max(1, min(max(2, ceil(2 * properties.L2_cache_size / layer.bytes)), MAX_SETS, free))


def fenced(layer: Layer, device: str) -> tuple[Tensor, Tensor]:
    """Return a block of memory, and in its middle an output with the layout of the layer's."""
    like = empty_output(layer, "meta")
    block = torch.empty(like.numel() + 2 * FENCE, dtype=TORCH_TYPES[layer.out_dtype], device=device)
    assert FENCE * BYTES[layer.out_dtype] % 128 == 0  # the alignment of memory
    return block, block.as_strided(like.shape, like.stride(), FENCE)


def describe_mismatch(got: Tensor, expected: Tensor, roundoff: float, tolerance: float) -> str:
    """Return how `got` differs by more than `tolerance` and its rounding; empty if it does not.

    It is compared image by image, which takes less memory.
    """
    wrong = unwritten = 0
    worst = 0.0
    for image, expected_image in zip(got, expected, strict=True):
        image = image.float()
        error = (image - expected_image).abs()
        wrong += int((~(error <= roundoff * expected_image.abs() + tolerance)).sum())
        unwritten += int(image.isnan().sum())
        worst = max(worst, float(error.nan_to_num(0.0).max()))
    if not wrong:
        return ""
    counts = f"{wrong} of {expected.numel()} values are off, {unwritten} are NaN or unwritten"
    return f"{counts}, the worst by {worst:.3g}; a value v may be by {roundoff:.2g} |v| + {tolerance:.2g}"


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors have equal bits, so that NaN equals NaN."""
    bits = {1: torch.int8, 2: torch.int16, 4: torch.int32}[first.element_size()]
    with suppress(RuntimeError):
        return torch.equal(first.view(bits), second.view(bits))
    return False


def context_lost() -> bool:
    """Return whether the GPU refuses this process further work, as after an illegal access; else free its memory."""
    if not torch.cuda.is_available():
        return False
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except Exception:
        return True
    return False
