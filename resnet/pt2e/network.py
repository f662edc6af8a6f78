"""A folded ResNet as a graph that is rounded where declared steps are, in the form that Inductor fuses for an x86."""

from __future__ import annotations

import copy
import operator
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from resnet.quant.network import INPUT
from resnet.quant.steps import Step, Weight
from resnet.quiet import quiet

aten = torch.ops.aten
_LAYERS = (aten.conv2d.default, aten.linear.default)
# Operations after which the value is still the result of the same step, and of the same layer.
_SAME = (aten.relu.default, aten.relu_.default, aten.flatten.using_ints)


def quantized_graph(folded: nn.Module, steps: Sequence[Step], example: Tensor) -> fx.GraphModule:
    """Return the graph of a folded ResNet with the roundings of its steps, for torch.compile with frozen weights.

    Ranges, weights and biases are those of the steps, and so torchao's observers look at no picture. Raises
    RuntimeError if torchao's graph rounds anything else, or to another grid.
    """
    with quiet():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    net = copy.deepcopy(folded)
    for step in steps:
        for weight in step.weights:
            layer = cast(nn.Conv2d, net.get_submodule(weight.module))
            with torch.no_grad():
                layer.weight.copy_(weight.values())
                if layer.bias is not None and step.bias is not None:
                    layer.bias.copy_(step.bias)
    with quiet():
        exported = torch.export.export(net, (example,)).module()
        graph: fx.GraphModule = convert_pt2e(prepare_pt2e(exported, _quantizer(steps)))
    _check(graph, steps)
    return graph


def _quantizer(steps: Sequence[Step]) -> Any:
    """Return a torchao quantizer that rounds what the steps round.

    torchao's X86InductorQuantizer would give every activation the range of an observer, round the mean over the
    pixels to the grid of what it is the mean of, and leave the sums of version 2 unrounded, where a residual and a norm
    then read two different values.
    """
    # beside the quantizer that importing it defines, it registers the patterns that Inductor fuses
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer  # noqa: F401
    from torchao.quantization.pt2e.quantizer import FixedQParamsQuantizationSpec, QuantizationAnnotation, Quantizer

    grids = {INPUT if step.reads == (INPUT,) and not step.weights else step.name: step.output for step in steps}
    weights = {weight.module: weight for step in steps for weight in step.weights if not weight.wide}

    class Declared(Quantizer):  # type: ignore[misc]  # torchao has no types
        def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
            names = activation_names(model.graph)
            ends = {name: node for node, name in names.items()}  # the last node of each name
            for node, name in names.items():
                grid = grids.get(name) if ends[name] is node else None
                layer = weights.get(name) if node.target in _LAYERS else None
                inputs = {} if layer is None else {node.args[1]: _weight_spec(layer)}
                output = grid and FixedQParamsQuantizationSpec(
                    torch.uint8, grid.scale, grid.zero, 0, 255, torch.per_tensor_affine
                )
                node.meta["quantization_annotation"] = QuantizationAnnotation(inputs, output, _annotated=True)
            return model

        def validate(self, model: fx.GraphModule) -> None:
            """Do nothing: the graph is checked when it is converted."""

    return Declared()


def activation_names(graph: fx.Graph) -> dict[fx.Node, str]:
    """Return the activation, by its name in `resnet.quant`, that each node of an exported ResNet computes or begins.

    Convolutions and norms have names; what pads and cuts pictures has none.
    """
    names: dict[fx.Node, str] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            names[node] = INPUT
        elif node.target is aten.max_pool2d.default and node.args[1] == [3, 3]:  # one of single pixels is a shortcut's
            names[node] = "maxpool"
        elif node.target is aten.adaptive_avg_pool2d.default:
            names[node] = "avgpool"
        elif node.target in _SAME and node.args[0] in names:
            names[node] = names[node.args[0]]
        elif node.target in (aten.add.Tensor, aten.add_.Tensor):
            names[node] = names[node.args[0]].rpartition(".")[0] + ".add"
        elif node.target in (*_LAYERS, aten.batch_norm.default):
            names[node] = str(node.args[1].target).removesuffix(".weight")
    return names


def _weight_spec(weight: Weight) -> Any:
    """Return a specification by the weight's scales: an observer would have others, and none under 2 to the -12."""
    from torchao.quantization.pt2e import FixedQParamsObserver
    from torchao.quantization.pt2e.quantizer import QuantizationSpec

    class Fixed(FixedQParamsObserver):  # type: ignore[misc]
        ch_axis = 0

        def __init__(self, **_: object) -> None:
            super().__init__(1.0, 0, torch.int8, torch.per_channel_symmetric, -128, 127)
            self.scale, self.zero_point = weight.scale.float(), torch.zeros(len(weight.scale), dtype=torch.int64)

    return QuantizationSpec(torch.int8, Fixed, -128, 127, torch.per_channel_symmetric, 0)


def _check(graph: fx.GraphModule, steps: Sequence[Step]) -> None:
    """Raise RuntimeError unless the graph has the grids of the steps and their weights' codes, and no others."""
    operations = torch.ops.quantized_decomposed
    nodes = [node for node in graph.graph.nodes if node.op == "call_function"]
    grids = [(float(n.args[1]), n.args[2]) for n in nodes if n.target is operations.quantize_per_tensor.default]
    declared = [(float(torch.tensor(s.output.scale)), s.output.zero) for s in steps if s.output is not None]
    widened = [node.args[0].target for node in nodes if node.target is operations.dequantize_per_channel.default]
    codes = [operator.attrgetter(str(name))(graph) for name in widened]
    weights = [weight.codes for step in steps for weight in step.weights if not weight.wide]
    if sorted(grids) != sorted(declared):
        raise RuntimeError(f"torchao rounds to {len(grids)} grids, which are not the {len(declared)} of the steps")
    if len(codes) != len(weights) or not all(any(torch.equal(a, b) for a in codes) for b in weights):
        raise RuntimeError("torchao's weights in 8 bits are not those of the steps")


@contextmanager
def generated_code() -> Iterator[list[str]]:
    """Collect the code that Inductor writes in the meantime."""
    from torch._inductor.graph import GraphLowering

    code = list[str]()
    original, GraphLowering.save_output_code = GraphLowering.save_output_code, staticmethod(code.append)
    try:
        yield code
    finally:
        GraphLowering.save_output_code = original


def float_kernels(code: Sequence[str]) -> list[str]:
    """Return what the kernels between the library's operations compute in float; not those that convert or move."""
    calls = re.findall(
        r"^ +(?:cpp_fused_(\w+)_\d+|torch\.ops\.mkldnn\.(\w+)\S*)\(|= torch\.ops\.mkldnn\.(\w+)", "\n".join(code), re.M
    )
    names = ["".join(call).replace("as_strided", "view") for call in calls]
    words = [re.sub("(de)?quantize_per_tensor|view|_", " ", name).split() for name in names]
    return [" ".join(name) for name in words if name]
