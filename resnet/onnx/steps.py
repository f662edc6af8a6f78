"""An ONNX graph as steps: of the float file, which calibration runs, and of the QDQ file, as it declares itself.

A step is named after the last of the model's layers that it computes, as `resnet.quant.network` names them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from resnet.code import Unserved
from resnet.onnx.export import INPUT, OUTPUT
from resnet.onnx.names import attribute, layer_of, scope_of
from resnet.quant import network
from resnet.quant.steps import CODES, Grid, Step, Term, Weight

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

# The entry of a QDQ file's metadata with the tensors behind a ReLU that is a node no more.
RELUS = "relus"

_KINDS = {np.dtype(np.uint8): "uint8", np.dtype(np.int8): "int8"}


@dataclass(frozen=True)
class Graph:
    """The steps of a graph, and the names of its tensors: of each step's result, and the step behind each value.

    `tensors` has for each step the name of its codes, or of its values where it does not end on a grid. `values` names
    for each of the graph's float tensors the activation whose range it has.
    """

    steps: tuple[Step, ...]
    tensors: dict[str, str]
    values: dict[str, str]


@dataclass(frozen=True, eq=False)
class _Value:
    """A tensor of the graph: a step under way. With `padded` it has a border of zeros, one pixel wide."""

    terms: tuple[Term, ...]
    name: str
    bias: Tensor | None = None
    relu: bool = False
    pool: Literal["", "max", "max_zeros", "mean"] = ""
    padded: bool = False

    @property
    def moved(self) -> Term | None:
        """The term, if all it does is to pass on an activation's pixels, and zeros."""
        term = self.terms[0]
        computes = len(self.terms) > 1 or term.weight or term.scale is not None or term.relu
        return None if computes or self.bias is not None or self.relu or self.pool else term

    @property
    def source(self) -> str | None:
        """The name of the activation, if it is one as it is."""
        term = self.moved
        return None if term is None or self.padded or term.stride > 1 or term.channels else term.source


def read_steps(model: ModelProto) -> Graph:
    """Return the steps of a graph: without a QuantizeLinear one for each of its layers, else between the grids.

    A ReLU that a grid without negative codes took in, and the metadata name, is of its step. Raises Unserved, with the
    operation's name and place, for one that steps cannot say.
    """
    relus: list[str] = next((json.loads(entry.value) for entry in model.metadata_props if entry.key == RELUS), [])
    return _Reader(model.graph, relus).read()


