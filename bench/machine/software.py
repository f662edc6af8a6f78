"""What is installed here and works: each package imported in a process of its own, each tool asked for its version.

An installed package may still not import (a library that is missing, another build of its neighbour), and on a machine
that was just started an import takes many times what it takes later: both are seen here first.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from bench.machine.environment import child_variables

# What the suite imports, the most important first, and what each must have to be of use.
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
    # Triton builds its launchers with these, by the driver's library that the loader's cache names
    "Python.h": (
        sys.executable,
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
more = eval({more!r}, scope) if {more!r} else ""
print(json.dumps([str(getattr(top, "__version__", "")), str(more)]))
"""


@dataclass(frozen=True)
class Found:
    """`version` is what it says of itself; `reason` why it is of no use, and then it has no version."""

    name: str
    version: str
    seconds: float
    reason: str


def software() -> list[Found]:
    """Modules, then tools, in the order above."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tasks = [partial(_module, name, more) for name, more in MODULES.items()]
        tasks += [partial(_tool, name, argv) for name, argv in TOOLS.items()]
        return [answer.result() for answer in [pool.submit(task) for task in tasks]]


def _module(name: str, more: str) -> Found:
    program = PROGRAM.format(name=name, top=name.partition(".")[0], more=more)
    code, words, spent = _run((sys.executable, "-c", program))
    if code:
        return Found(name, "", spent, _last(words))
    try:
        version, told = json.loads(words.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return Found(name, "", spent, f"it printed {_last(words)!r}")
    return Found(name, f"{version} {told}".strip(), spent, "")


def _tool(name: str, argv: tuple[str, ...]) -> Found:
    code, words, spent = _run(argv)
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    if code:
        return Found(name, "", spent, _last(words))
    telling = [line for line in lines if re.search(r"\d\.\d", line)]
    return Found(name, (telling or lines or [""])[0], spent, "")


def _run(argv: tuple[str, ...]) -> tuple[int, str, float]:
    """The exit code, all that was printed, and the seconds it took."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            argv, env=child_variables(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=LIMIT_S, text=True, errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return 127, "not installed", time.monotonic() - start
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {LIMIT_S:.0f} s", time.monotonic() - start
    return done.returncode, done.stdout, time.monotonic() - start


def _last(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return (lines or ["it failed without a word"])[-1][:200]
