"""Energy per image: the card's energy counter, read around a window of executions enqueued without waiting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bench.machine.environment import gpu_handle
from bench.worker.measure.clock import Clock
from bench.worker.measure.windows import Forward, measure_throughput

CPU_UNREADABLE = "only a GPU's counter (NVML) is read"


def measure_energy(
    forward: Forward, inputs: Sequence[Tensor], clock: Clock, seconds: float, device: str, expected_ns: float
) -> dict[str, Any]:
    """Return the joules of the whole card over a window of at least `seconds`, its images, and both ends' temperatures.

    `start_ns` of the host's clock is when the window began. It is empty for no seconds. Cards from Volta on have the
    counter. It ticks some ten times a second, so a window is off by a tick at each end. A counter that cannot be read
    gives `unreadable`, with the reason, and raises nothing.
    """
    if not seconds:
        return {}
    if device != "cuda":
        return {"unreadable": CPU_UNREADABLE}
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            return _read_counters(pynvml, forward, inputs, clock, seconds, expected_ns)
        finally:
            pynvml.nvmlShutdown()
    except Exception as error:  # NVML's reasons are many (containers, permissions, MIG); each belongs on record
        return {"unreadable": f"{type(error).__name__}: {error}"}


def _read_counters(
    nvml: Any, forward: Forward, inputs: Sequence[Tensor], clock: Clock, seconds: float, expected_ns: float
) -> dict[str, Any]:
    handle = gpu_handle(nvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if isinstance(handle, str):
        return {"unreadable": handle}

    def read() -> tuple[int, int]:
        clock.wait()
        celsius = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        return nvml.nvmlDeviceGetTotalEnergyConsumption(handle), celsius

    read()  # a counter that cannot be read raises here, before time goes into the window
    before, first_celsius = read()
    window = measure_throughput(forward, inputs, clock, seconds, expected_ns)
    after, last_celsius = read()
    energy = {"joules": (after - before) / 1000, "images": window.images, "start_ns": window.span[0]}
    return energy | {"s": window.ns / 1e9, "temperature_c": [first_celsius, last_celsius]}
