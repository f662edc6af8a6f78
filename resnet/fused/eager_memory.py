"""What plain torch does to memory: the model's own operations, in the terms that `resnet.fused.buffers` plans in."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

from torch import fx, nn

from resnet.fused.buffers import Use
from resnet.model import ResNet


def eager_uses(model: ResNet, shape: tuple[int, ...], itemsize: int) -> list[Use]:
    """The operations of a forward pass over [N, C, H, W], in order, each with an output of its own or in place.

    What lives no longer than its last reader is less than torch holds: Python keeps the arguments of calls that have
    not returned. Libraries' workspaces are not counted. So a peak of these uses flatters torch.
    """
    modules = dict(model.named_modules())
    shapes: dict[str, tuple[int, ...]] = {}
    home: dict[str, str] = {}  # a view or a module that passes its input on -> whose memory that is
    found = []
    for node in fx.symbolic_trace(model).graph.nodes:
        if node.op in ("placeholder", "output"):
            shapes[node.name] = tuple(shape)
            continue
        inputs = [arg.name for arg in node.args if isinstance(arg, fx.Node)]
        module = modules[node.target] if node.op == "call_module" else None
        shapes[node.name] = _shape(shapes[inputs[0]], module)
        # flatten is a view: the activations are contiguous there
        if isinstance(module, nn.Identity) or (module is None and node.target is not operator.iadd):
            home[node.name] = home.get(inputs[0], inputs[0])
            continue
        reads = tuple(home.get(name, name) for name in inputs)
        over = reads[0] if node.target is operator.iadd or getattr(module, "inplace", False) else None
        found.append(Use(node.name, prod(shapes[node.name]) * itemsize, reads, over))
    return found


def _shape(given: tuple[int, ...], module: Any) -> tuple[int, ...]:
    """What a module makes of a shape; all but these keep it, and so do sums."""
    match module:
        case nn.Conv2d():
            windows = zip(given[2:], module.kernel_size, module.stride, module.padding, strict=True)
            return (given[0], module.out_channels, *(_out(*window) for window in windows))
        case nn.MaxPool2d():
            return (*given[:2], *(_out(side, module.kernel_size, module.stride, module.padding) for side in given[2:]))
        case nn.ZeroPad2d() | nn.ZeroPad3d():
            axes = len(module.padding) // 2
            pads = [module.padding[2 * i] + module.padding[2 * i + 1] for i in range(axes)][::-1]
            return (*given[:-axes], *(side + pad for side, pad in zip(given[-axes:], pads, strict=True)))
        case nn.AdaptiveAvgPool2d():
            return (*given[:2], 1, 1)
        case nn.Linear():
            return (given[0], module.out_features)
    return given


def _out(size: int, kernel: Any, stride: Any, padding: Any) -> int:
    return (size + 2 * padding - kernel) // stride + 1
