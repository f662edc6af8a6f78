"""The pieces of networks, each checked against float64 on a card, or by the interpreter on a CPU.

`bench.worker.tune.candidate` says when a kernel is right. A chain of dependent launches is right if it is exact: each
step moves every channel by one and adds one, in integers that fp16 represents, so a launch that reads or writes too
early shows in the elements.
"""

from __future__ import annotations

from dataclasses import replace

import numpy
import torch
import triton
from torch import Tensor

from bench.worker.experiments.place import Place, Run, Skip
from bench.worker.failure import Wrong
from bench.worker.tune.candidate import FENCE, Subject, capture, fenced
from kernels import conv
from kernels.kinds import space_of
from kernels.launch import INTERPRETED, Call, Operands
from kernels.packing import unpack
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer

LAYERS = {
    "conv1x1": Layer(8, 56, 56, 64, 256, (1, 1)),
    "conv3x3": Layer(8, 28, 28, 128, 128, (3, 3), 1, 1),
    "stem": Layer(8, 224, 224, 3, 64, (7, 7), 2, 3, pool=True),
    "head": Layer(8, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True),
    "tma": Layer(8, 28, 28, 512, 128, (1, 1)),
    "split-k": Layer(8, 7, 7, 512, 512, (3, 3), 1, 1),
    "residual": Layer(8, 14, 14, 256, 1024, (1, 1), residual=True),
    "second": Layer(8, 28, 28, 128, 512, (1, 1), second=(56, 56, 256, 2)),
    "prologue": Layer(8, 14, 14, 256, 256, (3, 3), 1, 1, prologue=True),
}
SMALL = {  # the interpreter takes a second for each
    "conv1x1": Layer(1, 6, 5, 32, 32, (1, 1)),
    "conv3x3": Layer(1, 6, 5, 32, 32, (3, 3), 1, 1),
    "stem": Layer(1, 20, 16, 3, 16, (7, 7), 2, 3, pool=True),
    "head": Layer(2, 3, 3, 32, 10, (1, 1), relu=False, mean=True),
    "tma": Layer(1, 8, 8, 64, 32, (1, 1)),
    "split-k": Layer(1, 5, 5, 64, 32, (3, 3), 1, 1),
    "residual": Layer(1, 6, 5, 32, 32, (1, 1), residual=True),
    "second": Layer(1, 4, 4, 32, 32, (1, 1), second=(8, 8, 32, 2)),
    "prologue": Layer(1, 6, 5, 32, 32, (3, 3), 1, 1, prologue=True),
}
# Configurations that are not the default: a box of one row, which wgmma reads from shared memory; a split depth.
CONFIGS = {"tma": "tma-1.1.128x128x64-w4-s3-k1-g8-pdl", "split-k": "ptr-64x64x64-w4-s3-k4-g8-pdl"}
SMALL_CONFIGS = {"tma": "tma-1.1.64x32x32-w4-s3-k1-g8", "split-k": "ptr-32x32x32-w4-s3-k3-g8"}
BULK = 90  # the first architecture with bulk copies and programmatic dependent launch

STEPS = 40  # of a chain; every other one has the two launches of a split depth
CHAIN, SMALL_CHAIN = Layer(16, 56, 56, 64, 64, (1, 1)), Layer(1, 5, 5, 64, 64, (1, 1))
CHAIN_CONFIGS = ("ptr-128x64x32-w4-s3-k1-g8-pdl", "ptr-64x64x32-w4-s3-k2-g8-pdl")
REPEATS = 50
SLEEP_CYCLES = 8_000_000  # 4 ms at 1.8 GHz, in which the host enqueues a chain of 60 launches


def layer(place: Place, name: str) -> None:
    """Check a layer's kernels as a candidate; `name` is a key of LAYERS, with a precision after a hyphen."""
    kind, _, precision = name.rpartition("-")
    if precision not in BYTES:
        kind, precision = name, "fp16"
    if kind == "tma" and not place.dry:
        place.needs(BULK, "a bulk tensor copy")
    if precision == "fp8" and not place.dry:
        place.needs(89, "a product of e4m3")
    if place.dry and precision == "bf16":
        raise Skip("the interpreter multiplies bf16 wrong")
    _require_interpreter(place)
    checked = replace(place.on(LAYERS, SMALL)[kind], dtype=precision)
    text = place.on(CONFIGS, SMALL_CONFIGS).get(kind)
    config = (
        Config.parse(text) if text else space_of(checked).default_config(checked, place.arch, place.sms, place.card)
    )
    if place.arch < BULK:
        config = replace(config, pdl=False)
    subject = Subject(checked, place.device, place.clock, seed=0)
    if problem := subject.check(config):
        raise Wrong(f"{config}: {problem}")
    if not subject.repeats_exactly(subject.timer(config)):
        raise Wrong(f"{config}: launched back to back it writes something else than alone")


