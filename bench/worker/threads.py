"""The threads of the libraries on the CPU."""

from __future__ import annotations

import os
import sys

from bench.plans.settings import thread_variables


def use_threads(count: int) -> None:
    """Have torch, and ONNX Runtime, which takes torch's number, use `count` threads here; 0 leaves the choice to them.

    In a process that has not imported torch, every library that it loads later has as many.
    """
    os.environ |= thread_variables(count)
    if count and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
