"""A program's steps by this project's kernels: modules with packed weights, on activations by name.

`forward` calls the op, `operands` returns its kernel's operands.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from kernels.call import compute_layer
from kernels.conv_op import conv_bias_act
from kernels.head_op import pool_linear
from kernels.launch import Operands
from kernels.packing import TORCH_TYPES, Packed, pack, pack_codes, pack_linear
from kernels.space.layer import Layer
from kernels.stem import widen
from kernels.stem_op import conv_bias_relu_pool
from resnet.fused.program import Affine, Conv, Head, Step
from resnet.fused.quantized import CodedStep

Values = Mapping[str, Tensor]  # activations by name


class KernelConv(nn.Module):
    """A `Conv` by `kernels.conv_op`: it returns [N, K, H', W'], written to `out` if given."""

    def __init__(self, step: Conv, precision: str) -> None:
        super().__init__()
        self.source, self.residual = step.source, step.residual
        self.second = None if step.shortcut is None else (step.shortcut.source, step.shortcut.stride)
        self.stride, self.padding, self.relu = step.stride, step.padding, step.relu
        second = None if step.shortcut is None else (step.shortcut.weight, step.shortcut.bias)
        self.packed = _pack_step(step, precision, second)
        self.prologue = _AffineBuffers(step.prologue)

    def forward(self, values: Values, out: Tensor | None = None) -> Tensor:
        o, geometry = self.operands(values), (self.stride, self.padding)
        second = None if o.x2 is None or self.second is None else (o.x2, self.second[1])
        return conv_bias_act(o.x, self.packed, *geometry, o.residual, self.relu, second, self.prologue(), out)

    def operands(self, values: Values) -> Operands:
        residual = None if self.residual is None else values[self.residual]
        x2 = None if self.second is None else values[self.second[0]]
        scale, shift = self.prologue() or (None, None)
        return Operands(values[self.source], self.packed.weight, self.packed.bias, residual, x2, scale, shift)


class KernelStem(nn.Module):
    """A `Conv` with its pool by `kernels.stem`: it returns the pooled [N, K, H', W']."""

    def __init__(self, step: Conv, precision: str) -> None:
        super().__init__()
        self.source, self.relu = step.source, step.relu
        self.packed = widen(_pack_step(step, precision), step.stride, step.padding)

    def forward(self, values: Values, out: Tensor | None = None) -> Tensor:
        return conv_bias_relu_pool(values[self.source], self.packed, relu=self.relu, out=out)

    def operands(self, values: Values) -> Operands:
        return Operands(values[self.source], self.packed.weight, self.packed.bias)


class KernelHead(nn.Module):
    """A `Head` by `kernels.head`: it returns logits [N, classes]."""

    def __init__(self, step: Head, precision: str) -> None:
        super().__init__()
        self.source = step.source
        self.packed = pack_linear(step.weight, step.bias, TORCH_TYPES[precision], tf32=precision == "tf32")
        self.prologue = _AffineBuffers(step.prologue)

    def forward(self, values: Values, out: Tensor | None = None) -> Tensor:
        return pool_linear(values[self.source], self.packed, self.prologue(), out)

    def operands(self, values: Values) -> Operands:
        scale, shift = self.prologue() or (None, None)
        return Operands(values[self.source], self.packed.weight, self.packed.bias, scale=scale, shift=shift)


class KernelCodes(nn.Module):
    """Any step in 8 bits (`resnet.fused.quantized`): it writes `out`."""

    weight: Tensor
    bias: Tensor
    factors: Tensor

    def __init__(self, coded: CodedStep, layer: Layer) -> None:
        super().__init__()
        step, weight = coded.step, coded.weight[:, :, None, None] if layer.mean else coded.weight
        packed = pack_codes(weight, coded.weight2, coded.bias, layer.dtype)
        rows = widen(packed, layer.stride, layer.padding).weight if layer.pool else packed.weight
        for name, value in (("weight", rows), ("bias", packed.bias), ("factors", coded.factors)):
            self.register_buffer(name, value)
        self.layer, self.source = layer, step.source
        shortcut = step.shortcut if isinstance(step, Conv) else None
        self.residual = step.residual if isinstance(step, Conv) else None
        self.second = None if shortcut is None else shortcut.source

    def forward(self, values: Values, out: Tensor) -> Tensor:
        compute_layer(self.layer, self.operands(values), out, "")
        return out

    def operands(self, values: Values) -> Operands:
        residual = None if self.residual is None else values[self.residual]
        x2 = None if self.second is None else values[self.second]
        return Operands(values[self.source], self.weight, self.bias, residual, x2, factors=self.factors)


KernelStep = KernelStem | KernelConv | KernelHead | KernelCodes


def kernel_step(step: Step, precision: str) -> KernelStep:
    """Return a step by this project's kernels; `precision` is a word of a case."""
    if isinstance(step, Head):
        return KernelHead(step, precision)
    return KernelStem(step, precision) if step.pool else KernelConv(step, precision)


class _AffineBuffers(nn.Module):
    """A norm's scale and shift as buffers, or None."""

    scale: Tensor | None
    shift: Tensor | None

    def __init__(self, affine: Affine | None) -> None:
        super().__init__()
        for name, value in zip(("scale", "shift"), affine or (None, None), strict=True):
            self.register_buffer(name, value)

    def forward(self) -> Affine | None:
        return None if self.scale is None or self.shift is None else (self.scale, self.shift)


def _pack_step(step: Conv, precision: str, second: tuple[Tensor, Tensor | None] | None = None) -> Packed:
    return pack(step.weight, step.bias, TORCH_TYPES[precision], second=second, tf32=precision == "tf32")
