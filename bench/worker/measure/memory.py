"""The five memory numbers of a record, in bytes. One that cannot be read is null, with the reason beside it."""

from __future__ import annotations

import ctypes
import gc
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

# Writing 5 to it (Linux 4.0) resets the peak of the resident set to its present size.
CLEAR_REFS = Path("/proc/self/clear_refs")


def reset_peaks() -> None:
    """Reset the peaks, so that building, compiling and checking do not count, nor what they freed."""
    gc.collect()  # before the caches, which then have what it freed
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError, AttributeError):  # glibc keeps freed memory for later: 150 to 280 MiB behind a calibration
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):  # `read_memory` gives the reason
        CLEAR_REFS.write_text("5")


def read_memory(weights: int | None, device: str) -> dict[str, Any]:
    """Return the bytes of the weights, of the allocator's peaks, of this process on the device and on the host.

    Only the process numbers include what is used outside torch's allocator (ONNX Runtime, captured graphs' pools).
    """
    memory: dict[str, Any] = {"weights": weights, "allocator_allocated_peak": None, "allocator_reserved_peak": None}
    memory |= _read("device_process", _device_process) if device == "cuda" else {"device_process": None}
    if device == "cuda":
        memory["allocator_allocated_peak"] = torch.cuda.max_memory_allocated()
        memory["allocator_reserved_peak"] = torch.cuda.max_memory_reserved()
    return memory | _read("host_resident_peak", _resident_peak)


def _resident_peak() -> int:
    if not os.access(CLEAR_REFS, os.W_OK):
        raise RuntimeError(f"{CLEAR_REFS} cannot be written, so the peak is that of the building too")
    peak = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    if peak is None:
        raise RuntimeError("/proc/self/status has no VmHWM")
    return int(peak[1]) << 10


def _read(name: str, read: Callable[[], int]) -> dict[str, Any]:
    try:
        return {name: read()}
    except Exception as error:  # the reasons are many (containers, permissions); each belongs on record
        return {name: None, f"{name}_unreadable": f"{type(error).__name__}: {error}"}


def _device_process() -> int:
    """Return this process's memory on the device, from NVML.

    In a container NVML may list processes by the host's numbers, or none. If it lists at most one process, that is this
    one, and the use of the whole device is returned.
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
