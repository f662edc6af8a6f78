"""The layers of ONNX Runtime's nodes."""

from __future__ import annotations

from types import SimpleNamespace

from bench.runs.job import KernelRow, PartRow
from bench.worker.layers.onnx_nodes import _join_conversions, node_layers


class Node:
    def __init__(self, name: str, op_type: str, inputs: str, output: str) -> None:
        self.name, self.op_type, self.input, self.output = name, op_type, inputs.split(), [output]


class Tensor:
    def __init__(self, name: str) -> None:
        self.name = name


class Graph:
    initializer = (Tensor("conv1.bias"),)
    node = (
        Node("c", "Conv", "images reorder conv1.bias", "y"),
        Node("p", "MaxPool", "y", "x"),
        Node("b", "BatchNormalization", "x layer1.0.preact_bn.weight layer1.0.preact_bn.bias", "n"),
        Node("r", "Relu", "n", "a"),
        Node("c1", "Conv", "a w0 layer1.0.conv1.bias", "u"),
        Node("c2", "FusedConv", "u w1 Cast_layer1.0.conv2.bias x", "v"),
        Node("s", "MaxPool", "v", "z"),
        Node("c3", "Conv", "z w2 layer2.0.conv2.bias", "q"),
        Node("add", "Add", "z q", "t"),
        Node("c4", "QLinearConv", "t s0 z0 layer2.1.conv2.weight_quantized s1 z1", "k"),
        Node("qadd", "QLinearAdd", "k s1 z1 t s0 z0", "o"),
        Node("m", "ReduceMean", "o", "f"),
        Node("g", "Gemm", "f fc.weight fc.bias", "logits"),
    )


def test_a_node_is_known_by_the_parameters_it_reads_or_by_the_node_before() -> None:
    found = node_layers(Graph)
    assert found["c"] == ("conv1",)
    assert found["p"] == ("maxpool",)
    assert found["b"] == found["r"] == ("layer1.0.preact_bn",)
    assert found["c1"] == ("layer1.0.conv1",)
    assert found["c2"] == found["s"] == ("layer1.0.conv2", "layer1.0.add")
    assert found["add"] == ("layer2.0.add",)
    assert (found["c4"], found["qadd"]) == (("layer2.1.conv2",), ("layer2.1.add",))
    assert (found["m"], found["g"]) == (("avgpool",), ("fc",))


def test_conversions_are_one_part_of_no_layer() -> None:
    parts = [_part("QuantizeLinear", "conv1"), _part("QLinearConv", "conv1"), _part("Transpose", "conv1")]
    others, conversions = _join_conversions(parts)
    assert others == parts[1]
    assert (conversions["name"], conversions["modules"], conversions["ns"]) == ("conversions", [], [2.0, 4.0])
    assert [kernel["name"] for kernel in conversions["kernels"]] == ["QuantizeLinear", "Transpose"]
    assert _join_conversions(parts[1:2]) == parts[1:2]


def _part(operation: str, module: str) -> PartRow:
    kernel = KernelRow(name=operation, us=1.0, count=1)
    return PartRow(name=f"node {operation}", modules=[module], ns=[1.0, 2.0], kernels=[kernel])


class OutsideGraph:
    initializer = (Tensor("net.stem.conv.bias"),)
    node = (
        Node("c", "Conv", "images reorder net.stem.conv.bias", "y"),
        Node("m", "MatMul", "y val_3", "x"),
        Node("a", "Add", "net.head.bias x", "z"),
        Node("g", "Gemm", "z net.head.weight net.head.bias", "logits"),
    )


def test_a_node_of_a_model_from_outside_is_known_by_its_own_parameters_alone() -> None:
    assert node_layers(OutsideGraph) == {"c": ("stem.conv",), "m": (), "a": (), "g": ("head",)}


def test_a_node_in_8_bits_of_a_model_from_outside_is_known_and_none_has_the_layers_of_another_model() -> None:
    names = "net.0.weight_quantized", "net.0.weight_scale", "net.0.bias_quantized"
    node = Node("c", "QLinearConv", f"images images_scale {' '.join(names)}", "y"), Node("m", "ReduceMean", "y", "z")
    assert node_layers(SimpleNamespace(initializer=[*map(Tensor, names)], node=node)) == {"c": ("0",), "m": ()}
    renamed = SimpleNamespace(initializer=[Tensor("Reshape_1")], node=[Node("c", "Conv", "images Reshape_1", "y")])
    assert node_layers(renamed) == {"c": ()}, "not conv1 of this project's, whose row would be left out"
