"""ONNX Runtime on TensorRT: the whole network becomes one engine, built once per shape and kept in the cache."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resnet.cache import compiled_dir, subfolder
from resnet.onnx.export import INPUT, onnx_file
from resnet.onnx.session import TENSORRT, Options, OrtRunner, non_default_stream, open_session
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
    importlib.import_module("tensorrt")  # loads libnvinfer from the pip packages, where the provider would not look
    dtype = GRAPH_DTYPES[precision]
    path, cached = onnx_file(model, dtype, example.shape[1:])
    stream = non_default_stream(example.device)
    engines = subfolder(compiled_dir(), f"tensorrt-{path.stem}-{precision}-{len(example)}")
    had_engine = any(engines.glob("*.engine"))
    options = _options(stream, example, engines, precision, launch)
    session, session_details = open_session(path, TENSORRT, options)
    details = {
        "weights_bytes": path.stat().st_size,
        **session_details,
        "export_cached": cached,
        "engine_cached": had_engine,
        "graph": launch == "graph",
        "session_per_buffer": launch == "graph",
    }
    next_session = partial(_another, path, options) if launch == "graph" else partial(_same, session)
    return OrtRunner(next_session, example, dtype, details, stream=stream)


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
        "trt_fp16_enable": str(int(precision == "fp16")),
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
