"""oneDNN's calls in 8 bits on a CPU: a module for each step of `resnet.quant`, and the network of them.

Codes of pictures are uint8 in channels-last memory, weights int8 and packed once. The sum with the residual, the ReLU
and the rounding to the next codes are inside oneDNN's convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from resnet.library.ops import OneDnnConv, as_conv
from resnet.quant.network import INPUT
from resnet.quant.steps import Grid, Step, Taps, Term, Weight

onednn = torch.ops.onednn

NO_ZERO_POINTS = torch.zeros(1, dtype=torch.int64)  # of weights; oneDNN reads none

Sources = Sequence[tuple[Tensor, Grid | None]]  # what a step reads, with the grid of codes


class Rounding(nn.Module):
    """Pictures in float32 [N, C, H, W], rounded to codes."""

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        self.grid = _output(step)

    def forward(self, x: Tensor) -> Tensor:
        return _codes(x * (1 / self.grid.scale), self.grid)


class Weighted(nn.Module):
    """Operands of a convolution or product of codes, and of the codes that are added to it before the ReLU.

    Where there is no border, the zero point of what it reads is a part of the bias: with one, oneDNN packs some weights
    anew at each call.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        (x, grid), term = sources[0], step.terms[0]
        assert term.weight is not None
        assert grid is not None
        codes, bias, zero = term.weight.codes, step.bias, grid.zero
        if zero and not term.padding:
            constant = codes.double().flatten(1).sum(1) * term.weight.scale * (-zero * grid.scale)
            bias, zero = constant if bias is None else bias + constant, 0
        self.source = grid.scale, zero
        self.register_buffer("scale", term.weight.scale.float())
        self.register_buffer("bias", None if bias is None else bias.float())
        self.register_buffer("weight", self.packed(codes.contiguous(), term, x.shape))
        output = step.output
        self.output = (1.0, 0, torch.float32) if output is None else (output.scale, output.zero, torch.uint8)
        self.act = "relu" if step.relu else "none"
        self.added, self.select = (1.0, 0), _selection(step, sources)
        if len(step.terms) > 1 and (grid := sources[1][1]) is not None:
            self.added = grid.scale, grid.zero

    def packed(self, codes: Tensor, term: Term, shape: torch.Size) -> Tensor:
        raise NotImplementedError


class Conv(Weighted):
    """A convolution, with the codes of a residual added: it is overwritten, and the result.

    The operation returns a copy of the residual that it overwrote, which is of no use here.
    """

    def packed(self, codes: Tensor, term: Term, shape: torch.Size) -> Tensor:
        self.geometry = [term.stride] * 2, [term.padding] * 2, [1, 1], term.groups
        return onednn.qconv_prepack(codes, self.scale, *self.source, *self.geometry, list(shape))

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        operands = (x, *self.source, self.weight, self.scale, NO_ZERO_POINTS)
        rest: tuple[object, ...] = (self.bias, *self.geometry, *self.output)
        if residual is None:
            return onednn.qconv2d_pointwise(*operands, *rest, self.act, [], "")
        result = self.select(residual)
        onednn.qconv2d_pointwise.binary(*operands, result, *rest, *self.added, "sum", 1.0, self.act, [], "")
        return result


