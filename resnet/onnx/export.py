"""A ResNet as an ONNX file: batch norm folded, batch dynamic, exported once per weights and cached."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

from resnet.cache import cached_file, compiled_dir
from resnet.fold import fold
from resnet.model import ResNet
from resnet.weights.synthetic import digest

# Names of the graph's input [batch, C, H, W] and output [batch, classes], both in the dtype of the weights.
INPUT, OUTPUT = "images", "logits"

# What torch's exporter writes natively, without a converter; ONNX Runtime 1.20 to 1.31 and TensorRT 10 read it.
OPSET = 18

# Part of the cache's key: raise it when this module changes the file that it writes.
RECIPE = 1


def onnx_file(model: ResNet, dtype: torch.dtype, image: torch.Size) -> tuple[Path, bool]:
    """Return the ONNX file of `model` for images [C, H, W] in `dtype`, and whether it was cached.

    Batch norm is folded in float32, then the weights are cast. The batch is dynamic; the image size is fixed, which
    keeps the graph free of shape arithmetic, which a GPU provider would send to the CPU. Raises ImportError without
    onnx or onnxscript.
    """
    tools = " ".join(f"{name} {version(name)}" for name in ("torch", "onnx", "onnxscript"))
    key = f"onnx {RECIPE} {model.spec.name} {digest(model)} {dtype} {tuple(image)} opset {OPSET} {tools}"
    return cached_file(key, ".onnx", lambda path: _export(model, dtype, image, path), compiled_dir)


def _export(model: ResNet, dtype: torch.dtype, image: torch.Size, path: Path) -> None:
    net = fold(model).to("cpu", dtype)
    batch = torch.zeros(2, *image, dtype=dtype)  # not 1: the exporter would take a 1 for a constant
    with torch.no_grad(), _quiet():
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
        program.save(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings about the absence of torchvision and about its deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
