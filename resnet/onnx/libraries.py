"""Names and folders of the libraries of ONNX Runtime's providers. Imports the standard library alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

# A build for CPUs lacks both.
CUDA_LIBRARY, TENSORRT_LIBRARY = "libonnxruntime_providers_cuda.so", "libonnxruntime_providers_tensorrt.so"


def library_folders() -> list[Path]:
    """Return the folders of ONNX Runtime's libraries, without importing it; empty where it is not installed."""
    spec = importlib.util.find_spec("onnxruntime")
    return [Path(folder) / "capi" for folder in (spec.submodule_search_locations or ())] if spec else []
