"""The model as an ONNX file in 8 bits: ONNX Runtime's static quantizer, with ranges of our choice."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from resnet.cache import cached_file, compiled_dir
from resnet.calibration import Calibration
from resnet.code import Unserved
from resnet.onnx.export import FOLDED, INPUT, onnx_file
from resnet.onnx.names import WRAPPER, layer_of
from resnet.onnx.steps import RELUS, read_steps
from resnet.quant.network import Scheme, check_named, grid
from resnet.quant.ranges import calibrate, digest
from resnet.quant.steps import Grid
from resnet.quiet import quiet

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

# Part of the cache's key: raise it when this module changes the file that it writes.
RECIPE = 2

# What ONNX Runtime's CPU provider computes in 8 bits, of what a network of steps has. Without `Relu` the sums would
# round before it.
CPU_OPERATIONS = ("Conv", "Gemm", "Add", "MaxPool", "Relu", "Pad")
# TensorRT moves the grids through a network by itself; those before convolutions and products alone leave it free to
# add and to pool in fp16, and a sum that is rounded once.
TENSORRT_OPERATIONS = ("Conv", "Gemm")

LAYERS = ("Conv", "Gemm")  # operations with weights


@dataclass(frozen=True)
class QuantizedFile:
    """A QDQ file, the digest of the activations' ranges, and whether it was cached."""

    path: Path
    ranges: str
    cached: bool


def quantized_file(
    model: nn.Module, image: torch.Size, calibration: Calibration, runtime: Literal["cpu", "tensorrt"], scheme: Scheme
) -> QuantizedFile:
    """Return the model for images [C, H, W] as a QDQ file: weights in int8 per channel, activations as `scheme` says.

    The logits are in float32. Calibrated layers are those of the float graph, so that any model does whose operations
    steps can say, and whose norms fold. Raises Unserved for another, and ValueError for a layer to keep wide that it
    has not.
    """
    import onnx
    import onnxruntime

    float_path, _ = onnx_file(model, torch.float32, image)
    proto = onnx.load(str(float_path))
    if cause := _properties(proto)[FOLDED].partition(": ")[2]:
        raise Unserved(
            f"torch.fx cannot trace the model ({cause}), so its batch norms cannot be folded, and no variant runs it "
            "in 8 bits, which are checked against folded layers: take a precision of 16 bits"
        )
    graph = read_steps(proto)
    excluded = _nodes_of(proto.graph, calibration.keep_wide)
    ranges = calibrate(graph.steps, calibration, scheme)
    tools = f"onnx {onnx.__version__} onnxruntime {onnxruntime.__version__}"
    key = f"qdq {RECIPE} {float_path.stem} {runtime} {scheme} {digest(ranges)} wide {sorted(excluded)} {tools}"

    def write(path: Path) -> None:
        grids = {name: grid(*ranges[activation], scheme) for name, activation in graph.values.items()}
        _quantize(float_path, path, calibration, runtime, scheme, grids, excluded)
        quantized = onnx.load(str(path))
        relus = [graph.tensors[step.name] for step in graph.steps if step.relu]
        onnx.helper.set_model_props(quantized, {**_properties(proto), RELUS: json.dumps(relus)})
        onnx.save(quantized, str(path))

    path, cached = cached_file(key, ".onnx", write, compiled_dir)
    return QuantizedFile(path, digest(ranges), cached)


def _quantize(
    float_path: Path,
    path: Path,
    calibration: Calibration,
    runtime: Literal["cpu", "tensorrt"],
    scheme: Scheme,
    grids: dict[str, Grid],
    excluded: list[str],
) -> None:
    """Write the QDQ file of a float file, with the grid of each tensor."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    on_tensorrt = runtime == "tensorrt"
    kind = QuantType.QInt8 if scheme.activations == "int8" else QuantType.QUInt8
    overrides = {
        name: [{"quant_type": kind, "scale": np.array(g.scale, np.float32), "zero_point": np.array(g.zero, g.kind)}]
        for name, g in grids.items()
    }
    options = {
        "TensorQuantOverrides": overrides,
        "ActivationSymmetric": on_tensorrt,
        "OpTypesToExcludeOutputQuantization": ["Conv", "Gemm"] if on_tensorrt else ["Gemm"],
        "QuantizeBias": not on_tensorrt,  # TensorRT has no biases in integers
    }
    with quiet():
        quantize_static(
            str(float_path),
            str(path),
            _OnePicture(calibration.pictures[:1]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(TENSORRT_OPERATIONS if on_tensorrt else CPU_OPERATIONS),
            per_channel=True,
            reduce_range=scheme.largest < 127,
            activation_type=kind,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=options,
        )


def _properties(model: ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


class _OnePicture:
    """The reader that the quantizer must have: its ranges are overridden."""

    def __init__(self, picture: Tensor) -> None:
        self._left = [{INPUT: picture.numpy()}]

    def get_next(self) -> dict[str, Any] | None:
        return self._left.pop() if self._left else None


def _nodes_of(graph: GraphProto, wide: Collection[str]) -> list[str]:
    """Return the names of the nodes of layers; raises ValueError for one that the graph has not."""
    layers = {layer_of(node.input[1]): node.name for node in graph.node if node.op_type in LAYERS}
    names = {layer.removeprefix(WRAPPER): node for layer, node in layers.items()} | layers
    check_named(set(wide) - names.keys(), layers)
    return sorted({names[name] for name in wide})
