"""The description of this machine in records, read without torch so that the parent process never loads it.

A value that cannot be read is a string that starts with "unreadable:" and says why.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from bench.machine.facts import Environment, Gpu, Processor, Unreadable
from bench.machine.limits import cpu_quota
from bench.machine.provenance import ROOT as ROOT
from bench.machine.provenance import commit_of, unreadable
from kernels.cards.places import slug

T = TypeVar("T")

# The beginning of every child's command line. -P: else the modules of the current folder, which may be those of another
# checkout, come before those that `child_variables` name.
PYTHON = (sys.executable, "-P")

# distribution names, as pip knows them
PACKAGES = (
    "torch", "triton", "onnxruntime", "onnxruntime-gpu", "tensorrt", "onnx", "onnxscript", "openvino", "torchao",
    "numpy", "scipy", "pandas",
    "nvidia-ml-py", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "nvidia-cublas", "scikit-learn", "scikit-image", "pillow",
)  # fmt: skip
# Environment variables that affect measurements.
VARIABLES = re.compile(
    r"^(CUDA_|CUDNN_|CUBLAS_|NVIDIA_TF32|TORCH|PYTORCH_|INDUCTOR|TRITON_|OMP_|MKL_|KMP_|GOMP_|DNNL_|ONEDNN_|ORT_|LD_PRELOAD$"
    r"|MALLOC_|OPENBLAS_|PYTHONHASHSEED$|PYTHONOPTIMIZE$)"
)
CPU_FLAGS = (
    "avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx512_fp16", "amx_bf16", "amx_int8", "bf16", "asimdhp", "sve",
)  # fmt: skip


def devices() -> Environment:
    """Describe the processor, the GPU and what torch was built for alone, which decide what cases run here."""
    return {"cpu": cpu(), "gpu": gpu(), "torch_cuda": _read(_torch_cuda)}


def environment() -> Environment:
    """Describe this machine and its software for records, as JSON. Takes about 0.1 s."""
    return devices() | {
        "memory_bytes": _read(lambda: os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "virtual": _read(_virtual),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version for name in PACKAGES if (version := installed_version(name))},
        "git": commit_of(ROOT),
        "variables": variables(),
    }


def _read(read: Callable[[], T]) -> T | Unreadable:
    try:
        return read()
    except Exception as error:  # any reason why there is no value is recorded
        return Unreadable(f"unreadable: {type(error).__name__}: {error}")


def cpu() -> Processor:
    """Describe the processor: its name, the cores that this process may use, the instruction sets that matter here."""
    info = _read(lambda: Path("/proc/cpuinfo").read_text())
    name = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", info, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", info, re.M)
    present = flags.group(1).split() if flags else []
    return {
        "name": name.group(1).strip() if name else platform.processor() or platform.machine(),
        "cores": cores(),
        "quota": _read(cpu_quota),
        "flags": [flag for flag in CPU_FLAGS if flag in present],
        "governor": _read(lambda: Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()),
        "cache_bytes": cache_bytes(),
        "smt": _read(lambda: Path("/sys/devices/system/cpu/smt/active").read_text().strip() == "1"),
        "numa_nodes": _read(lambda: len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1),
    }


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_bytes() -> int | Unreadable:
    """Return the bytes of the last-level caches of all cores that this process may use."""
    return _read(_cache_bytes)


def _cache_bytes() -> int:
    sizes: dict[str, int] = {}  # by the cores that share the cache
    for core in os.sched_getaffinity(0):
        folders = Path(f"/sys/devices/system/cpu/cpu{core}/cache").glob("index*")
        last_level = max(folders, key=lambda folder: int((folder / "level").read_text()))
        kib = int((last_level / "size").read_text().strip().removesuffix("K"))
        sizes[(last_level / "shared_cpu_list").read_text()] = kib << 10
    return sum(sizes.values())


def _virtual() -> bool:
    return " hypervisor " in Path("/proc/cpuinfo").read_text().replace("\n", " ")


def child_variables(root: Path = ROOT) -> dict[str, str]:
    """Return the environment variables of a PYTHON child that imports this package from the checkout `root`."""
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    # what it prints comes to this process, so it need not fit into a terminal's encoding
    return os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8:replace"}


def gpus_hidden() -> bool:
    """Return whether CUDA_VISIBLE_DEVICES hides every GPU from this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and visible.split(",")[0].strip() in ("", "-1")


def gpu() -> Gpu:
    """Describe the first GPU in CUDA_VISIBLE_DEVICES; {"none": reason} without one."""
    if gpus_hidden():
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
    except (pynvml.NVMLError, ValueError) as error:  # ValueError: of `slug`, or of a name that is not UTF-8
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
    slug(name)  # raises ValueError for a name that no file can have: all files of a card are named after it
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
    """Return NVML's function for the bits of the current clocks' reasons; older drivers call them throttle reasons."""
    function = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
    return function or nvml.nvmlDeviceGetCurrentClocksThrottleReasons


def _pcie(nvml: Any, handle: Any) -> str:
    generation = nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)
    return f"generation {generation}, {nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)} lanes"


def gpu_handle(nvml: Any, visible: str | None) -> Any:
    """Return NVML's handle of the first device in CUDA_VISIBLE_DEVICES (None: unset), or the reason as a string."""
    first = (visible or "0").split(",")[0].strip()
    count = nvml.nvmlDeviceGetCount()
    if not count:
        return "the NVIDIA driver lists no GPU"
    if first.isdigit():
        if int(first) >= count:
            return f"CUDA_VISIBLE_DEVICES asks for GPU {first}; the driver lists {count}"
        return nvml.nvmlDeviceGetHandleByIndex(int(first))
    return nvml.nvmlDeviceGetHandleByUUID(first.encode())


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution; None if it is missing."""
    from importlib import metadata  # takes a third as long to import as all that `devices` needs

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def onnxruntime(env: Environment) -> str | None:
    """Return the version of ONNX Runtime in a record's environment, from either of its distributions."""
    packages = env.get("packages", {})
    version = packages.get("onnxruntime-gpu") or packages.get("onnxruntime")
    return version if isinstance(version, str) else None


def _torch_cuda() -> str | None:
    """Read the CUDA version that torch was built for from its version file; None for a CPU build."""
    spec = find_spec("torch")
    if spec is None or not spec.origin:
        return None
    text = (Path(spec.origin).parent / "version.py").read_text()
    match = re.search(r"^cuda(?::[^=]+)?\s*=\s*['\"]([\d.]+)['\"]", text, re.M)
    return match.group(1) if match else None


def variables() -> dict[str, str]:
    """Return the environment variables that affect measurements; the value of a path is "set"."""
    present = sorted((key, value) for key, value in os.environ.items() if VARIABLES.match(key))
    return {key: "set" if "/" in value else value for key, value in present}


def hardware(device: str, gpu: object, cpu: object, cores: object) -> str:
    """Return the name of the hardware that cases run on: the GPU's, or the CPU's with its cores."""
    return str(gpu) if device == "cuda" else f"{cpu}, {cores} cores"


def device(env: Environment) -> str:
    """Return the device that cases run on: cuda if there is a GPU and torch was built for one, else cpu."""
    return "cuda" if not no_cuda(env) else "cpu"


def no_cuda(env: Environment) -> str | None:
    """Return the reason why this machine has no CUDA device, or None."""
    if "none" in env["gpu"]:
        return str(env["gpu"]["none"])
    if not env["torch_cuda"] or unreadable(env["torch_cuda"]):
        return "torch is a CPU build: install a CUDA build of torch"
    return None
