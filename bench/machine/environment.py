"""This machine, as a record describes it: read without torch, so that the parent process never loads it.

A value that cannot be read is a string that starts with "unreadable:" and says why.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from bench.machine.facts import Environment, Gpu, Processor, Unreadable
from bench.machine.provenance import ROOT as ROOT
from bench.machine.provenance import git
from bench.machine.provenance import unreadable as unreadable
from kernels.cards.places import slug

T = TypeVar("T")

# distribution names, as pip knows them
PACKAGES = (
    "torch", "triton", "onnxruntime", "onnxruntime-gpu", "tensorrt", "onnx", "onnxscript", "numpy", "scipy", "pandas",
    "nvidia-ml-py", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "nvidia-cublas", "scikit-learn", "scikit-image", "pillow",
)  # fmt: skip
# Environment variables that change what is measured. Values that are paths are recorded as "set".
VARIABLES = re.compile(
    r"^(CUDA_|CUDNN_|CUBLAS_|NVIDIA_TF32|TORCH|PYTORCH_|INDUCTOR|TRITON_|OMP_|MKL_|KMP_|GOMP_|DNNL_|ONEDNN_|ORT_|LD_PRELOAD$"
    r"|MALLOC_|OPENBLAS_|PYTHONHASHSEED$|PYTHONOPTIMIZE$)"
)
CPU_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "bf16",
    "asimdhp",
    "sve",
)


def environment() -> Environment:
    """Everything a record keeps of this machine and its software; JSON-able. Takes about 0.1 s."""
    return {
        "cpu": cpu(),
        "memory_bytes": _read(lambda: os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "virtual": _read(_virtual),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gpu": gpu(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "torch_cuda": _read(_torch_cuda),
        "git": git(ROOT),
        "variables": variables(),
    }


def _read(value: Callable[[], T]) -> T | Unreadable:
    try:
        return value()
    except Exception as error:  # whatever the reason, it is the value's description
        return Unreadable(f"unreadable: {type(error).__name__}: {error}")


def cpu() -> Processor:
    """The processor: its name, the cores this process may use, what of its instruction sets matters here."""
    info = _read(lambda: Path("/proc/cpuinfo").read_text())
    name = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", info, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", info, re.M)
    present = flags.group(1).split() if flags else []
    return {
        "name": name.group(1).strip() if name else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "quota": _read(_cpu_quota),
        "flags": [flag for flag in CPU_FLAGS if flag in present],
        "governor": _read(lambda: Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()),
        "cache_bytes": cache_bytes(),
        "smt": _read(lambda: Path("/sys/devices/system/cpu/smt/active").read_text().strip() == "1"),
        "numa_nodes": _read(lambda: len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1),
    }


def cache_bytes() -> int | Unreadable:
    """The last-level caches of the cores this process may use, together."""
    return _read(_cache_bytes)


def _cache_bytes() -> int:
    sizes: dict[str, int] = {}  # by the cores that share one
    for core in os.sched_getaffinity(0):
        folders = Path(f"/sys/devices/system/cpu/cpu{core}/cache").glob("index*")
        last = max(folders, key=lambda folder: int((folder / "level").read_text()))
        kib = int((last / "size").read_text().strip().removesuffix("K"))
        sizes[(last / "shared_cpu_list").read_text()] = kib << 10
    return sum(sizes.values())


def _cpu_quota() -> float | None:
    """Cores a container may use, from its control group; None without a limit."""
    quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _virtual() -> bool:
    return " hypervisor " in Path("/proc/cpuinfo").read_text().replace("\n", " ")


def child_variables(root: Path = ROOT) -> dict[str, str]:
    """The environment of a Python child that is to import this package from a checkout, unless told this one."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}


