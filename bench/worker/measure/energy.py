"""Energy per image: the card's own counter around a window of executions enqueued without waiting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bench.machine.environment import gpu_handle
from bench.worker.measure.clock import Clock
from bench.worker.measure.measure import Run, window

WHY_NOT_CPU = "only a GPU's counter (NVML) is read"


def energy(
    run: Run, inputs: Sequence[Tensor], clock: Clock, seconds: float, device: str, expected_ns: float
) -> dict[str, Any]:
    """Joules of the whole card over a window of at least `seconds`, images, and temperatures at both ends.

    Empty for no seconds. Volta and later; the counter ticks some ten times a second, and a window's error is a tick at
    each end. What cannot be read is told, not raised.
    """
    if not seconds:
        return {}
    if device != "cuda":
        return {"unreadable": WHY_NOT_CPU}
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            return _counted(pynvml, run, inputs, clock, seconds, expected_ns)
        finally:
            pynvml.nvmlShutdown()
    except Exception as error:  # NVML's reasons are many (containers, permissions, MIG); each belongs on record
        return {"unreadable": f"{type(error).__name__}: {error}"}


def _counted(
    nvml: Any, run: Run, inputs: Sequence[Tensor], clock: Clock, seconds: float, expected_ns: float
) -> dict[str, Any]:
    handle = gpu_handle(nvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if isinstance(handle, str):
        return {"unreadable": handle}

    def read() -> tuple[int, int]:
        clock.wait()
        celsius = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        return nvml.nvmlDeviceGetTotalEnergyConsumption(handle), celsius

    read()  # a counter that cannot be read is known before the window, not after
    before, cool = read()
    images, (first, last) = window(run, inputs, clock, seconds, expected_ns)
    after, warm = read()
    joules = (after - before) / 1000
    return {"joules": joules, "images": images, "s": (last - first) / 1e9, "temperature_c": [cool, warm]}
