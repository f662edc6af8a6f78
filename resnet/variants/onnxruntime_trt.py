"""ONNX Runtime on TensorRT: the whole network becomes one engine, built once per shape and kept in the cache."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resnet.cache import compiled_dir, loading, subfolder
from resnet.calibration import Calibration
from resnet.onnx.export import INPUT, onnx_file
from resnet.onnx.quantize import quantized_file
from resnet.onnx.quantized import QuantizedOrtRunner, describe
from resnet.onnx.session import TENSORRT, Options, OrtRunner, non_default_stream, open_session
from resnet.quant.network import SCHEMES
from resnet.runner import Runner

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# Dtype of the graph that TensorRT reads, and so of input and output. For bf16 TensorRT casts a float32 graph,
# because ONNX has no bf16 convolution before opset 22.
GRAPH_DTYPES = {"tf32": torch.float32, "fp16": torch.float16, "bf16": torch.float32}

# TensorRT's scale goes from 0 to 5, its default is 3. Higher levels time more kernels; the engine is cached.
BUILDER_LEVEL = "4"


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare a session whose every node runs in TensorRT.

    The provider has one CUDA graph per session and replays it whatever buffer is bound (onnxruntime#20050), so with
    `graph` each placed buffer has another session, with another copy of the weights.
    """
    dtype = GRAPH_DTYPES[precision]
    path, cached = onnx_file(model, dtype, example.shape[1:])
    engine = _Engine(path, example, precision, launch)
    return OrtRunner(engine.sessions, example, dtype, engine.details | {"export_cached": cached}, stream=engine.stream)


def prepare_quantized(
    model: nn.Module, example: Tensor, precision: str, launch: str, calibration: Calibration
) -> Runner:
    """Prepare a session on a QDQ file: convolutions and products in int8, what is between them in fp16.

    An engine shows no integers. `taps` builds another, on the same file with the integers as outputs, in
    which TensorRT may choose and fuse otherwise: so the case is checked as by units, and `details` says it.
    """
    file = quantized_file(model, example.shape[1:], calibration, "tensorrt", SCHEMES["int8"])
    engine = _Engine(file.path, example, precision, launch)
    details = engine.details | {
        "quantize_cached": file.cached,
        "tapped": "another engine of the same file, with the integers as its outputs",
        "quantized": describe(file, calibration),
    }
    # an engine is kept by the names of its nodes, which the tapped one shares
    kept = [key for key in engine.options if "engine_cache" not in key and "cuda_graph" not in key]
    options = {key: engine.options[key] for key in kept}
    return QuantizedOrtRunner(
        file, TENSORRT, options, "units", engine.sessions, example, torch.float32, details, stream=engine.stream
    )


class _Engine:
    """The sessions of an ONNX file on TensorRT, their stream, their options and their details."""

    def __init__(self, path: Path, example: Tensor, precision: str, launch: str) -> None:
        importlib.import_module("tensorrt")  # loads libnvinfer from the pip packages, where the provider would not look
        self.stream = non_default_stream(example.device)
        engines = subfolder(compiled_dir(), f"tensorrt-{path.stem}-{precision}-{len(example)}")
        had_engine = any(engines.glob("*.engine"))
        self.options = _options(self.stream, example, engines, precision, launch)
        with loading("engine", path, engines) as artefact:  # the provider reads both
            session, session_details = open_session(path, TENSORRT, self.options)
        self.details = {"weights_bytes": path.stat().st_size, **session_details, "engine_cached": had_engine}
        self.details["artefact"] = artefact
        self.details |= dict.fromkeys(("graph", "session_per_buffer"), launch == "graph")
        self.sessions = partial(_another, path, self.options) if launch == "graph" else partial(_same, session)


def _another(path: Path, options: Options) -> InferenceSession:
    """Return a new session. It is no closure: one would keep the first session, which no buffer uses, in memory."""
    return open_session(path, TENSORRT, options)[0]


def _same(session: InferenceSession) -> InferenceSession:
    return session


def _options(stream: torch.cuda.Stream, example: Tensor, engines: Path, precision: str, launch: str) -> Options:
    shape = INPUT + ":" + "x".join(map(str, example.shape))
    return {
        "device_id": str(stream.device_index),
        "user_compute_stream": str(stream.cuda_stream),
        "trt_fp16_enable": str(int(precision in ("fp16", "int8"))),
        "trt_int8_enable": str(int(precision == "int8")),
        "trt_bf16_enable": str(int(precision == "bf16")),
        "trt_builder_optimization_level": BUILDER_LEVEL,
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(engines),
        "trt_cuda_graph_enable": str(int(launch == "graph")),
        # one shape, so that the engine is built for it and not for a range
        "trt_profile_min_shapes": shape,
        "trt_profile_opt_shapes": shape,
        "trt_profile_max_shapes": shape,
    }
