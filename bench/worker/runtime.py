"""What only the process that owns the device can tell: library versions as loaded, the device's caches, cold starts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from bench.machine.environment import cache_bytes

# Environment variable -> the compile cache whose folder it names. Read when the library is imported, or first used.
CACHES = {
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "cuda",
    "PYTORCH_KERNEL_CACHE_PATH": "torch",
    "RESNET_COMPILED": "made",
}
# what Inductor and AOTAutograd count of their caches on disk
COUNTED = {
    "hit": (("inductor", "fxgraph_cache_hit"), ("aot_autograd", "autograd_cache_hit")),
    "miss": (("inductor", "fxgraph_cache_miss"), ("aot_autograd", "autograd_cache_miss")),
}


def fresh_caches(folder: str) -> dict[str, str]:
    """The environment of a cold start: every compile cache in a folder of its own below `folder`, which is empty."""
    made = {variable: str(Path(folder) / name) for variable, name in CACHES.items()}
    for path in made.values():
        Path(path).mkdir()
    return made


def cache_state(details: dict[str, Any]) -> str:
    """How this process found the compile caches: `warm`, `cold`, `partly` warm, or `unused`.

    From torch's own counters, if it compiled, and from what a variant says of its files.
    """
    found = [bool(value) for key, value in details.items() if key.endswith("_cached")]
    if "torch._dynamo.utils" in sys.modules:
        counters = sys.modules["torch._dynamo.utils"].counters
        for what, names in COUNTED.items():
            found += [what == "hit"] * sum(counters[group][name] > 0 for group, name in names)
    if not found:
        return "unused"
    return "warm" if all(found) else "partly" if any(found) else "cold"


def runtime(device: str) -> dict[str, Any]:
    """Versions as the loaded libraries tell them, threads, and the sizes of the device's caches in bytes."""
    import torch

    onednn = re.search(r"MKL-DNN v?([\d.]+)", torch.__config__.show())
    told: dict[str, Any] = {
        "torch_git": torch.version.git_version,
        "onednn": onednn[1] if onednn else None,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cache_bytes": cache_bytes(),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        told |= {
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "cudnn_benchmarked_plans": torch.backends.cudnn.benchmark_limit if torch.backends.cudnn.benchmark else None,
            "l2_bytes": properties.L2_cache_size,
            "multiprocessors": properties.multi_processor_count,
        }
    return told
