"""The kernels of a bundle, compiled: those that networks run, and those a tuner would try. No GPU is needed.

The first are the configurations that the tables of the architecture's GPUs and the model choose for every layer. Then
come a tuner's candidates in the tuner's order, costliest layers first. The parent writes each into the file as it is
sent (`bench.tuning.bundle`), so whenever the time is up, the file holds the kernels that are worth most.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import zip_longest
from pathlib import Path
from threading import Lock
from typing import Any
from unittest.mock import patch

import triton
from triton.backends.nvidia import driver as nvidia

from bench.files import owned_folder
from bench.runs.job import Notify
from bench.runs.kernel_jobs import BundleAnswer, BundleJob, CandidateEnd, MakerAnswer, MakerJob
from bench.tuning.gpus import PREDICTABLE, Gpu
from bench.tuning.networks import Network
from bench.tuning.order import Target, order_candidates, take_turns, time_shares
from bench.worker.static.compile_kernels import compiler_input, read_facts
from bench.worker.tune.search import _reason, network_rows
from kernels import table
from kernels.compiled.emit import cache_folder, compile_for
from kernels.launch import Compilation, compilations, serialized_parsing
from kernels.space.config import Config
from kernels.space.layer import Layer
from resnet.fused.carried import current_maker

Candidate = tuple[Layer, str]


def read_maker(job: MakerJob, notify: Notify) -> MakerAnswer:
    """Return the versions that would compile a bundle here."""
    return {"status": "ok", "maker": vars(current_maker(job.arch))}


def compile_candidates(job: BundleJob, notify: Notify) -> BundleAnswer:
    """Compile candidates until the time is up; `left` is how many are left.

    It sends `try [...]` and `done {...}` for each candidate, and `also [...]` for libraries.
    """
    rows = network_rows(job, lambda stage: None)
    for path in job.tables:
        table.install(table.installed_table().merge(table.Table.read(Path(path))))
    compiled_before = {(layer, config) for layer, configs in job.compiled.items() for config in configs}
    candidates = [
        (layer, config)
        for layer, config in plan_candidates([Network.from_json(row) for row in rows], job.arch, job.candidates)
        if (layer.key, config) not in compiled_before
    ]
    compiler = _Compiler(job, notify)
    compiler.compile_all(candidates)
    return {"status": "ok", "left": compiler.left}


def plan_candidates(networks: list[Network], arch: int, cap: int) -> Iterator[Candidate]:
    """Yield what to compile, once each, by descending worth; at most `cap` candidates a layer."""
    gpus = [gpu for gpu in PREDICTABLE.values() if gpu.arch == arch]
    by_worth = time_shares(networks, gpus[0])
    chosen = ((layer, str(table.config_for(layer, gpu.name, arch, gpu.sms))) for layer in by_worth for gpu in gpus)
    orders = [_order(by_worth, gpu, cap) for gpu in gpus]
    others = (candidate for turn in zip_longest(*orders) for candidate in turn if candidate)
    yield from dict.fromkeys([*chosen, *others])


def _order(by_worth: dict[Layer, float], gpu: Gpu, cap: int) -> Iterator[Candidate]:
    """Yield the candidates in the order in which a tuner on `gpu` would try them."""
    targets = [Target(layer, share, order_candidates(layer, gpu)[:cap]) for layer, share in by_worth.items()]
    return ((target.layer, config) for target, config in take_turns(targets))


class _Compiler:
    """Compiles candidates in several threads. Layers share kernels; no two threads compile the same one at once."""

    def __init__(self, job: BundleJob, notify: Notify) -> None:
        self.job, self.notify = job, notify
        self.lock, self.locks = Lock(), dict[str, Lock]()
        self.libraries = _Libraries()
        self.end = time.monotonic() + job.seconds
        self.left = 0

    def compile_all(self, candidates: Iterable[Candidate]) -> None:
        """Begin the candidates in order; those that there is no time for count as `left`."""
        with serialized_parsing(), ThreadPoolExecutor(self.job.threads or None) as pool:
            list(pool.map(self._compile, candidates))

    def _compile(self, candidate: Candidate) -> None:
        layer, text = candidate
        if time.monotonic() > self.end:
            self.left += 1
            return
        self._send("try", [layer.key, text])
        ended: CandidateEnd = {"layer": layer.key, "config": text, "folders": []}
        try:
            config = Config.parse(text)
            for compilation in compilations(layer, config):
                with self.lock:
                    kernel_lock = self.locks.setdefault(compiler_input(compilation), Lock())
                with kernel_lock:
                    ended["folders"].append(str(self._compile_kernel(compilation)))
        except Exception as error:
            ended["folders"], ended["failed"] = [], _reason(error)
        self._send("done", ended)

    def _compile_kernel(self, compilation: Compilation) -> Path:
        """Compile a kernel and return its folder in Triton's cache."""
        arch = self.job.arch
        read_facts(compilation, arch)
        kernel = compile_for(compilation, arch)
        if folders := self.libraries.build_for(kernel):
            self._send("also", [str(path) for path in folders])
        return cache_folder(kernel)

    def _send(self, verb: str, content: Any) -> None:
        with self.lock:
            self.notify(f"{verb} {json.dumps(content)}")


