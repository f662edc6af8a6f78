"""An exception as a record has it: a status, and a reason short enough to read."""

from __future__ import annotations

import traceback
from pathlib import Path

from bench.runs.job import Ended
from resnet.cache import CacheError
from resnet.code import CodeError, Unserved, blame

# Parts of the libraries' messages when memory runs out, in lower case: of CUDA, cuDNN and cuBLAS; of torch on a CPU,
# C++, ONNX Runtime and Python (torch has an `OutOfMemoryError`), also inside one of torch.compile's errors.
OUT_OF_MEMORY = (
    "out of memory",
    "alloc_failed",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "memoryerror",
)


class CannotJudge(ValueError):
    """The gate cannot judge any answer of a case; the message is a sentence that says why."""


def describe_failure(error: Exception) -> Ended:
    """Return a record's status and reason for an exception, with the line of code from outside that raised it."""
    if isinstance(error, Unserved):
        return {"status": "skipped", "reason": str(error)}
    status = "memory" if _is_for_want_of_memory(error) else "error"
    if isinstance(error, CodeError | CannotJudge | CacheError):
        return {"status": status, "reason": str(error)}
    name = type(error).__name__
    text = str(error) or name
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = blame(error) or f"{Path(frame.filename).name}:{frame.lineno}"
    lines = [line for line in text.splitlines() if line.strip()]
    brief = "\n".join(lines[:12])
    return {"status": status, "reason": f"{name}: {brief} ({where})"}


def _is_for_want_of_memory(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause:  # the error that ends a graph's capture hides its cause, and so does a sentence about a model
        message = f"{type(cause).__name__} {cause}".lower()
        if any(part in message for part in OUT_OF_MEMORY):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
