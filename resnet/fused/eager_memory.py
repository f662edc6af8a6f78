"""The memory that plain torch uses: the model's operations as uses of `resnet.fused.buffers`."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

from torch import fx, nn
from torch.nn.modules.utils import _pair

from kernels.space.layer import out_size
from resnet.fused.buffers import Use
from resnet.model import ResNet


def eager_uses(model: ResNet, shape: tuple[int, ...], itemsize: int) -> list[Use]:
    """Return the operations of a forward pass over [N, C, H, W], in order, each with a new output or in place.

    Their peak underestimates torch's: here memory is free after its last reader, whereas Python keeps the arguments of
    calls that have not returned, and libraries' workspaces are not counted.
    """
    modules = dict(model.named_modules())
    shapes: dict[str, tuple[int, ...]] = {}
    source_of: dict[str, str] = {}  # a view, or a module that returns its input -> the node whose memory it shares
    uses = []
    for node in fx.symbolic_trace(model).graph.nodes:
        if node.op in ("placeholder", "output"):
            shapes[node.name] = tuple(shape)
            continue
        inputs = [arg.name for arg in node.args if isinstance(arg, fx.Node)]
        module = modules[node.target] if node.op == "call_module" else None
        shapes[node.name] = _output_shape(shapes[inputs[0]], module)
        # flatten is a view: the activations are contiguous there
        if isinstance(module, nn.Identity) or (module is None and node.target is not operator.iadd):
            source_of[node.name] = source_of.get(inputs[0], inputs[0])
            continue
        reads = tuple(source_of.get(name, name) for name in inputs)
        overwrites = reads[0] if node.target is operator.iadd or getattr(module, "inplace", False) else None
        uses.append(Use(node.name, prod(shapes[node.name]) * itemsize, reads, overwrites))
    return uses


def _output_shape(shape: tuple[int, ...], module: Any) -> tuple[int, ...]:
    """Return a module's output shape; sums and all modules not listed keep the shape."""
    match module:
        case nn.Conv2d() | nn.MaxPool2d():  # a pool's sizes are single numbers
            window: Any = (_pair(size) for size in (module.kernel_size, module.stride, module.padding))
            return (shape[0], getattr(module, "out_channels", shape[1]), *map(out_size, shape[2:], *window))
        case nn.ZeroPad2d() | nn.ZeroPad3d():
            axes = len(module.padding) // 2
            pads = [module.padding[2 * i] + module.padding[2 * i + 1] for i in range(axes)][::-1]
            return (*shape[:-axes], *(side + pad for side, pad in zip(shape[-axes:], pads, strict=True)))
        case nn.AdaptiveAvgPool2d():
            return (*shape[:2], 1, 1)
        case nn.Linear():
            return (shape[0], module.out_features)
    return shape
