"""What a record says of an exception: a status, and a reason short enough to read."""

from __future__ import annotations

import traceback
from pathlib import Path

from bench.runs.job import Ended

# What the libraries say for want of memory, in lower case: CUDA, cuDNN and cuBLAS; torch on a CPU, C++, ONNX Runtime,
# and Python (`OutOfMemoryError` is torch's), also inside one of torch.compile's errors.
LACKS = (
    "out of memory",
    "alloc_failed",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "memoryerror",
)


def failure(error: Exception) -> Ended:
    """A record's status and reason for an exception."""
    name = type(error).__name__
    text = str(error) or name
    short = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(short.filename).name}:{short.lineno}"
    lack = False
    cause: BaseException | None = error
    while cause and not lack:  # what ends a graph's capture hides what broke it
        said = f"{type(cause).__name__} {cause}".lower()
        lack, cause = any(sign in said for sign in LACKS), cause.__cause__ or cause.__context__
    lines = [line for line in text.splitlines() if line.strip()]
    brief = "\n".join(lines[:12])
    return {"status": "memory" if lack else "error", "reason": f"{name}: {brief} ({where})"}
