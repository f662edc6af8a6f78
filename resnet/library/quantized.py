"""oneDNN's calls in 8 bits on a CPU: a module for each step of `resnet.quant`, and the network of them.

Codes of pictures are uint8 in channels-last memory, weights int8 and packed once. The sum with the residual, the ReLU
and the rounding to the next codes are inside oneDNN's convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from resnet.quant.steps import Grid, Step, Taps, Term

onednn = torch.ops.onednn

Sources = Sequence[tuple[Tensor, Grid | None]]  # what a step reads, with the grid of codes


class Rounding(nn.Module):
    """Pictures in float32 [N, C, H, W], rounded to codes."""

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        self.grid = _output(step)

    def forward(self, x: Tensor) -> Tensor:
        return _codes(x * (1 / self.grid.scale), self.grid)


class Conv(nn.Module):
    """A convolution of codes, with the codes of a residual added before the ReLU: it is overwritten, and the result.

    The operation returns a copy of the residual that it overwrote, which is of no use here.
    """

    weight: Tensor
    scale: Tensor
    zeros: Tensor
    bias: Tensor | None

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        (x, grid), term, output = sources[0], step.terms[0], _output(step)
        assert term.weight is not None
        assert grid is not None
        self.source, self.geometry = (grid.scale, grid.zero), _geometry(term)
        self.register_buffer("scale", term.weight.scale.float())
        self.register_buffer("zeros", torch.zeros(len(self.scale), dtype=torch.int64))
        self.register_buffer("bias", None if step.bias is None else step.bias.float())
        codes = term.weight.codes.contiguous()
        packed = onednn.qconv_prepack(codes, self.scale, *self.source, *self.geometry, list(x.shape))
        self.register_buffer("weight", packed)
        self.output, self.act = (output.scale, output.zero, torch.uint8), "relu" if step.relu else "none"
        self.added: tuple[float, int] | None = None
        self.selects: Callable[[Tensor], Tensor] | None = None
        if len(step.terms) > 1:
            grid = sources[1][1]
            assert grid is not None
            self.added = grid.scale, grid.zero
            self.selects = _selection(step.terms[1], grid)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        operands = (x, *self.source, self.weight, self.scale, self.zeros)
        if residual is None or self.added is None:
            return onednn.qconv2d_pointwise(*operands, self.bias, *self.geometry, *self.output, self.act, [], "")
        result = residual if self.selects is None else self.selects(residual)
        rest: tuple[object, ...] = (self.bias, *self.geometry, *self.output, *self.added, "sum", 1.0, self.act, [], "")
        onednn.qconv2d_pointwise.binary(*operands, result, *rest)
        return result


class Pool(nn.Module):
    """The largest code of 3x3; by torch's operation of quantised tensors, as max_pool2d has no uint8."""

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        self.zero, self.padding = _output(step).zero, 1 if step.pool == "max" else 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.padding:
            x = nn.functional.pad(x, (1, 1, 1, 1), value=self.zero)
        return torch.ops.quantized.max_pool2d(x, [3, 3], [2, 2], [self.padding] * 2, [1, 1], False)


class Mean(nn.Module):
    """The mean over the pixels: [N, C], in float32, or rounded to the codes of its own grid."""

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        x, grid = sources[0]
        assert grid is not None
        self.grid, pixels = step.output, x.shape[2] * x.shape[3]
        unit = self.grid.scale if self.grid else 1.0
        self.factor, self.shift = grid.scale / pixels / unit, -grid.zero * grid.scale / unit

    def forward(self, x: Tensor) -> Tensor:
        places = x.sum((2, 3), dtype=torch.int32).to(torch.float32).mul_(self.factor).add_(self.shift)
        return places if self.grid is None else _codes(places, self.grid)


class Product(nn.Module):
    """The classifier of codes: [N, C] -> float32 [N, K]."""

    weight: Tensor
    scale: Tensor
    zeros: Tensor
    bias: Tensor | None

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        (x, grid), weight = sources[0], step.terms[0].weight
        assert weight is not None
        assert grid is not None
        self.source = grid.scale, grid.zero
        self.register_buffer("scale", weight.scale.float())
        self.register_buffer("zeros", torch.zeros(len(self.scale), dtype=torch.int64))
        self.register_buffer("bias", None if step.bias is None else step.bias.float())
        self.register_buffer("weight", onednn.qlinear_prepack(weight.codes.contiguous(), list(x.shape)))

    def forward(self, x: Tensor) -> Tensor:
        operands = (x, *self.source, self.weight, self.scale, self.zeros, self.bias)
        return onednn.qlinear_pointwise(*operands, 1.0, 0, torch.float32, "none", [], "")


