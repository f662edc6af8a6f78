"""A ResNet as a short list of fused steps: convolutions on named activations, with the operations fused into them.

`build_program(folded, shape)` converts a folded model (`resnet.fold`). What is fused, and why; bytes are an image's in
fp16 at 224 pixels, times an image's at 790 TFLOP/s and 4.3 TB/s, which others measured on an H200:

- **Bias, residual, ReLU** are in the epilogue of a block's last convolution.
- **A projection** is summed in the accumulator of the block's last convolution, 1x1 or 3x3, as its `shortcut`: its
  result is neither written nor read. In stage 1 of depth 50 that is 3.2 MB, 0.75 us.
- **Option A** (every stride-th pixel, new channels zero) is the same operand with a matrix of zeros and ones. It is
  exact, as products with 1 and sums with 0 are, in tf32 too, where all activations are already rounded. At depth 50 it
  costs 103 MFLOP in stage 1 and 206 in the others, 0.13 and 0.26 us. The alternative is a padded copy that the epilogue
  adds: 0.75, 0.37, 0.19 and 0.09 us by bytes in stages 1 to 4, and one more kernel each. The matrix costs 0.9 us
  against 1.4, and adds no kernel. v2's strided identity is computed likewise.
- **v2, norms between convolutions** are folded by `fold`; their ReLU is in the epilogue.
- **v2, the norm at a block's entry** follows a sum. Where the block's shortcut reads the raw sum as well, the norm is a
  prologue of the block's first convolution. Where only the norm reads it (the block projects, or has no shortcut), it
  is folded into the block before, if that one sums its shortcut in the accumulator: scale * (branch + shortcut) + shift
  scales both weights. Under B that is the strided block at the end of stages 1 to 3, whose matrix of ones becomes a
  diagonal one, under C every block. The last norm, if it remains, is a prologue of the classifier.
- **v2, the pooled stem before a projection** is read by two convolutions, and max pooling does not commute with a norm
  that may change signs. It is activated once, by a 1x1 with the unit matrix and the norm as prologue: 0.8 MB. As a
  prologue of a projection in a separate kernel it would be 3.2 MB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from kernels.space.layer import FLAT_BELOW, out_size
from resnet.model import Block, ResNet

INPUT = "input"

Affine = tuple[Tensor, Tensor]  # scale and shift of a norm, by channel, float32


@dataclass(frozen=True, eq=False)
class Shortcut:
    """The operand that a block's last convolution sums in its accumulator.

    It is a 1x1 over every stride-th pixel of `source`; `weight` is [K, C, 1, 1]. `learned`: it is the model's
    projection, not a selection of channels.
    """

    source: str
    stride: int
    weight: Tensor
    bias: Tensor | None
    learned: bool


@dataclass(frozen=True, eq=False)
class _Step:
    """The common part of all steps: `name` is the step's and its result's, `source` the activation that it reads."""

    name: str
    source: str
    weight: Tensor
    bias: Tensor | None

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False)
class Conv(_Step):
    """The step act(conv(act'(source)) + shortcut + residual) of `kernels.conv_bias_act`.

    `pool`: a 3x3 max pool of stride 2 follows, whose border is zeros; that is the network's stem.
    """

    stride: int
    padding: int
    relu: bool
    residual: str | None = None
    shortcut: Shortcut | None = None
    prologue: Affine | None = None
    pool: bool = False

    @property
    def reads(self) -> tuple[str, ...]:
        shortcut = self.shortcut.source if self.shortcut else None
        return tuple(name for name in (self.source, self.residual, shortcut) if name is not None)


@dataclass(frozen=True, eq=False)
class Head(_Step):
    """The step of the mean over the pixels of act'(source) and the classifier."""

    bias: Tensor
    prologue: Affine | None = None


Step = Conv | Head


@dataclass(frozen=True)
class Program:
    """Steps in order, and the shape of every activation by name: [N, C, H, W], of the logits [N, classes]."""

    steps: tuple[Step, ...]
    shapes: dict[str, tuple[int, ...]]


def build_program(folded: ResNet, shape: tuple[int, ...]) -> Program:
    """Return the program of a folded model for inputs [N, C, H, W]; it shares weights into which nothing is folded.

    For a model on the meta device only the shapes are meaningful. Raises ValueError for another shape.
    """
    if len(shape) != 4 or shape[1] != folded.conv1.in_channels or min(shape) < 1:
        raise ValueError(f"a batch of shape {list(shape)}, not [N, {folded.conv1.in_channels}, H, W]")
    if shape[1] >= FLAT_BELOW:
        # in fp32, and on cards with little shared memory, `kernels.space.stem` refuses some of fewer channels too
        raise ValueError(f"the stem's kernel takes fewer than {FLAT_BELOW} channels: library-fused runs {shape[1]}")
    builder = _Builder({INPUT: tuple(shape)})
    x = builder.stem(folded)
    stages = enumerate((folded.layer1, folded.layer2, folded.layer3, folded.layer4), 1)
    blocks = [(f"layer{i}.{j}", cast(Block, block)) for i, stage in stages for j, block in enumerate(stage)]
    for (name, block), (_, following) in zip(blocks, [*blocks[1:], ("", None)], strict=True):
        after, only_reader = None, True
        if folded.preact:
            after = cast(nn.Module, folded.post_bn if following is None else following.preact_bn)
            only_reader = following is None or following.downsample is None or bool(following.projects)
        x = builder.block(name, block, x, after, only_reader)
    builder.head(folded, x)
    return Program(tuple(builder.steps), builder.shapes)


@dataclass
class _Builder:
    """The steps so far; each method adds steps and returns the name of their result."""

    shapes: dict[str, tuple[int, ...]]
    steps: list[Step] = field(default_factory=list)
    activated: set[str] = field(default_factory=set)  # sums that the next norm and ReLU were folded into

    def stem(self, model: ResNet) -> str:
        conv, relu = model.conv1, not model.preact
        (stride, _), (padding, _) = conv.stride, cast("tuple[int, int]", conv.padding)
        n, _, h, w = self.shapes[INPUT]
        pooled = [out_size(out_size(size, conv.kernel_size[0], stride, padding), 3, 2, 1) for size in (h, w)]
        step = Conv("stem", INPUT, conv.weight, conv.bias, stride, padding, relu, pool=True)
        return self._add(step, (n, conv.out_channels, *pooled))

    def head(self, model: ResNet, x: str) -> None:
        norm = model.post_bn if model.preact else None
        prologue = _affine(norm) if isinstance(norm, nn.BatchNorm2d) and x not in self.activated else None
        step = Head("head", x, model.fc.weight, model.fc.bias, prologue)
        self._add(step, (self.shapes[x][0], model.fc.out_features))

    def block(self, name: str, block: Block, x: str, after: nn.Module | None, only_reader: bool) -> str:
        """Add a block; `after` is the norm that follows in v2, `only_reader` whether it alone reads the block's sum."""
        norm, prologue = getattr(block, "preact_bn", None), None
        if isinstance(norm, nn.BatchNorm2d) and x not in self.activated:
            if block.projects:
                x = self._activate(name, x, norm)
            else:
                prologue = _affine(norm)
        *inner, (last_name, last) = [(f"{name}.{part}", conv) for part, conv in block.convs()]
        y = x
        for inner_name, conv in inner:
            y, prologue = self._conv(inner_name, y, conv, prologue=prologue), None
        residual, shortcut = self._shortcut(block, x, last)
        if after is None or residual is not None or not only_reader:
            return self._conv(last_name, y, last, residual=residual, shortcut=shortcut, relu=after is None)
        self.activated.add(last_name)
        following = _affine(after) if isinstance(after, nn.BatchNorm2d) else None
        return self._conv(last_name, y, last, shortcut=shortcut, following=following)

    def _shortcut(self, block: Block, x: str, last: nn.Conv2d) -> tuple[str | None, Shortcut | None]:
        """Return the name of a residual to add, or a shortcut to sum in the accumulator, or neither."""
        module = block.downsample
        if module is None or isinstance(module, nn.Identity):
            return (None if module is None else x), None
        for conv in module.modules():
            if isinstance(conv, nn.Conv2d):
                return None, Shortcut(x, conv.stride[0], conv.weight, conv.bias, learned=True)
        strides = [cast(int, part.stride) for part in module.modules() if isinstance(part, nn.MaxPool2d)]
        selection = torch.eye(last.out_channels, self.shapes[x][1], device=last.weight.device)
        return None, Shortcut(x, strides[0] if strides else 1, selection[:, :, None, None], None, learned=False)

    def _activate(self, name: str, x: str, norm: nn.BatchNorm2d) -> str:
        """Add a norm and ReLU, as the prologue of a 1x1 with the unit matrix."""
        shape = self.shapes[x]
        unit = torch.eye(shape[1], device=norm.weight.device)[:, :, None, None]
        step = Conv(f"{name}.preact", x, unit, None, 1, 0, relu=True, prologue=_affine(norm))
        return self._add(step, shape)

    def _conv(
        self,
        name: str,
        x: str,
        conv: nn.Conv2d,
        *,
        residual: str | None = None,
        shortcut: Shortcut | None = None,
        prologue: Affine | None = None,
        following: Affine | None = None,
        relu: bool = True,
    ) -> str:
        """Add a convolution; `following` is a norm that is folded into it and its shortcut."""
        weight, bias = conv.weight, conv.bias
        if following is not None:
            scale, shift = following
            weight, bias = _scaled(weight, bias, scale, shift)
            if shortcut is not None:
                scaled, bias2 = _scaled(shortcut.weight, shortcut.bias, scale, None)
                shortcut = Shortcut(shortcut.source, shortcut.stride, scaled, bias2, shortcut.learned)
        stride, padding = conv.stride[0], cast("tuple[int, int]", conv.padding)[0]
        n, _, h, w = self.shapes[x]
        size = [out_size(side, conv.kernel_size[0], stride, padding) for side in (h, w)]
        step = Conv(name, x, weight, bias, stride, padding, relu, residual, shortcut, prologue)
        return self._add(step, (n, conv.out_channels, *size))

    def _add(self, step: Step, shape: tuple[int, ...]) -> str:
        self.steps.append(step)
        self.shapes[step.name] = shape
        return step.name


def _affine(norm: nn.BatchNorm2d) -> Affine:
    """Return a batch norm's scale and shift in eval mode, computed in float64."""
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    scale = norm.weight.detach().double() / torch.sqrt(variance + norm.eps)
    return scale.float(), (norm.bias.detach().double() - mean * scale).float()


def _scaled(weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the weight and bias of scale * (conv + bias) + shift, computed in float64."""
    factor = scale.double()
    new_bias = None if bias is None else bias.detach().double() * factor
    if shift is not None:
        new_bias = shift.double() if new_bias is None else new_bias + shift.double()
    new_weight = (weight.detach().double() * factor[:, None, None, None]).float()
    return new_weight, None if new_bias is None else new_bias.float()


def modules_of(step: Step) -> tuple[str, ...]:
    """Return the names of the model's modules that a step computes; a block's sum is called `add`."""
    if not isinstance(step, Conv):
        return ("avgpool", "fc")
    if step.pool:
        return ("conv1", "maxpool")
    block = step.name.rpartition(".")[0]
    if step.name.endswith(".preact"):
        return (f"{step.name}_bn",)
    added = (f"{block}.add",) if step.residual is not None or step.shortcut is not None else ()
    return (step.name, *added, *((f"{block}.downsample.0",) if step.shortcut is not None else ()))


class ProgramNetwork(nn.Module):
    """A network whose module `steps` has a module for each step of a program."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._modules_of = [modules_of(step) for step in program.steps]

    def computes(self, part: str) -> tuple[str, ...]:
        """Return the names of the model's modules that a part computes; `part` names a module of this network."""
        match = re.match(r"steps\.(\d+)", part)
        return self._modules_of[int(match[1])] if match else (part,)
