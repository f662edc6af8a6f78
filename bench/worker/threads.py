"""The threads of the libraries on the CPU."""

from __future__ import annotations

import os
import sys

# each is read when its library is loaded
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def use_threads(count: int) -> None:
    """Have torch, and ONNX Runtime, which takes torch's number, use `count` threads here; 0 leaves the choice to them.

    In a process that has not imported torch, every library that it loads later has as many.
    """
    if not count:
        return
    os.environ |= dict.fromkeys(VARIABLES, str(count))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