@dataclass
class _Reader:
    graph: GraphProto
    relus: Sequence[str]
    constants: dict[str, Any] = field(default_factory=dict)  # arrays, or Weight where they are in 8 bits
    at: dict[str, _Value] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def read(self) -> Graph:
        from onnx import numpy_helper

        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        self.at[INPUT] = _Value((Term(network.INPUT),), network.INPUT)
        self.names[INPUT] = network.INPUT
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.in_float = all(node.op_type != "QuantizeLinear" for node in self.graph.node)
        for node in self.graph.node:
            self._node(node)
        self._end(self.at[OUTPUT], OUTPUT)
        return Graph(tuple(self.steps.values()), self.tensors, self.names)

    def _node(self, node: NodeProto) -> None:
        read: Callable[[NodeProto], _Value | None] | None = getattr(self, f"_{node.op_type.lower()}", None)
        if read is None or any(self.readers.get(name) for name in node.output[1:]):
            raise self._unserved(node)
        value = read(node)
        if value is None:
            return
        output = node.output[0]
        followers = [other.op_type for other in self.readers.get(output, ())]
        if self.in_float and value.moved is None and (value.relu or value.pool or followers != ["Relu"]):
            value = self._end(value, output)
        self.at[output] = value
        if value.moved is not None:
            self.names[output] = value.moved.source

    def _end(self, value: _Value, tensor: str, output: Grid | None = None) -> _Value:
        """Return the value that the end of a step is; one that is an activation already, as it is."""
        if value.source is not None and output is None:
            return value
        name = value.name if value.source is None else f"{value.source}.codes"
        while name in self.steps:  # a layer that is called twice, or two sums of one module
            name += "'"
        self.steps[name] = Step(name, value.terms, output, value.bias, value.relu, value.pool)
        self.tensors[name] = tensor
        return _Value((Term(name),), name)

    def _activation(self, node: NodeProto, index: int = 0) -> str:
        """Return the name of the activation that a node reads, the end of a step."""
        tensor = node.input[index]
        if tensor not in self.at:
            raise self._unserved(node)
        if self.at[tensor].padded:
            raise self._unserved(node)
        self.at[tensor] = self._end(self.at[tensor], tensor)
        return self.at[tensor].terms[0].source

    def _quantizelinear(self, node: NodeProto) -> _Value | None:
        value, (scale, zero) = self.at[node.input[0]], (self.constants[name] for name in node.input[1:])
        grid = Grid(_KINDS[zero.dtype], float(scale), int(zero))  # type: ignore[arg-type]
        moved = value.moved
        if moved is not None and moved.source in self.steps and self.steps[moved.source].output == grid:
            return value  # the same codes, at other places
        if value.padded:
            raise self._unserved(node)
        if node.input[0] in self.relus and grid.zero == CODES[grid.kind][0]:
            value = replace(value, relu=True)
        return self._end(value, node.output[0], grid)

    def _dequantizelinear(self, node: NodeProto) -> _Value | None:
        if node.input[0] not in self.constants:
            return self.at[node.input[0]]
        codes, scale, zero = (self.constants[name] for name in node.input)
        if codes.ndim == 0:  # the number that pads
            self.constants[node.output[0]] = (codes.astype(np.float64) - zero) * scale
            return None
        scales = torch.from_numpy(np.atleast_1d(scale).astype(np.float64)).expand(len(codes))
        self.constants[node.output[0]] = Weight(layer_of(node.input[0]), torch.from_numpy(codes.copy()), scales)
        return None

    def _conv(self, node: NodeProto) -> _Value:
        weight, (strides, pads) = self._weight(node), (attribute(node, "strides"), attribute(node, "pads"))
        odd = len({*strides}) > 1 or len({*pads}) > 1 or {*(attribute(node, "dilations") or [1])} != {1}
        if odd or attribute(node, "auto_pad") not in (None, b"NOTSET"):
            raise self._unserved(node)
        term = Term(self._activation(node), weight, strides[0], pads[0], attribute(node, "group") or 1)
        return self._product(node, term)

    def _gemm(self, node: NodeProto) -> _Value:
        if (attribute(node, "transB"), attribute(node, "alpha"), attribute(node, "beta")) != (1, 1.0, 1.0):
            raise self._unserved(node)
        return self._product(node, Term(self._activation(node), self._weight(node)))

    def _product(self, node: NodeProto, term: Term) -> _Value:
        assert term.weight is not None
        return _Value((term,), term.weight.module, self._bias(node))

    def _weight(self, node: NodeProto) -> Weight:
        constant = self.constants.get(node.input[1])
        if constant is None:
            raise self._unserved(node)
        if isinstance(constant, Weight):
            return constant
        return Weight.of_values(layer_of(node.input[1]), torch.from_numpy(constant.copy()))

    def _bias(self, node: NodeProto) -> Tensor | None:
        if len(node.input) < 3:
            return None
        bias = self.constants[node.input[2]]
        return bias.values() if isinstance(bias, Weight) else torch.from_numpy(bias.astype(np.float64))

    def _batchnormalization(self, node: NodeProto) -> _Value:
        gain, offset, mean, variance = (
            torch.from_numpy(self.constants[name].astype(np.float64)) for name in node.input[1:]
        )
        scale = gain / torch.sqrt(variance + attribute(node, "epsilon"))
        norm = Term(self._activation(node), scale=scale, shift=offset - mean * scale)
        return _Value((norm,), layer_of(node.input[1]))

    def _relu(self, node: NodeProto) -> _Value:
        value = self._sum(node, 0)
        return replace(value, relu=True, name=value.name if value.moved is None else scope_of(node))

    def _add(self, node: NodeProto) -> _Value:
        one, other = self._sum(node, 0), self._sum(node, 1)
        biases = [value.bias for value in (one, other) if value.bias is not None]
        name = f"{scope_of(node)}.add".lstrip(".")
        return _Value(one.terms + other.terms, name, sum(biases[1:], biases[0]) if biases else None)

    def _sum(self, node: NodeProto, index: int) -> _Value:
        """Return a value that may be added to: one that nothing has been done to since."""
        value = self.at.get(node.input[index])
        if value is None or value.padded:
            raise self._unserved(node)
        if value.relu or value.pool:
            self._activation(node, index)
            value = self.at[node.input[index]]
        return value

    def _maxpool(self, node: NodeProto) -> _Value:
        value, name = self.at[node.input[0]], scope_of(node)
        kernel, strides, pads = (attribute(node, key) for key in ("kernel_shape", "strides", "pads"))
        if attribute(node, "ceil_mode") or len({*strides}) > 1:
            raise self._unserved(node)
        if kernel == [1, 1] and not any(pads) and not value.padded:
            return _Value((Term(self._activation(node), stride=strides[0]),), name)
        border = [0] * 4 if value.padded else [1] * 4
        if (kernel, strides, pads) != ([3, 3], [2, 2], border) or value.pool:
            raise self._unserved(node)
        return replace(value, name=name, pool="max_zeros" if value.padded else "max", padded=False)

    def _pad(self, node: NodeProto) -> _Value:
        value, pads = self.at[node.input[0]], [int(number) for number in self.constants[node.input[1]]]
        zero = len(node.input) < 3 or not node.input[2] or not self.constants[node.input[2]].any()
        moved = value.moved
        if attribute(node, "mode") not in (None, b"constant") or not zero or value.padded or len(pads) != 8:
            raise self._unserved(node)
        if pads == [0, 0, 1, 1] * 2:
            self._activation(node)
            return replace(self.at[node.input[0]], padded=True)
        if any(pads[i] for i in (0, 1, 2, 3, 4, 6, 7)) or moved is None or moved.channels:
            raise self._unserved(node)
        return replace(value, terms=(replace(moved, channels=self._channels(moved.source) + pads[5]),))

    def _channels(self, source: str) -> int:
        """Return the number of channels of an activation, which its step's first weights or norm have."""
        while source in self.steps:
            step = self.steps[source]
            for term in step.terms:
                if term.weight is not None:
                    return len(term.weight.scale)
                if term.channels:
                    return term.channels
            source = step.terms[0].source
        return int(self.graph.input[0].type.tensor_type.shape.dim[1].dim_value)

    def _reducemean(self, node: NodeProto) -> _Value:
        axes = attribute(node, "axes") or (self.constants[node.input[1]].tolist() if len(node.input) > 1 else [])
        if sorted(axis % 4 for axis in axes) != [2, 3]:
            raise self._unserved(node)
        return self._globalaveragepool(node)

    def _globalaveragepool(self, node: NodeProto) -> _Value:
        value = self.at[node.input[0]]
        if value.padded or value.pool:
            raise self._unserved(node)
        return replace(value, name=scope_of(node), pool="mean")

    def _reshape(self, node: NodeProto) -> _Value:
        """Return the value of a mean, which has the channels alone."""
        value = self.at[node.input[0]]
        ended = self.steps.get(value.source or "")
        if "mean" not in (value.pool, ended and ended.pool):
            raise self._unserved(node)
        return value

    _flatten = _squeeze = _reshape

    def _identity(self, node: NodeProto) -> _Value:
        return self.at[node.input[0]]

    def _unserved(self, node: NodeProto) -> Unserved:
        where = scope_of(node)
        return Unserved(
            f"the operation {node.op_type}{f' of {where}' if where else ''} has no form in 8 bits here that could be "
            "checked, as this model has it; so no variant runs it in them: take a precision of 16 bits"
        )