class Wide(nn.Module):
    """A step in float32 between the same codes: of a layer that is kept out of 8 bits, or of a norm."""

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        self.step, self.grids = step, [grid for _, grid in sources]

    def forward(self, *sources: Tensor) -> Tensor:
        values = {}
        for name, x, grid in zip(self.step.reads, sources, self.grids, strict=True):
            values[name] = x if grid is None else (x.to(torch.float32) - grid.zero).mul_(grid.scale)
        value = self.step.value(values)
        grid = self.step.output
        return value if grid is None else _codes(value.mul_(1 / grid.scale), grid)


class QuantizedNetwork(nn.Module):
    """Steps in 8 bits, each a module: pictures [N, C, H, W] in float32, channels-last -> logits [N, classes]."""

    def __init__(self, steps: Sequence[Step], example: Tensor) -> None:
        super().__init__()
        self.names = [step.name for step in steps]
        self.modules_of = [step.modules for step in steps]
        self.reads = [step.reads for step in steps]
        last = {name: number for number, reads in enumerate(self.reads) for name in reads}
        self.dead = [tuple(name for name in last if last[name] == number) for number in range(len(steps))]
        self.steps = nn.ModuleList()
        grids: dict[str, Grid | None] = {step.name: step.output for step in steps}
        values = {steps[0].reads[0]: example}
        for step in steps:
            sources = [(values[name], grids.get(name)) for name in step.reads]
            module = _module(step)(step, sources)
            values[step.name] = module(*(x.clone() for x, _ in sources))
            self.steps.append(module)

    def forward(self, x: Tensor) -> Tensor:
        return self._run(x, None)

    def taps(self, x: Tensor) -> Taps:
        """Return the result of each step, copied before another step overwrites it, and the logits."""
        activations: dict[str, Tensor] = {}
        logits = self._run(x, activations)
        return Taps(activations, logits)

    def computes(self, part: str) -> tuple[str, ...]:
        """Return the names of the model's modules that the module `part` of this network computes."""
        return self.modules_of[int(part.split(".")[1])] if part.startswith("steps.") else (part,)

    def _run(self, x: Tensor, copies: dict[str, Tensor] | None) -> Tensor:
        values = {self.reads[0][0]: x}
        for name, reads, dead, module in zip(self.names, self.reads, self.dead, self.steps, strict=True):
            x = module(*[values[source] for source in reads])
            for source in dead:
                del values[source]
            values[name] = x
            if copies is not None:
                copies[name] = x.clone()
        return x


def _module(step: Step) -> Callable[[Step, Sources], nn.Module]:
    """Return the class whose modules compute a step."""
    if step.pool == "mean":
        return Mean
    if step.pool:
        return Pool
    weight = step.terms[0].weight
    if weight is not None and not weight.wide:
        return Conv if weight.codes.dim() == 4 else Product
    return Wide if step.modules else Rounding


def _output(step: Step) -> Grid:
    assert step.output is not None
    return step.output


def _codes(places: Tensor, grid: Grid) -> Tensor:
    """Return the codes of a grid for float32 values in units of its scale, which are overwritten."""
    return places.add_(grid.zero).round_().clamp_(0, 255).to(torch.uint8)


def _geometry(term: Term) -> tuple[list[int], list[int], list[int], int]:
    """Return the stride, padding, dilation and groups of a convolution."""
    return [term.stride] * 2, [term.padding] * 2, [1, 1], term.groups


def _selection(term: Term, grid: Grid) -> Callable[[Tensor], Tensor] | None:
    """Return what makes a residual of codes without weights: every n-th pixel and new channels of zeros, or None."""
    if term.stride == 1 and not term.channels:
        return None

    def select(x: Tensor) -> Tensor:
        x = x[:, :, :: term.stride, :: term.stride]
        new = max(term.channels - x.shape[1], 0)
        padded = nn.functional.pad(x, (0, 0, 0, 0, 0, new), value=grid.zero)
        return padded.contiguous(memory_format=torch.channels_last)

    return select
