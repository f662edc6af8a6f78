"""Batch norm folded, and each convolution one call of the vendor's library with bias, residual and ReLU fused.

This is the fair competitor of hand-written kernels: neither PyTorch's eager mode nor Inductor calls cuDNN's fused
convolutions, though every PyTorch has them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn

from resnet.calibration import Calibration
from resnet.fold import fold
from resnet.library.ops import CudnnConv, OneDnnConv, OneDnnLinear, choose_each
from resnet.library.quantized import QuantizedNetwork
from resnet.model import Block as ModelBlock
from resnet.model import ResNet
from resnet.quant.network import facts, float_steps, quantize
from resnet.quant.processor import cpu_scheme, overflow
from resnet.quant.ranges import calibrate, digest
from resnet.quant.steps import Declared, QuantizedRunner, Step
from resnet.runner import DTYPES, FORMATS, Runner, TorchRunner, fastest_runner, weights_bytes, with_launch

Convert = Callable[[nn.Conv2d], nn.Module]


class LibraryNetwork(nn.Module):
    """A folded ResNet with its convolutions converted: [N, C, H, W] -> logits [N, classes].

    Norms that no convolution precedes (v2's) stay in float32, which batch norm takes beside 16-bit activations.
    """

    def __init__(self, folded: ResNet, convert: Convert, classifier: nn.Module) -> None:
        super().__init__()
        self.preact, self.arch = folded.preact, folded.spec.arch
        self.stem = convert(folded.conv1)
        self.pool = nn.Sequential(folded.pool_pad, folded.maxpool) if self.preact else folded.maxpool
        stages = (folded.layer1, folded.layer2, folded.layer3, folded.layer4)
        self.blocks = nn.Sequential(*(Block(cast(ModelBlock, block), convert) for stage in stages for block in stage))
        self.last = nn.Sequential(folded.post_bn, folded.post_relu) if self.preact else nn.Identity()
        self.avgpool = folded.avgpool
        self.fc = classifier

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x, relu=not self.preact))
        x = self.last(self.blocks(x))
        return cast(Tensor, self.fc(torch.flatten(self.avgpool(x), 1)))

    def computes(self, part: str) -> tuple[str, ...]:
        """Return the names of the model's modules that the module `part` of this network computes."""
        outside_blocks = {"stem": ("conv1",), "pool": ("maxpool",), "last": ("post_bn",)}
        if part.split(".")[0] in outside_blocks:
            return outside_blocks[part.split(".")[0]]
        match = re.match(r"blocks\.(\d+)\.(inner\.(\d+)|last|shortcut|activate)", part)
        if match is None:
            return (part,)
        blocks = [f"layer{stage}.{index}" for stage, count in enumerate(self.arch.counts, 1) for index in range(count)]
        block = blocks[int(match[1])]
        if match[3] is not None:
            return (f"{block}.conv{int(match[3]) + 1}",)
        last = "conv2" if self.arch.block == "basic" else "conv3"
        modules = {"last": (last, "add"), "shortcut": ("downsample.0",), "activate": ("preact_bn",)}
        return tuple(f"{block}.{name}" for name in modules[match[2]])


class Block(nn.Module):
    """Any of the four residual blocks: its last convolution adds the shortcut and, except in v2, applies the ReLU.

    [N, C, H, W] -> [N, K, H', W']. The input may be overwritten, through an identity shortcut.
    """

    def __init__(self, block: ModelBlock, convert: Convert) -> None:
        super().__init__()
        *inner, last = (convert(conv) for _, conv in block.convs())
        self.inner, self.last = nn.ModuleList(inner), last
        norm_relu = [block.get_submodule(name) for name in ("preact_bn", "preact_relu") if hasattr(block, name)]
        self.activate = nn.Sequential(*norm_relu)  # empty, and so the identity, except in v2
        self.relu = not norm_relu
        self.shortcut = _shortcut(block.downsample, convert)
        self.projects = bool(norm_relu) and block.projects

    def forward(self, x: Tensor) -> Tensor:
        activated = self.activate(x)
        out = activated
        for conv in self.inner:
            out = conv(out, relu=True)
        residual = None if self.shortcut is None else self.shortcut(activated if self.projects else x)
        return cast(Tensor, self.last(out, residual, self.relu))


def prepare(model: ResNet, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the fused network, channels-last.

    For fp32 on CUDA, whose kernels outside the tensor cores exist for both memory formats, the faster format is used.
    """
    folded = cast(ResNet, fold(model))
    if example.device.type == "cpu":
        return _onednn(folded, example, DTYPES[precision])
    names = tuple(FORMATS) if precision == "fp32" else ("channels_last",)
    runners = {name: _cudnn(folded, example, DTYPES[precision], name) for name in names}
    name, _ = fastest_runner(runners, example) if len(runners) > 1 else (names[0], {})
    return with_launch(runners[name], launch)


def prepare_quantized(
    model: ResNet, example: Tensor, precision: str, launch: str, calibration: Calibration
) -> QuantizedRunner:
    """Prepare the network in int8, by oneDNN's convolutions of codes.

    Inside the call the pictures are rounded, and layers that are kept wide are computed in float32: a result in bf16
    would be rounded twice on its way to a code. `details` says why the weights have 7 bits, where this CPU needs that.
    """
    scheme = cpu_scheme(mean=True)
    steps = float_steps(cast(ResNet, fold(model)), merged=True)
    ranges = calibrate(steps, calibration, scheme)
    quantized_steps = quantize(steps, ranges, scheme, calibration.keep_wide)
    runner = LibraryQuantized(quantized_steps, example)
    quantized = facts(quantized_steps, calibration, digest(ranges)) | {"float_operations": []}
    runner.details |= {"reduced_range": overflow(), "quantized": quantized}
    return runner


class LibraryQuantized(TorchRunner):
    """The network in 8 bits as a Runner: the modules that are timed are those that are tapped."""

    checked: Literal["taps", "units"] = "taps"

    def __init__(self, steps: tuple[Step, ...], example: Tensor) -> None:
        with torch.inference_mode():
            net = QuantizedNetwork(steps, example.to(memory_format=torch.channels_last))
        details = {"weights_bytes": weights_bytes(net), "library": "oneDNN"}
        super().__init__(net, example, torch.float32, "channels_last", details)
        self.taps, self._declared = net.taps, Declared(steps)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The declared steps."""
        return self._declared()


def _onednn(folded: ResNet, example: Tensor, dtype: torch.dtype) -> TorchRunner:
    shapes = _input_shapes(folded, example)
    classifier = folded.fc if dtype == torch.float32 else OneDnnLinear(folded.fc, dtype, example.shape[0])
    net = LibraryNetwork(folded, lambda conv: OneDnnConv(conv, dtype, shapes[conv]), classifier)
    details = {"weights_bytes": weights_bytes(net), "library": "oneDNN"}
    return TorchRunner(net, example, dtype, "channels_last", details)


def _cudnn(folded: ResNet, example: Tensor, dtype: torch.dtype, memory_format: str) -> TorchRunner:
    folded = copy.deepcopy(folded)
    convert = partial(CudnnConv, dtype=dtype, memory_format=FORMATS[memory_format])
    net = LibraryNetwork(folded, convert, folded.fc.to(dtype)).to(example.device)
    details = {"library": f"cuDNN {torch.backends.cudnn.version()}", "weights_bytes": weights_bytes(net)}
    runner = TorchRunner(net, example, dtype, memory_format, details)
    with torch.inference_mode():
        runner.details["epilogues"] = choose_each(net, runner.place(example))
    return runner


def _shortcut(module: nn.Module | None, convert: Convert) -> nn.Module | None:
    """Convert a projection; return an identity, a subsampling or None unchanged."""
    projections = [part for part in module.modules() if isinstance(part, nn.Conv2d)] if module is not None else []
    return convert(projections[0]) if projections else module


def _input_shapes(net: nn.Module, example: Tensor) -> dict[nn.Conv2d, torch.Size]:
    """Return the input shape of each convolution of `net`, from a pass of one picture.

    A whole batch unfused would need more memory than the variant; the meta device would import torch._dynamo, which
    takes longer than the pass.
    """
    shapes: dict[nn.Conv2d, torch.Size] = {}

    def record_shape(conv: nn.Conv2d, args: tuple[Tensor, ...]) -> None:
        shapes[conv] = torch.Size([len(example), *args[0].shape[1:]])

    hooks = [m.register_forward_pre_hook(record_shape) for m in net.modules() if isinstance(m, nn.Conv2d)]
    with torch.inference_mode():
        net(example[:1])
    for hook in hooks:
        hook.remove()
    return shapes
