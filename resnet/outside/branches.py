"""The residual branches of any module, from the operations of one pass: which weights end each.

Where two tensors that both come from the picture are added, the one with more layers behind it is the branch, and the
other its shortcut. The branch is followed back to the operation that has a weight: a norm, a convolution, a scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_SUMS = ("aten.add.Tensor", "aten.add_.Tensor")


@dataclass(frozen=True)
class _Node:
    """An operation's result: its shape, the layers with weights up to it, the first of its own, and its sources."""

    shape: torch.Size
    depth: int
    weight: nn.Parameter | None
    sources: tuple[_Node, ...]


class _Recorder(TorchDispatchMode):
    """Records the operations that depend on the input, and the pairs of operands of each sum."""

    def __init__(self, model: nn.Module, batch: Tensor) -> None:
        super().__init__()
        self._weights = {parameter.data_ptr(): parameter for parameter in model.parameters()}
        # parameters by address, as a view of one is another object; results are kept alive, as ids are used again
        self._nodes: dict[int, _Node] = {id(batch): _Node(batch.shape, 0, None, ())}
        self._kept: list[Tensor] = [batch]
        self.sums: list[tuple[_Node, _Node]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = tensors_in(args)
        sources = tuple(self._nodes[id(tensor)] for tensor in inputs if id(tensor) in self._nodes)
        if str(func) in _SUMS and len(sources) == 2 and sources[0].shape == sources[1].shape:
            self.sums.append((sources[0], sources[1]))
        if sources:
            own = [self._weights[tensor.data_ptr()] for tensor in inputs if tensor.data_ptr() in self._weights]
            depth = max(source.depth for source in sources) + bool(own)
            for output in tensors_in(result):
                self._nodes[id(output)] = _Node(output.shape, depth, own[0] if own else None, sources)
                self._kept.append(output)
        return result


def branch_weights(model: nn.Module, batch: Tensor) -> list[nn.Parameter]:
    """Return the weight that ends each residual branch of `model`, once each, from a pass of `batch` [N, C, H, W]."""
    recorder = _Recorder(model, batch)
    with torch.no_grad(), recorder:
        model(batch)
    weights: dict[int, nn.Parameter] = {}
    for pair in recorder.sums:
        shortcut, branch = sorted(pair, key=lambda node: node.depth)
        if shortcut.depth == branch.depth:  # two branches side by side
            continue
        weight = _last_weight(branch)
        if weight is not None:
            weights[id(weight)] = weight
    return list(weights.values())


def _last_weight(node: _Node) -> nn.Parameter | None:
    """Return the weight of the last operation up to `node` that has one, along the operands of its size."""
    while node.weight is None and node.sources:
        whole = [source for source in node.sources if source.shape == node.shape]  # not the factors of an excitation
        node = max(whole or node.sources, key=lambda source: source.depth)
    return node.weight


def tensors_in(*values: Any) -> list[Tensor]:
    """Return the tensors in values and their containers."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