class Product(Weighted):
    """A product over the channels: the classifier, or a 1x1 convolution, faster here, with a residual as in `Conv`."""

    def packed(self, codes: Tensor, term: Term, shape: torch.Size) -> Tensor:
        return onednn.qlinear_prepack(codes.flatten(1), [shape.numel() // shape[1], shape[1]])

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        operands = (_rows(x), *self.source, self.weight, self.scale, NO_ZERO_POINTS)
        if residual is not None:
            result = self.select(residual)
            rest: tuple[object, ...] = (_rows(result), self.bias, *self.output, *self.added)
            onednn.qlinear_pointwise.binary(*operands, *rest, "sum", 1.0, self.act, [], "")
            return result
        y = onednn.qlinear_pointwise(*operands, self.bias, *self.output, self.act, [], "")
        return y if x.dim() == 2 else y.view(x.shape[0], *x.shape[2:], -1).permute(0, 3, 1, 2)


class Pool(nn.Module):
    """The largest code of 3x3; by torch's operation of quantised tensors, as max_pool2d has no uint8."""

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        self.zero, self.padding = _output(step).zero, 1 if step.pool == "max" else 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.padding:
            x = nn.functional.pad(x, (1, 1, 1, 1), value=self.zero)
        return torch.ops.quantized.max_pool2d(x, [3, 3], [2, 2], [self.padding] * 2, [1, 1], False)


class Mean(Conv):
    """The mean over the pixels, [N, C], as one window of ones: in float32, or rounded to the codes of its grid."""

    def __init__(self, step: Step, sources: Sources) -> None:
        _, channels, *pixels = sources[0][0].shape
        ones = torch.ones(channels, 1, *pixels, dtype=torch.int8)
        weight = Weight("", ones, torch.full((channels,), 1 / ones[0].numel(), dtype=torch.float64))
        super().__init__(replace(step, terms=(Term(step.reads[0], weight, groups=channels),)), sources)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return super().forward(x).flatten(1)


class WideConv(nn.Module):
    """A convolution that is kept out of 8 bits, in float32 between the same codes; or of the pictures as they are."""

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        (x, _), term = sources[0], step.terms[0]
        assert term.weight is not None
        self.grids, self.output, self.relu = [grid for _, grid in sources], _output(step), step.relu
        conv = as_conv(term.weight.codes, step.bias, term.stride, term.padding, term.groups)
        self.conv = OneDnnConv(conv, torch.float32, x.shape)
        self.select = _selection(step, sources)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if residual is not None:
            residual = _values(self.select(residual), self.grids[1])
        y = self.conv(_values(x, self.grids[0]), residual, self.relu)
        return _codes(y.mul_(1 / self.output.scale), self.output)


class WideProduct(nn.Module):
    """The classifier in float32: [N, C] -> [N, K]."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, step: Step, sources: Sources) -> None:
        super().__init__()
        weight = step.terms[0].weight
        assert weight is not None
        self.register_buffer("weight", weight.values().float())
        self.register_buffer("bias", None if step.bias is None else step.bias.float())

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


class QuantizedNetwork(nn.Module):
    """Steps in 8 bits, each a module: pictures [N, C, H, W] in float32, channels-last -> logits [N, classes]."""

    def __init__(self, steps: Sequence[Step], example: Tensor) -> None:
        super().__init__()
        self.modules_of: dict[str, tuple[str, ...]] = {}
        self.order: list[tuple[str, nn.Module, tuple[str, ...], list[str]]] = []
        last = {name: number for number, step in enumerate(steps) for name in step.reads}
        grids: dict[str, Grid | None] = {step.name: step.output for step in steps}
        values = {INPUT: example}
        for number, step in enumerate(steps):
            sources = [(values[name], grids.get(name)) for name in step.reads]
            module = _module(step)(step, sources)
            values[step.name] = module(*(x for x, _ in sources))
            part = step.name.replace(".", " ")  # no name of a module has a point
            self.add_module(part, module)
            computed = () if step.name == f"{INPUT}.codes" else (*(w.module for w in step.weights), step.name)
            self.modules_of[part] = tuple(dict.fromkeys(computed))
            dead = [name for name in last if last[name] == number]
            assert len(step.reads) == 1 or step.reads[1] in dead, "a residual that is read again is overwritten"
            self.order.append((step.name, module, step.reads, dead))
            del sources
            for name in dead:  # so that a batch that can be run can be prepared
                del values[name]

    def forward(self, x: Tensor) -> Tensor:
        return self._run(x, None)

    def taps(self, x: Tensor) -> Taps:
        """Return the result of each step, copied before another step overwrites it, and the logits."""
        activations: dict[str, Tensor] = {}
        logits = self._run(x, activations)
        return Taps(activations, logits)

    def computes(self, part: str) -> tuple[str, ...]:
        """Return the names of the model's modules that the module `part` of this network computes."""
        return self.modules_of.get(part.split(".")[0], (part,))

    def _run(self, x: Tensor, copies: dict[str, Tensor] | None) -> Tensor:
        values = {INPUT: x}
        for name, module, reads, dead in self.order:
            x = module(*[values[source] for source in reads])
            for source in dead:
                del values[source]
            values[name] = x
            if copies is not None:
                copies[name] = x.clone()
        return x


def _module(step: Step) -> Callable[[Step, Sources], nn.Module]:
    """Return the class whose modules compute a step, or what makes a module of it."""
    if step.pool:
        return Mean if step.pool == "mean" else Pool
    weight = step.terms[0].weight
    if weight is None:
        return Rounding if step.terms[0].scale is None else _norm
    if weight.wide:
        return WideProduct if weight.codes.dim() == 2 else WideConv
    plain = weight.codes[0].numel() == weight.codes.shape[1] and step.terms[0].stride == 1
    return Product if plain else Conv


def _norm(step: Step, sources: Sources) -> Conv:
    """Return a norm and its ReLU as a convolution of each channel alone, with weights of 1 or -1 and their scales."""
    term = step.terms[0]
    assert term.scale is not None
    signs = torch.where(term.scale < 0, -1, 1).to(torch.int8)[:, None, None, None]
    weight = Weight("", signs, term.scale.abs())
    alone = Term(term.source, weight, groups=len(signs))
    return Conv(replace(step, terms=(alone,), bias=term.shift, relu=term.relu), sources)


def _output(step: Step) -> Grid:
    assert step.output is not None
    return step.output


def _codes(places: Tensor, grid: Grid) -> Tensor:
    """Return the codes of a grid for float32 values in units of its scale, which are overwritten.

    They become int8 first, and then their highest bit is changed: torch converts to uint8 without vector instructions.
    """
    signed = places.add_(grid.zero - 128).round_().clamp_(-128, 127).to(torch.int8)
    return signed.view(torch.uint8).bitwise_xor_(128)


def _values(codes: Tensor, grid: Grid | None) -> Tensor:
    """Return the float32 values of codes; numbers that are none as they are."""
    return codes if grid is None else codes.to(torch.float32).sub_(grid.zero).mul_(grid.scale)


def _rows(x: Tensor) -> Tensor:
    """Return channels-last pictures as a matrix of pixels and channels, of the same memory."""
    return x if x.dim() == 2 else x.permute(0, 2, 3, 1).view(-1, x.shape[1])


def _selection(step: Step, sources: Sources) -> Callable[[Tensor], Tensor]:
    """Return what makes the residual of the codes that are added: every n-th pixel, and new channels of zeros."""
    if len(step.terms) < 2 or (step.terms[1].stride == 1 and not step.terms[1].channels):
        return lambda x: x
    term, grid = step.terms[1], sources[1][1]

    def select(x: Tensor) -> Tensor:
        new = (0, 0, 0, 0, 0, max(term.channels - x.shape[1], 0))
        padded = nn.functional.pad(x[:, :, :: term.stride, :: term.stride], new, value=grid.zero if grid else 0)
        return padded.contiguous(memory_format=torch.channels_last)

    return select
