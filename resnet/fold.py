"""Batch norm folded into the convolution before it: the same function with fewer passes over memory.

In eval mode a batch norm is y = (x - mean) * gamma / sqrt(variance + eps) + beta, channel by channel. Where x is a
convolution's output, that scale goes into its weight and the shift into its bias.
"""

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in which each batch norm that directly follows a convolution is folded into it.

    The norm becomes an `nn.Identity`; the convolution gets a bias where it had none. Scale and shift are computed in
    float64 and rounded once, to the weight's dtype. `model` is left as it was and may have any dtype and device.

    A norm folds only where it alone reads the convolution's output. In v1 and v1.5 that is every norm. In v2 the norms
    between the convolutions of a block fold; `preact_bn` and `post_bn` stay, because they read the sum of a branch
    and a shortcut (or the pooled stem), which the next shortcut reads too. The plain network (`-none`) has no
    sums, so there only the first `preact_bn`, behind the pooling, stays.

    Raises `ValueError` in training mode, where a norm depends on the batch.
    """
    if any(module.training for module in model.modules()):
        raise ValueError("only a model in eval mode can be folded: call model.eval() first")
    folded = copy.deepcopy(model)
    for conv_name, norm_name in _pairs(folded):
        conv, norm = folded.get_submodule(conv_name), folded.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        dtype = conv.weight.dtype
        fused = fuse_conv_bn_eval(conv.double(), norm.double())
        folded.set_submodule(conv_name, fused.to(dtype))
        folded.set_submodule(norm_name, nn.Identity().eval())
    return folded


def _pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Return the names of (convolution, norm) pairs where nothing but the norm reads the convolution's output."""
    modules = dict(model.named_modules())
    pairs = []
    for node in fx.symbolic_trace(model).graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        if source.op == "call_module" and isinstance(modules[source.target], nn.Conv2d) and len(source.users) == 1:
            pairs.append((source.target, node.target))
    return pairs
