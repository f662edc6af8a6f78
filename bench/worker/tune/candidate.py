"""A layer on a device, with random operands and the right answer to them: is a candidate right, how long does it take?

**Right** is what comes out twice, bit for bit, on memory filled with NaN and fenced with NaN, and agrees with float64
of the same rounded operands; and comes out again when hundreds of launches overlap. An element may be off by
- its own rounding: u = 2^-11 of it in fp16 and tf32, 2^-8 in bf16, 2^-24 in fp32 (Higham, Accuracy and Stability of
  Numerical Algorithms, section 2.1);
- the roundings of its sum in float32: depth * 2^-24 of the largest element. With N(0, 1) inputs and weights of depth
  ** -0.5 the largest element is about 5, the absolute products of an element add up to 0.64 sqrt(depth), and such
  errors grow as sqrt(depth) * 2^-24 of these (Higham and Mary 2019), an eighth of what is allowed;
- where there is a prologue, or averages are multiplied, one u of the largest element, as these may round to the other
  side than float64 does. (tf32 operands are drawn as a network hands them over, without the digits that the tensor
  cores cut off.)

**Timed** is a CUDA graph of launches one behind the other, as in a network, over sets of operands in rotation: a large
layer finds nothing in L2 and a small one much, as in a network too.
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
from kernels.call import compute_layer
from kernels.kinds import implementation, predicted_us, reference
from kernels.launch import Operands, empty_output
from kernels.packing import TORCH_TYPES, Packed, unpack
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import machine_of
from kernels.stem import widen
from kernels.tf32 import round_tf32

Run = Callable[[], object]
Timer = Callable[[], float]

NAMES = [item.name for item in fields(Operands)]

ROUNDOFF = {"fp32": 2.0**-24, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}

FENCE = 4096  # elements before and behind an output
ANSWER_BYTES = 1 << 30  # of float64 at a time
SETS = 16  # of operands at most, in rotation
GRAPH_US = 500.0  # of work in a graph: long beside what the events themselves add
LAUNCHES = 256  # in a graph at most: on the host each takes some 50 us to capture


class Subject:
    """A layer with its operands, its answer, and memory to write to."""

    def __init__(self, layer: Layer, device: str, clock: Clock, seed: int) -> None:
        self.layer, self.clock = layer, clock
        first = draw(layer, device, seed)
        self.want = answer(layer, first)
        self.slack = slack(layer, float(self.want.abs().max()))
        self.sets = [first, *(_mapped(first, NAMES, torch.clone) for _ in range(rotation(layer, device) - 1))]
        self.block, out = fenced(layer, device)
        self.outs = [out, *(empty_output(layer, device) for _ in self.sets[1:])]
        self.scratch: Tensor | None = None
        self.alone = out

    def runs(self, config: Config) -> list[Run]:
        """A launch for each set of operands."""
        size = implementation(self.layer, config).scratch_bytes(self.layer, config)
        self.scratch = torch.empty(size, dtype=torch.uint8, device=self.block.device) if size else None
        bound = zip(self.sets, self.outs, strict=True)
        return [launcher(self.layer, config, operands, out, self.scratch) for operands, out in bound]

    def wrong(self, config: Config) -> str:
        """What is wrong with what a candidate computes; empty if nothing is."""
        run, *_ = self.runs(config)
        found = []
        for _ in range(2):
            self._poison()
            run()
            self.clock.wait()
            found.append(self.outs[0].clone())
        self.alone = found[0]
        fence = torch.cat([self.block[:FENCE], self.block[-FENCE:]])
        if not bool(fence.isnan().all()):
            return "it writes outside its output"
        off = compare(found[0], self.want, ROUNDOFF[self.layer.dtype], self.slack)
        return off or ("" if same_bits(*found) else "two runs on the same operands differ")

    def same_again(self, timer: Timer) -> bool:
        """Whether a sample of launches back to back leaves what a launch alone did; for the last that `wrong` saw."""
        self._poison()
        timer()
        return all(same_bits(out, self.alone) for out in self.outs)

    def _poison(self) -> None:
        for memory in (self.block, *self.outs[1:]):
            memory.fill_(torch.nan)
        if self.scratch is not None:
            self.scratch.fill_(255)  # NaN in every type

    def timer(self, config: Config) -> Timer:
        """Microseconds of a launch, anew at each call; for a candidate that has run."""
        runs, cuda = self.runs(config), self.block.device.type == "cuda"
        launches, call = 1, runs[0]
        if cuda:
            major, minor = torch.cuda.get_device_capability()
            wanted = GRAPH_US / predicted_us(self.layer, config, machine_of(10 * major + minor))
            launches = len(runs) * ceil(min(max(wanted, 4), LAUNCHES) / len(runs))
            call = captured([runs[k % len(runs)] for k in range(launches)])

        # a graph does not keep alive what it reads and writes
        def sample(kept: tuple[Any, ...] = (self.sets, self.outs, self.scratch)) -> float:
            return self.clock.device(call).ns / 1e3 / launches

        sample()
        return sample


def slack(layer: Layer, top: float) -> float:
    """What any element may be off beside its own rounding; `top` is the largest."""
    between = ROUNDOFF[layer.dtype] if layer.prologue or layer.mean else 0
    return top * ((depth_of(layer) + (layer.h * layer.w if layer.mean else 0)) * 2.0**-24 + between)


def depth_of(layer: Layer) -> int:
    """Products in an element."""
    return prod(layer.kernel) * layer.c_in + layer.c_in2


def captured(runs: list[Run]) -> Run:
    """A CUDA graph of some launches; what they allocate must be there already."""
    graph = torch.cuda.CUDAGraph()
    graph.capture_begin(capture_error_mode="thread_local")
    try:
        for run in runs:
            run()
    finally:
        graph.capture_end()

    def replay(kept: list[Run] = runs) -> None:
        """Replay it; the graph reads and writes memory that only `kept` may keep alive."""
        graph.replay()

    return replay


def launcher(layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None) -> Run:
    """A launch as a network does it; on a CPU as the op does: by aten or, interpreted, by the kernel."""
    module = implementation(layer, config)
    if out.device.type == "cuda":
        bound = list(module.calls(layer, config, operands, out, scratch))
        return lambda: [launch.enqueue(*arguments) for launch, arguments in bound]
    return partial(compute_layer, layer, operands, out, str(config))


def draw(layer: Layer, device: str, seed: int) -> Operands:
    """Random operands for results of about unit size; the padding of weights is zero."""
    generator = torch.Generator(device).manual_seed(seed)
    operands = Operands.empty(replace(layer, pool=False), device)
    operands = _mapped(operands, NAMES, lambda tensor: tensor.normal_(generator=generator))
    if operands.scale is not None:
        operands.scale.abs_().add_(0.5)
    operands.weight.zero_()
    for view in unpack(operands.weight, layer):
        view.normal_(0, depth_of(layer) ** -0.5, generator=generator)
    if layer.mean:
        operands.x.mul_(sqrt(layer.h * layer.w))  # so that averages are of unit size
    if layer.dtype == "tf32":
        for operand in (operands.x, operands.weight, operands.x2):
            if operand is not None:
                operand.copy_(round_tf32(operand))
    if layer.pool:
        narrow = Packed(operands.weight, operands.bias, layer.c_in, layer.kernel, 0, layer.dtype)
        operands = replace(operands, weight=widen(narrow, layer.stride, layer.padding).weight)
    return operands


def _mapped(operands: Operands, names: Iterable[str], change: Callable[[Tensor], Tensor]) -> Operands:
    """Operands with the named ones, if there, changed."""
    found: dict[str, Any] = {name: getattr(operands, name) for name in names}
    return replace(operands, **{name: change(tensor) for name, tensor in found.items() if tensor is not None})


def answer(layer: Layer, operands: Operands) -> Tensor:
    """The right result: computed in float64, some images at a time, kept in float32."""
    want = torch.empty_like(empty_output(layer, operands.x.device), dtype=torch.float32)
    pixels = layer.h * layer.w * layer.c_in + 2 * layer.out_h * layer.out_w * layer.c_out
    for images in torch.arange(layer.n).split(max(1, ANSWER_BYTES // (8 * pixels))):
        part = slice(int(images[0]), int(images[-1]) + 1)
        cut = _mapped(operands, ("x", "residual", "x2"), itemgetter(part))
        want[part] = reference(layer, cut, torch.float64).float()
    return want


def rotation(layer: Layer, device: str) -> int:
    """How many sets of operands take turns: two, or to twice what L2 holds; SETS or a quarter of memory at most."""
    if device == "cpu":
        return 1
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    free = torch.cuda.mem_get_info()[0] // 4 // layer.bytes
    return max(1, min(max(2, ceil(2 * properties.L2_cache_size / layer.bytes)), SETS, free))


def fenced(layer: Layer, device: str) -> tuple[Tensor, Tensor]:
    """An output, laid out as it should be, in the middle of a larger block."""
    like = empty_output(layer, "meta")
    block = torch.empty(like.numel() + 2 * FENCE, dtype=TORCH_TYPES[layer.dtype], device=device)
    assert FENCE * BYTES[layer.dtype] % 128 == 0  # as memory is aligned
    return block, block.as_strided(like.shape, like.stride(), FENCE)


def compare(got: Tensor, want: Tensor, roundoff: float, slack: float) -> str:
    """What is off by more than rounding explains; empty if nothing is. Image by image, for the memory's sake."""
    off = unwritten = 0
    worst = 0.0
    for mine, right in zip(got, want, strict=True):
        error = (mine.float() - right).abs()
        off += int((~(error <= roundoff * right.abs() + slack)).sum())
        unwritten += int(mine.isnan().sum())
        worst = max(worst, float(error.nan_to_num(0.0).max()))
    if not off:
        return ""
    share = f"{off} of {want.numel()} values are off, {unwritten} are NaN or unwritten"
    return f"{share}, the worst by {worst:.3g}; a value v may be by {roundoff:.2g} |v| + {slack:.2g}"


def same_bits(one: Tensor, two: Tensor) -> bool:
    """Equal, NaN for NaN."""
    bits = {2: torch.int16, 4: torch.int32}[one.element_size()]
    with suppress(RuntimeError):
        return torch.equal(one.view(bits), two.view(bits))
    return False
