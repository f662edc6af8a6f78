"""An exception as a record has it: a status, and a reason short enough to read."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path

from bench.machine.environment import ROOT
from bench.runs.job import Ended
from bench.worker.runtime import unfit_for_compilers
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
    "cannot map zero-fill pages",  # the dynamic linker's, of a library that is imported
    "failed to map segment from shared object\n",  # its last words: where no program may be run a reason follows
)


NO_ROOM = ("no space left on device", "disk quota exceeded", "no usable temporary directory")
CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "RESNET_COMPILED", "RESNET_CACHE")
LEAST_ROOM = 1 << 20  # bytes below which a compiler's folder is full


class CannotJudge(ValueError):
    """The gate cannot judge any answer of a case; the message is a sentence that says why."""


class Wrong(Exception):
    """A wrong answer, which the gate refuses; the message says what is wrong with it."""


def describe_failure(error: Exception) -> Ended:
    """Return a record's status and reason for an exception, with the line of code from outside that raised it."""
    if isinstance(error, Unserved):
        return {"status": "skipped", "reason": str(error)}
    if isinstance(error, Wrong):
        return {"status": "wrong", "reason": str(error)}
    out_of_memory = any(part in f"{text.lower()}\n" for text in _chain(error) for part in OUT_OF_MEMORY)
    status = "memory" if out_of_memory else "error"
    if isinstance(error, CodeError | CannotJudge | CacheError):
        return {"status": status, "reason": str(error)}
    name = type(error).__name__
    if "CompileError" in f"{name} {error}" and (reason := unfit_for_compilers()):
        return {"status": status, "reason": reason}
    text = str(error) or name
    frame = traceback.extract_tb(error.__traceback__)[-1]
    theirs = blame(error)
    if isinstance(error, ValueError) and not theirs and _is_refusal(frame):
        return {"status": status, "reason": str(error)}
    where = theirs or f"{Path(frame.filename).name}:{frame.lineno}"
    lines = [line for line in text.splitlines() if line.strip()]
    brief = "\n".join(lines[:12])
    return {"status": status, "reason": f"{name}: {brief} ({where})" + _cure_for_want_of_room(error)}


def _is_refusal(frame: traceback.FrameSummary) -> bool:
    """Return whether a line of this project raised an error itself: its message is a sentence for the user."""
    return Path(frame.filename).is_relative_to(ROOT) and (frame.line or "").startswith("raise ")


def _cure_for_want_of_room(error: BaseException) -> str:
    """Return which folders that libraries write to are full, with the cure; empty for another error."""
    if not any(part in text.lower() for text in _chain(error) for part in NO_ROOM):
        return ""
    folders = {"TMPDIR": os.environ.get("TMPDIR", "/tmp")} | {name: os.environ.get(name, "") for name in CACHES}
    full = [f"{folder} ({name})" for name, folder in folders.items() if folder and _is_full(folder)]
    return f"; there is no room in {' or '.join(full) or 'a folder'}: free some space, or name another folder"


def _is_full(folder: str) -> bool:
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    no_space = room.f_blocks > 0 and room.f_bavail * room.f_frsize < LEAST_ROOM
    return no_space or (room.f_files > 0 and room.f_favail == 0)


def _chain(error: BaseException) -> Iterator[str]:
    """Yield the type and message of an error and its causes, as that which ends a graph's capture hides the first."""
    cause: BaseException | None = error
    while cause:
        yield f"{type(cause).__name__} {cause}"
        cause = cause.__cause__ or cause.__context__