def _require_interpreter(place: Place) -> None:
    """Raise Skip on a CPU whose Triton cannot interpret with its numpy."""
    assert INTERPRETED or not place.dry  # else aten would be compared with itself
    versions = [tuple(map(int, text.split(".")[:2])) for text in (triton.__version__, numpy.__version__)]
    if place.dry and versions[0] < (3, 7) and versions[1] >= (2, 4):
        raise Skip(f"Triton {triton.__version__} interprets with numpy up to 2.3, and this is {numpy.__version__}")


class Chain:
    """Launches that each read what the one before wrote, alternating between two buffers fenced with NaN."""

    def __init__(self, place: Place) -> None:
        layer: Layer = place.on(CHAIN, SMALL_CHAIN)
        operands = Operands.empty(layer, place.device)
        operands.bias.fill_(1)
        weight, _ = unpack(operands.weight, layer)
        weight.copy_(torch.eye(layer.c_in).roll(1, 1)[:, :, None, None])  # output k is input k + 1
        self.start = torch.empty_like(operands.x).random_(0, 8)
        self.blocks, self.buffers = zip(*(fenced(layer, place.device) for _ in range(2)), strict=True)
        configs = [Config.parse(text) for text in CHAIN_CONFIGS]
        self.scratch = operands.bias.new_empty(max(conv.scratch_bytes(layer, config) for config in configs) // 4)
        self.bound, memory = list[Call](), self.scratch.view(torch.uint8)
        for step in range(STEPS):
            x, y = self.buffers[step % 2], self.buffers[(step + 1) % 2]
            self.bound += conv.calls(layer, configs[step % 2], replace(operands, x=x), y, memory)
        self.expected = (self.start.double().roll(-STEPS, 1) + STEPS).to(self.start.dtype)

    def reset(self) -> None:
        """Fill the memory with NaN, and the first buffer with its start."""
        for memory in (*self.blocks, self.scratch):
            memory.fill_(torch.nan)
        self.buffers[0].copy_(self.start)

    def run(self) -> None:
        for launch, arguments in self.bound:
            launch.enqueue(*arguments)

    def count_wrong(self) -> Tensor:
        """Return how many elements are wrong, those of the fences included, as a tensor on the device."""
        wrong = (self.buffers[STEPS % 2] != self.expected).sum()
        return wrong + sum((~block[part].isnan()).sum() for block in self.blocks for part in FENCES)


FENCES = (slice(None, FENCE), slice(-FENCE, None))


def pdl_chain(place: Place, name: str) -> None:
    """Check programmatic dependent launches one after the other, on a stream; as `pdl-graph`, in a graph."""
    if not place.dry:
        place.needs(BULK, "programmatic dependent launch")
    _require_interpreter(place)
    chain = Chain(place)
    call: Run = chain.run
    chain.reset()
    chain.run()
    if wrong := int(chain.count_wrong()):
        raise Wrong(f"launched one after the other, {wrong} values are off")
    place.needs(BULK, "in order the chain is right; an overlap of launches")
    if name == "pdl-graph":
        call = capture([chain.run])
    wrong_counts = []
    for _ in range(REPEATS):
        chain.reset()
        torch.cuda._sleep(SLEEP_CYCLES)  # all is enqueued when the first begins, so that launches overlap
        call()
        wrong_counts.append(chain.count_wrong())
    counts = torch.stack(wrong_counts).tolist()
    if any(counts):
        wrong_chains = sum(count > 0 for count in counts)
        raise Wrong(
            f"overlapping, {wrong_chains} of {REPEATS} chains of {STEPS} are off, by up to {max(counts)} values"
        )


def graph(place: Place, name: str) -> None:
    """Check a CUDA graph of torch operations, replayed on new inputs; it is exact, as its integers are small."""
    scalar = torch.zeros((), dtype=torch.float16, device=place.device)
    x, weight, bias = scalar.new_zeros(256, 64), scalar.new_empty(64, 128), scalar.new_empty(128)
    for tensor in (weight, bias):
        tensor.random_(-2, 3)
    out = scalar.new_empty(256, 128)

    def work() -> None:
        torch.addmm(bias, x, weight, out=out)
        out.relu_()

    work()  # now, so that the library allocates its memory before the capture
    place.clock.wait()
    replay = place.graph([work])
    for turn in range(3):
        x.random_(-2, 3)
        out.fill_(torch.nan)
        replay()
        wrong = int((out.double() != (x.double() @ weight.double() + bias.double()).relu()).sum())
        if wrong:
            raise Wrong(f"replay {turn + 1}: {wrong} of {out.numel()} values are off")
    place.needs(0, "without a graph the work is right; a CUDA graph")
