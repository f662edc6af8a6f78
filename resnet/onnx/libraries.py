"""The libraries of ONNX Runtime's providers, by name, and where they would lie. Imports the standard library alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

# A build for CPUs has neither.
CUDA_LIBRARY, TENSORRT_LIBRARY = "libonnxruntime_providers_cuda.so", "libonnxruntime_providers_tensorrt.so"


def library_folders() -> list[Path]:
    """Where ONNX Runtime's libraries are; none where it is not installed. It is not imported."""
    spec = importlib.util.find_spec("onnxruntime")
    return [Path(place) / "capi" for place in (spec.submodule_search_locations or ())] if spec else []