def hidden() -> bool:
    """Whether CUDA_VISIBLE_DEVICES hides every GPU from this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and visible.split(",")[0].strip() in ("", "-1")


def gpu() -> Gpu:
    """The first GPU that CUDA_VISIBLE_DEVICES lets this process see; {"none": reason} where none has a name."""
    if hidden():
        return {"none": "CUDA_VISIBLE_DEVICES hides every GPU"}
    try:
        import pynvml
    except ImportError:
        return {"none": "nvidia-ml-py is not installed: pip install nvidia-ml-py"}
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return {"none": f"no NVIDIA driver answers ({error})"}
    try:
        return _gpu_facts(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except (pynvml.NVMLError, ValueError) as error:  # a name that is no text, too
        return {"none": f"the NVIDIA driver does not answer for the chosen GPU ({error})"}
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gpu_facts(nvml: Any, visible: str | None) -> Gpu:
    handle = gpu_handle(nvml, visible)
    if isinstance(handle, str):
        return {"none": handle}

    def text(value: Any) -> str:
        return value.decode() if isinstance(value, bytes) else str(value)

    sm, name = nvml.NVML_CLOCK_SM, text(nvml.nvmlDeviceGetName(handle)).strip()
    slug(name)  # raises ValueError for what no file could be named by: all that is kept of a card goes by its name
    return {
        "name": name,
        "capability": list(nvml.nvmlDeviceGetCudaComputeCapability(handle)),
        "driver": _read(lambda: text(nvml.nvmlSystemGetDriverVersion())),
        "cuda_driver": _read(nvml.nvmlSystemGetCudaDriverVersion),
        "memory_bytes": _read(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total),
        "power_limit_w": _read(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
        "power_limit_default_w": _read(lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1000),
        "clock_reasons": _read(lambda: clock_reasons(nvml)(handle)),
        "clock_max_mhz": _read(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, sm)),
        "clock_memory_max_mhz": _read(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        "clock_mhz": _read(lambda: nvml.nvmlDeviceGetClockInfo(handle, sm)),
        "temperature_c": _read(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        "ecc": _read(lambda: bool(nvml.nvmlDeviceGetEccMode(handle)[0])),
        "mig": _read(lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0])),
        "vbios": _read(lambda: text(nvml.nvmlDeviceGetVbiosVersion(handle))),
        "pcie": _read(lambda: _pcie(nvml, handle)),
        "persistence": _read(lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle))),
        "processes": _read(lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses(handle))),
    }


def clock_reasons(nvml: Any) -> Callable[[Any], int]:
    """NVML's question for the reasons of the present clocks, a bit each; older drivers call them throttle reasons."""
    found = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
    return found or nvml.nvmlDeviceGetCurrentClocksThrottleReasons


def _pcie(nvml: Any, handle: Any) -> str:
    generation = nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)
    return f"generation {generation}, {nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)} lanes"


def gpu_handle(nvml: Any, visible: str | None) -> Any:
    """NVML's handle of the first device of CUDA_VISIBLE_DEVICES (None: not set); a string says why there is none."""
    chosen = (visible or "0").split(",")[0].strip()
    count = nvml.nvmlDeviceGetCount()
    if not count:
        return "the NVIDIA driver lists no GPU"
    if chosen.isdigit():
        if int(chosen) >= count:
            return f"CUDA_VISIBLE_DEVICES asks for GPU {chosen}; the driver lists {count}"
        return nvml.nvmlDeviceGetHandleByIndex(int(chosen))
    return nvml.nvmlDeviceGetHandleByUUID(chosen.encode())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def onnxruntime(env: Environment) -> str | None:
    """The version of ONNX Runtime in a record's environment, by either name of its distributions."""
    packages = env.get("packages", {})
    found = packages.get("onnxruntime-gpu") or packages.get("onnxruntime")
    return found if isinstance(found, str) else None


def _torch_cuda() -> str | None:
    """The CUDA version torch was built for; None for a CPU build. Read from its version file, without importing it."""
    spec = find_spec("torch")
    if spec is None or not spec.origin:
        return None
    text = (Path(spec.origin).parent / "version.py").read_text()
    found = re.search(r"^cuda(?::[^=]+)?\s*=\s*['\"]([\d.]+)['\"]", text, re.M)
    return found.group(1) if found else None


def variables() -> dict[str, str]:
    """The set environment variables that change what is measured; a path is recorded as "set", not told."""
    chosen = {key: value for key, value in sorted(os.environ.items()) if VARIABLES.match(key)}
    return {key: "set" if "/" in value else value for key, value in chosen.items()}


def hardware(device: str, gpu: object, cpu: object, cores: object) -> str:
    """A machine by what cases run on there: a GPU's name, or a CPU's with its cores."""
    return str(gpu) if device == "cuda" else f"{cpu}, {cores} cores"


def device(env: Environment) -> str:
    """Where cases run: cuda if there is a GPU and torch was built for one, else cpu."""
    return "cuda" if not no_cuda(env) else "cpu"


def no_cuda(env: Environment) -> str | None:
    """Why this machine has no CUDA device; None if it has one."""
    if "none" in env["gpu"]:
        return str(env["gpu"]["none"])
    if not env["torch_cuda"] or unreadable(env["torch_cuda"]):
        return "torch is a CPU build: install a CUDA build of torch"
    return None
