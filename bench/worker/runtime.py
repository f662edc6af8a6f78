"""The runtime of the process that owns the device: versions as loaded, caches, threads, folders."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.machine.environment import cache_bytes
from bench.plans.settings import thread_variables
from resnet import cache

# Environment variable -> the compile cache whose folder it names. Read when the library is imported or first used.
CACHE_VARIABLES = {
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "cuda",
    "PYTORCH_KERNEL_CACHE_PATH": "torch",
    "RESNET_COMPILED": "resnet",
}
# counters that Inductor and AOTAutograd have of their caches on disk
CACHE_COUNTERS = {
    "hit": (("inductor", "fxgraph_cache_hit"), ("aot_autograd", "autograd_cache_hit")),
    "miss": (("inductor", "fxgraph_cache_miss"), ("aot_autograd", "autograd_cache_miss")),
}

TEMPORARY = ("/tmp", "/var/tmp")  # in the place of a TMPDIR that compilers cannot be given
TRITON = "TRITON_CACHE_DIR"
CURE = "set TMPDIR and TORCHINDUCTOR_CACHE_DIR to folders without"


def use_threads(count: int) -> None:
    """Have torch, and ONNX Runtime, which takes torch's number, use `count` threads here; 0 leaves the choice to them.

    In a process that has not imported torch, every library that it loads later has as many.
    """
    os.environ |= thread_variables(count)
    torch = sys.modules.get("torch")
    if count and torch and torch.get_num_threads() != count:  # a forked case's server loaded it with as many
        torch.set_num_threads(count)


def fresh_caches(folder: str) -> dict[str, str]:
    """Return the environment of a cold start: a new folder in `folder`, which is empty, for every compile cache."""
    folders = {variable: str(Path(folder) / name) for variable, name in CACHE_VARIABLES.items()}
    for path in folders.values():
        Path(path).mkdir()
    return folders


def settle_folders() -> None:
    """Set TMPDIR, HOME and Triton's cache for this process where they cannot serve, before libraries read them.

    `cache.notes` says so. Raises OSError where no folder can be made.
    """
    temporary = tempfile.gettempdir()
    usable = next((folder for folder in TEMPORARY if os.access(folder, os.W_OK | os.X_OK)), None)
    if usable and not _is_one_word(temporary):
        os.environ["TMPDIR"], tempfile.tempdir = usable, None
        cache.notes.append(
            f"temporary files are in {usable}: compilers take no space or quote in a path, as TMPDIR has"
        )
    home = Path(os.path.expanduser("~"))
    if not home.is_absolute() or not home.is_dir():
        cache.cache_dir()  # which makes the folder, or says why not
    if not home.is_absolute() or not home.is_dir():
        os.environ["HOME"] = str(cache.private_dir())
    elif not os.access(home, os.W_OK | os.X_OK):
        os.environ.setdefault(TRITON, str(cache.private_dir() / "triton"))


def unfit_for_compilers() -> str:
    """Return a sentence where torch.compile gives its compiler a path that is no one word, as it does not quote it."""
    paths = (os.environ.get("TORCHINDUCTOR_CACHE_DIR", ""), tempfile.gettempdir())
    unfit = not all(_is_one_word(path) for path in paths if path)
    return f"torch.compile's compiler takes no space or quote in the path of its files: {CURE}" if unfit else ""


def _is_one_word(path: str) -> bool:
    try:
        return shlex.split(path) == [path]
    except ValueError:  # a quote without its other
        return False


def cache_state(details: dict[str, Any]) -> str:
    """Return the state of the compile caches for this process: `warm`, `cold`, `partly` warm, or `unused`.

    It is read from torch's counters, if torch compiled, and from a variant's details.
    """
    hits = [bool(value) for key, value in details.items() if key.endswith("_cached")]
    if "torch._dynamo.utils" in sys.modules:
        counters = sys.modules["torch._dynamo.utils"].counters
        for outcome, names in CACHE_COUNTERS.items():
            hits += [outcome == "hit"] * sum(counters[group][name] > 0 for group, name in names)
    if not hits:
        return "unused"
    return "warm" if all(hits) else "partly" if any(hits) else "cold"


def describe_runtime(device: str) -> dict[str, Any]:
    """Return the loaded libraries' versions, the threads, and the sizes of the device's caches in bytes."""
    import torch

    onednn = re.search(r"MKL-DNN v?([\d.]+)", torch.__config__.show())
    versions: dict[str, Any] = {
        "torch_git": torch.version.git_version,
        "onednn": onednn[1] if onednn else None,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cache_bytes": cache_bytes(),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        versions |= {
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "cudnn_benchmarked_plans": torch.backends.cudnn.benchmark_limit if torch.backends.cudnn.benchmark else None,
            "l2_bytes": properties.L2_cache_size,
            "multiprocessors": properties.multi_processor_count,
        }
    return versions
