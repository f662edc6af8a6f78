"""The model's layers behind the names in an ONNX file that torch's exporter wrote."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import NodeProto

SCOPES = "pkg.torch.onnx.name_scopes"  # the entry of a node's metadata in which the exporter names its modules
WRAPPER = "net."  # before the layers of a model from outside, which nobody has to write


def layer_of(parameter: str) -> str:
    """Return the model's layer of a parameter: `layer1.0.conv1` of `layer1.0.conv1.weight_quantized`."""
    return re.sub(r"\.(weight|bias)(_quantized)?$", "", parameter)


def scope_of(node: NodeProto) -> str:
    """Return the innermost module in whose code a node is; empty where the file does not say."""
    scopes: Sequence[str] = next((ast.literal_eval(e.value) for e in node.metadata_props if e.key == SCOPES), ())
    return scopes[-2] if len(scopes) > 1 else ""


def attribute(node: NodeProto, name: str) -> Any:
    """Return the value of a node's attribute, or None where it is not set."""
    from onnx.helper import get_attribute_value

    return next((get_attribute_value(attribute) for attribute in node.attribute if attribute.name == name), None)
