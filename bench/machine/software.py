"""The software that works here: each package is imported in a separate process, each tool runs with --version.

An installed package may fail to import (a missing library, another build of a dependency), and on a machine that was
just started an import takes many times as long as later: both show here first.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from bench.machine.environment import PYTHON, child_variables

# Modules that the suite imports, the most important first, each with an expression that shows whether it is of use.
MODULES = {
    "torch": "torch.cuda.is_available() and torch.cuda.get_device_name(0)",
    "triton": "triton.backends.backends.keys()",
    "numpy": "",
    "onnxruntime": "onnxruntime.get_available_providers()",
    "pandas": "",
    "scipy.stats": "",
    "skimage": "",
    "pytest": "",
    "xdist": "",
    "hypothesis": "",
}
TOOLS = {
    "gcc": ("gcc", "--version"),
    "g++": ("g++", "--version"),
    # Triton builds its launchers with these two; it reads the path of libcuda from the loader's cache
    "Python.h": (
        *PYTHON,
        "-c",
        "import os, sysconfig; h = os.path.join(sysconfig.get_path('include'), 'Python.h');"
        " os.stat(h); print(sysconfig.get_python_version(), 'is there')",
    ),
    "libcuda": ("sh", "-c", "/sbin/ldconfig -p | grep -m1 'libcuda.so.1' || { echo not in the cache; exit 1; }"),
    "nvidia-smi": ("nvidia-smi", "-L"),
    "nvcc": ("nvcc", "--version"),
    "compute-sanitizer": ("compute-sanitizer", "--version"),
    "ncu": ("ncu", "--version"),
}
LIMIT_S = 25.0
AT_ONCE = 4  # processes; an import is a core's work and a disk's
PROGRAM = """
import importlib, json, sys
module = importlib.import_module({name!r})
top = sys.modules[{top!r}]
scope = {{{top!r}: top}}
detail = eval({expression!r}, scope) if {expression!r} else ""
print("\\nanswer:", json.dumps([str(getattr(top, "__version__", "")), str(detail)]))
"""


@dataclass(frozen=True)
class Software:
    """A module or tool with its version or, if it does not work, the reason."""

    name: str
    version: str
    seconds: float
    reason: str


def check_software() -> list[Software]:
    """Check all modules, then all tools, in the order of the tables."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tasks = [partial(_module, name, expression) for name, expression in MODULES.items()]
        tasks += [partial(_tool, name, argv) for name, argv in TOOLS.items()]
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def _module(name: str, expression: str) -> Software:
    program = PROGRAM.format(name=name, top=name.partition(".")[0], expression=expression)
    code, output, seconds = _run((*PYTHON, "-c", program))
    if code:
        return Software(name, "", seconds, _last_line(output))
    try:
        # others print at an interpreter's start and end
        version, detail = json.loads(re.findall(r"^answer: (.*)$", output, re.M)[-1])
    except (ValueError, IndexError):
        return Software(name, "", seconds, f"it printed {_last_line(output)!r}")
    return Software(name, f"{version} {detail}".strip(), seconds, "")


def _tool(name: str, argv: tuple[str, ...]) -> Software:
    code, output, seconds = _run(argv)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if code:
        return Software(name, "", seconds, _last_line(output))
    with_version = [line for line in lines if re.search(r"\d\.\d", line)]
    return Software(name, (with_version or lines or [""])[0], seconds, "")


def _run(argv: tuple[str, ...]) -> tuple[int, str, float]:
    """Run a command; return its exit code, its output and the seconds it took."""
    start = time.monotonic()
    try:
        process = subprocess.run(
            argv, env=child_variables(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=LIMIT_S, text=True, errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return 127, "not installed", time.monotonic() - start
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {LIMIT_S:.0f} s", time.monotonic() - start
    return process.returncode, process.stdout, time.monotonic() - start


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return (lines or ["it failed without a word"])[-1][:200]
