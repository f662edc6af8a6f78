"""The five memory numbers, in bytes; none stands for another, and one that cannot be read is null with its reason."""

from __future__ import annotations

import os
from typing import Any

import psutil
import torch


def reset() -> None:
    """Start the allocator's peaks anew: what came before (building, compiling) is not the model's."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def numbers(weights: int | None, device: str) -> dict[str, Any]:
    """Weights as the variant holds them; allocator peaks; this process on the device; this process on the host.

    Outside torch's allocator (ONNX Runtime, captured graphs' pools) only the process numbers see what is used.
    """
    found: dict[str, Any] = {
        "weights": weights,
        "allocator_allocated_peak": None,
        "allocator_reserved_peak": None,
        "device_process": None,
        "host_resident": psutil.Process().memory_info().rss,
    }
    if device == "cuda":
        found["allocator_allocated_peak"] = torch.cuda.max_memory_allocated()
        found["allocator_reserved_peak"] = torch.cuda.max_memory_reserved()
        try:
            found["device_process"] = _on_device()
        except Exception as error:  # NVML's reasons are many (containers, permissions); each belongs on record
            found["device_process_unreadable"] = f"{type(error).__name__}: {error}"
    return found


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
