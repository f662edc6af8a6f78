"""The five memory numbers, in bytes; none stands for another, and one that cannot be read is null with its reason."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

# Writing 5 to it (Linux 4.0) makes the peak of the resident set what the set is now.
CLEAR = Path("/proc/self/clear_refs")


def reset() -> None:
    """Start the peaks anew: what came before (building, compiling) is not the model's."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # `numbers` tells
        CLEAR.write_text("5")


def numbers(weights: int | None, device: str) -> dict[str, Any]:
    """Weights as the variant holds them; allocator peaks; this process on the device; this process on the host.

    Outside torch's allocator (ONNX Runtime, captured graphs' pools) only the process numbers see what is used.
    """
    found: dict[str, Any] = {"weights": weights, "allocator_allocated_peak": None, "allocator_reserved_peak": None}
    found |= _read("device_process", _on_device) if device == "cuda" else {"device_process": None}
    if device == "cuda":
        found["allocator_allocated_peak"] = torch.cuda.max_memory_allocated()
        found["allocator_reserved_peak"] = torch.cuda.max_memory_reserved()
    return found | _read("host_resident_peak", _resident)


def _resident() -> int:
    if not os.access(CLEAR, os.W_OK):
        raise RuntimeError(f"{CLEAR} cannot be written, so the peak is that of the building too")
    peak = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    if peak is None:
        raise RuntimeError("/proc/self/status tells no VmHWM")
    return int(peak[1]) << 10


def _read(name: str, value: Callable[[], int]) -> dict[str, Any]:
    try:
        return {name: value()}
    except Exception as error:  # the reasons are many (containers, permissions); each belongs on record
        return {name: None, f"{name}_unreadable": f"{type(error).__name__}: {error}"}


def _on_device() -> int:
    """This process's memory on the device, from NVML.

    In a container NVML may list processes by the host's numbers, or none. Then the device's whole use stands in if at
    most one process is listed, since it is ours.
    """
    import pynvml

    pynvml.nvmlInit()
    try:
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{properties.uuid}".encode())
        rows = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        for row in rows:
            if row.pid == os.getpid() and row.usedGpuMemory is not None:
                return int(row.usedGpuMemory)
        if len(rows) <= 1:
            # version 2 leaves out what the driver holds for itself
            return int(pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used)
        raise RuntimeError(f"NVML lists {len(rows)} processes and not this one")
    finally:
        pynvml.nvmlShutdown()
