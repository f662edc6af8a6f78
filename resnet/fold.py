"""Batch norm folded into the convolution before it: the same function with fewer passes over memory.

In eval mode a batch norm is y = (x - mean) * gamma / sqrt(variance + eps) + beta, channel by channel. Where x is a
convolution's output, that scale goes into its weight and the shift into its bias.
"""

import copy
from collections import Counter
from typing import Any

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Pixels a side of the picture on which a convolution or norm of another class than torch's is tried, and the difference
# in float64 that is rounding.
TRIED_PIXELS, ROUNDING = 24, 1e-9


class _Tracer(fx.Tracer):
    """Traces convolutions and norms as whole layers, their subclasses too, which a tracer else looks into."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def fold(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in which each batch norm that directly follows a convolution is folded into it.

    The norm becomes an `nn.Identity`; the convolution gets a bias where it had none. Scale and shift are computed in
    float64 and rounded once, to the weight's dtype. `model` is left as it was and may have any dtype and device.

    A norm folds only where it alone reads the convolution's output, and each runs once. In v1 and v1.5 that is every
    norm. In v2 the norms between the convolutions of a block fold; `preact_bn` and `post_bn` stay, because they read
    the sum of a branch and a shortcut (or the pooled stem), which the next shortcut reads too. The plain network
    (`-none`) has no sums, so there only the first `preact_bn`, behind the pooling, stays.

    A norm of a subclass may do more, as timm's has an activation: its children stay in its place, if the pair is then
    the same on a random picture, and else the norm stays. So does one behind a convolution that is more than torch's.

    Raises `ValueError` in training mode, where a norm depends on the batch, and what torch.fx raises where it cannot
    trace a model that has norms.
    """
    if any(module.training for module in model.modules()):
        raise ValueError("only a model in eval mode can be folded: call model.eval() first")
    folded = copy.deepcopy(model)
    for conv_name, norm_name in _pairs(folded) if count_norms(folded) else ():
        conv, norm = folded.get_submodule(conv_name), folded.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            pair: tuple[nn.Module, nn.Module] | None = _fuse(conv, norm), nn.Identity().eval()
        else:
            pair = _fuse_others(conv, norm)
        if pair is not None:
            folded.set_submodule(conv_name, pair[0])
            folded.set_submodule(norm_name, pair[1])
    return folded


def count_norms(model: nn.Module) -> int:
    """Return the number of batch norms of pictures."""
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def _fuse(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    dtype = conv.weight.dtype
    fused: nn.Conv2d = fuse_conv_bn_eval(copy.deepcopy(conv).double(), copy.deepcopy(norm).double())
    return fused.to(dtype)


def _fuse_others(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[nn.Module, nn.Module] | None:
    """Return the fused convolution and what stays of the norm, or None where they would not compute the same."""
    rest = nn.Sequential(*copy.deepcopy(list(norm.children()))).eval()
    shape, generator = (1, conv.in_channels, TRIED_PIXELS, TRIED_PIXELS), torch.Generator().manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, generator=generator)
    try:
        exact = copy.deepcopy(norm).cpu().double()(copy.deepcopy(conv).cpu().double()(x))
        fused = _fuse(copy.deepcopy(conv).cpu().double(), copy.deepcopy(norm).cpu().double())
        answer = copy.deepcopy(rest).cpu().double()(fused(x))
    except Exception:  # whatever a class of others raises outside its network
        return None
    if answer.shape != exact.shape or not float((answer - exact).abs().max()) <= ROUNDING * float(exact.abs().max()):
        return None
    return _fuse(conv, norm), rest


def _pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Return the names of (convolution, norm) pairs where nothing but the norm reads the convolution's output."""
    modules = dict(model.named_modules(remove_duplicate=False))
    graph = _Tracer().trace(model)
    runs = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")
    names = Counter(map(id, modules.values()))
    pairs = []

    def once(node: Any) -> bool:
        module = modules[str(node.target)]
        return runs[id(module)] == 1 and names[id(module)] == 1

    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d) or not node.args:
            continue
        source, norm = node.args[0], modules[node.target]
        if not isinstance(source, fx.Node) or source.op != "call_module" or norm.running_var is None:
            continue
        conv = modules[source.target]
        if isinstance(conv, nn.Conv2d) and len(source.users) == 1 and once(source) and once(node):
            pairs.append((str(source.target), str(node.target)))
    return pairs