class _Libraries:
    """The C libraries with which Triton launches. It builds each at its first launch: 1.2 s (gcc 12, 2-core Zen 5).

    Triton 3.6 builds one for each signature and one for all; later versions build only the latter. They are linked with
    the driver's library. Where there is no driver, they are linked with a library of the same name whose functions are
    empty, and load the driver's where they run. A machine without a C compiler builds none; then Triton builds them.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.folders: dict[str, list[Path]] = {}
        self.can_build = True

    def build_for(self, kernel: triton.compiler.CompiledKernel) -> list[Path]:
        """Build the libraries that this kernel is the first to need; return their folders in Triton's cache."""
        metadata = kernel.metadata
        key = str([list(kernel.src.signature.values()), getattr(metadata, "tensordesc_meta", None)])
        if not hasattr(nvidia, "make_launcher"):
            key = "all"
        with self.lock:
            if not self.can_build or key in self.folders:
                return []
            try:
                self.folders[key] = self._build(kernel, first=not self.folders)
            except (OSError, RuntimeError, ImportError, AssertionError, subprocess.CalledProcessError):
                self.can_build = False
            return self.folders.get(key, [])

    def _build(self, kernel: triton.compiler.CompiledKernel, first: bool) -> list[Path]:
        """Have Triton build the libraries, so that they are in its cache as it will look for them."""
        folders = []
        build = nvidia.compile_module_from_src

        def record_folder(*arguments: Any, **named: Any) -> Any:
            module = build(*arguments, **named)
            folders.append(Path(module.__file__).parent)
            return module

        with patch.object(nvidia, "compile_module_from_src", record_folder):
            if first:
                _find_driver()
                nvidia.CudaUtils()
            if hasattr(nvidia, "make_launcher"):
                nvidia.CudaLauncher(kernel.src, kernel.metadata)
        return folders


_FOLDERS = ExitStack()  # what is there for as long as this process lives, which ends with its job


def _find_driver() -> None:
    """Have this process find the driver's library; where there is none, build one with the same name and functions."""
    with suppress(AssertionError, OSError, subprocess.CalledProcessError):
        nvidia.libcuda_dirs()
        return
    source = Path(nvidia.__file__).with_name("driver.c").read_text() + Path(nvidia.__file__).read_text()
    names = sorted(set(re.findall(r"\b(cu[A-Z]\w*)\(", source)))
    home = _FOLDERS.enter_context(owned_folder("libcuda"))
    (home / "cuda.c").write_text("".join(f"void {name}(void) {{}}\n" for name in names))
    library = home / "libcuda.so.1"
    command = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(library), str(home / "cuda.c")]
    subprocess.run(["cc", *command], check=True, capture_output=True)
    triton.knobs.nvidia.libcuda_path = str(home)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
