"""A model as an ONNX file: batch norm folded, batch dynamic, exported once per weights and code, and cached."""

from __future__ import annotations

import copy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet.cache import cached_file, compiled_dir
from resnet.code import Unserved
from resnet.fold import count_norms, fold
from resnet.outside.identity import identity
from resnet.outside.wrapper import first_line
from resnet.quiet import quiet
from resnet.weights.synthetic import digest

# Names of the graph's input [batch, C, H, W] and output [batch, classes], both in the dtype of the weights.
INPUT, OUTPUT = "images", "logits"

# What torch's exporter writes natively, without a converter; ONNX Runtime 1.20 to 1.31 and TensorRT 10 read it.
OPSET = 18

# Part of the cache's key: raise it when this module changes the file that it writes.
RECIPE = 2

# The entry of the file's metadata that says which norms were folded.
FOLDED = "folded"


def onnx_file(model: nn.Module, dtype: torch.dtype, image: torch.Size) -> tuple[Path, bool]:
    """Return the ONNX file of `model` for images [C, H, W] in `dtype`, and whether it was cached.

    Batch norm is folded in float32, then the weights are cast. Where torch.fx cannot trace the model, or the folded one
    cannot be exported, the norms stay, and the file's metadata say so under FOLDED. The batch is dynamic; the image
    size is fixed, which keeps the graph free of shape arithmetic, which a GPU provider would send to the CPU. Raises
    ImportError without onnx or onnxscript, Unserved for a model that torch cannot export.
    """
    tools = " ".join(f"{name} {version(name)}" for name in ("torch", "onnx", "onnxscript"))
    network = f"{type(model).__name__} {identity(model)} {digest(model)}"
    key = f"onnx {RECIPE} {network} {dtype} {tuple(image)} opset {OPSET} {tools}"
    return cached_file(key, ".onnx", lambda path: _export(model, dtype, image, path), compiled_dir)


def _export(model: nn.Module, dtype: torch.dtype, image: torch.Size, path: Path) -> None:
    norms = count_norms(model)
    try:
        net = fold(model)
        program, note = _program(net, dtype, image), f"{norms - count_norms(net)} of {norms} batch norms"
    except Exception as unfolded:  # torch.fx and the exporter raise what the model's code does under them
        note = f"no batch norm of {norms}: {first_line(unfolded)}"
        try:
            program = _program(copy.deepcopy(model), dtype, image)
        except Exception as error:
            raise Unserved(
                f"torch.onnx cannot export the model: {_cause(error)}; eager and compile run it as it is"
            ) from error
    program.model.metadata_props[FOLDED] = note
    program.save(path)


def _program(net: nn.Module, dtype: torch.dtype, image: torch.Size) -> Any:
    net = net.to("cpu", dtype)
    batch = torch.zeros(2, *image, dtype=dtype)  # not 1: the exporter would take a 1 for a constant
    with torch.no_grad(), quiet():  # of the absence of torchvision, and of its deprecations
        program = torch.onnx.export(
            net,
            (batch,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65536)},),
            verbose=False,
        )
    assert program is not None  # it is None only for dynamo=False
    return program


def _cause(error: BaseException) -> str:
    """Return the first line of the exception at the start of a chain: the exporter's says what it tried."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
