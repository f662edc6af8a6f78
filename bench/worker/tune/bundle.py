"""In a child: compiles what networks run and what a tuner would try, for a bundle of kernels. No GPU is needed.

First what networks run now: of every layer, what the tables of the architecture's GPUs and the model choose. Then a
tuner's candidates, in the tuner's own order, costliest layers first. What is told of each candidate goes into the file
at once (`bench.tuning.bundle`), so whenever the time is up, the file holds what is worth most.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice, zip_longest
from pathlib import Path
from threading import Lock
from typing import Any

import triton
from triton.backends.nvidia import driver as nvidia

from bench.runs.kernel_jobs import BundleAnswer, BundleJob, CandidateEnd, MakerAnswer, MakerJob
from bench.tuning.gpus import PREDICTABLE, Gpu
from bench.tuning.networks import Network
from bench.tuning.order import Target, order_candidates, take_turns, time_shares
from bench.worker.static.compile_kernels import content, read_facts
from bench.worker.tune.search import Tell, _reason, network_rows
from kernels import table
from kernels.compiled.emit import cache_folder, compile_for
from kernels.launch import Compilation, compilations, serialized_parsing
from kernels.space.config import Config
from kernels.space.layer import Layer
from resnet.fused.carried import current_maker

Candidate = tuple[Layer, str]


def make(job: MakerJob, tell: Tell) -> MakerAnswer:
    """What would compile a bundle here."""
    return {"status": "ok", "maker": vars(current_maker(job.arch))}


def run(job: BundleJob, tell: Tell) -> BundleAnswer:
    """Tells `try [...]` and `done {...}` of each candidate, `also [...]` of libraries.

    `left`: how many it had no time for.
    """
    rows = network_rows(job.models, job.batches, job.precisions, job.image, lambda stage: None)
    for path in job.tables:
        table.install(table.installed_table().merge(table.Table.read(Path(path))))
    known = {(layer, config) for layer, configs in job.known.items() for config in configs}
    planned = [
        (layer, config)
        for layer, config in plan([Network.from_json(row) for row in rows], job.arch, job.candidates)
        if (layer.key, config) not in known
    ]
    work = _Work(job, tell)
    work.all(planned)
    return {"status": "ok", "left": work.left}


def plan(found: list[Network], arch: int, cap: int) -> Iterator[Candidate]:
    """What to compile, in the order of its worth, each once; `cap` candidates a layer."""
    gpus = [gpu for gpu in PREDICTABLE.values() if gpu.arch == arch]
    by_worth = time_shares(found, gpus[0])
    now = ((layer, str(table.config_for(layer, gpu.name, arch, gpu.sms))) for layer in by_worth for gpu in gpus)
    orders = [_order(by_worth, gpu, cap) for gpu in gpus]
    then = (candidate for turn in zip_longest(*orders) for candidate in turn if candidate)
    yield from dict.fromkeys([*now, *then])


def _order(by_worth: dict[Layer, float], gpu: Gpu, cap: int) -> Iterator[Candidate]:
    targets = [Target(layer, share, order_candidates(layer, gpu)[:cap]) for layer, share in by_worth.items()]
    return ((target.layer, config) for target, config in take_turns(targets))


class _Work:
    """Candidates compiled by several threads; layers share kernels, and none is compiled by two threads at once."""

    def __init__(self, job: BundleJob, tell: Tell) -> None:
        self.job, self.tell = job, tell
        self.lock, self.locks = Lock(), dict[str, Lock]()
        self.libraries = _Libraries()
        self.end = time.monotonic() + job.seconds
        self.left = 0

    def all(self, planned: Iterable[Candidate]) -> None:
        with serialized_parsing(), ThreadPoolExecutor(self.job.threads or None) as pool:
            waiting = iter(planned)
            while batch := list(islice(waiting, 64)):  # so that what is told first is worth most
                list(pool.map(self._one, batch))

    def _one(self, candidate: Candidate) -> None:
        layer, text = candidate
        if time.monotonic() > self.end:
            self.left += 1
            return
        self._say("try", [layer.key, text])
        told: CandidateEnd = {"layer": layer.key, "config": text, "folders": []}
        try:
            config = Config.parse(text)
            for compilation in compilations(layer, config):
                with self.lock:
                    alone = self.locks.setdefault(content(compilation), Lock())
                with alone:
                    told["folders"].append(str(self._kernel(compilation)))
        except Exception as error:
            told["folders"], told["failed"] = [], _reason(error)
        self._say("done", told)

    def _kernel(self, compilation: Compilation) -> Path:
        arch = self.job.arch
        read_facts(compilation, arch)
        kernel = compile_for(compilation, arch)
        if made := self.libraries.of(kernel):
            self._say("also", [str(path) for path in made])
        return cache_folder(kernel)

    def _say(self, verb: str, what: Any) -> None:
        with self.lock:
            self.tell(f"{verb} {json.dumps(what)}")


class _Libraries:
    """The C libraries by which Triton launches, which it builds at the first launch: 1.2 s each (gcc 12, 2-core Zen 5).

    3.6 builds one for each signature, and one for all; later versions that alone. They are linked with the driver's
    library, and where there is no driver, with one that has its functions by name and nothing in them: what is built
    names the driver's and takes it where it runs. A machine without a C compiler carries none; Triton builds its own.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.made: dict[str, list[Path]] = {}
        self.can = True

    def of(self, kernel: triton.compiler.CompiledKernel) -> list[Path]:
        """The folders in Triton's cache of those that this kernel is the first to need."""
        metadata = kernel.metadata
        key = str([list(kernel.src.signature.values()), getattr(metadata, "tensordesc_meta", None)])
        if not hasattr(nvidia, "make_launcher"):
            key = "all"
        with self.lock:
            if not self.can or key in self.made:
                return []
            try:
                self.made[key] = self._build(kernel, first=not self.made)
            except (OSError, RuntimeError, ImportError, AssertionError, subprocess.CalledProcessError):
                self.can = False
            return self.made.get(key, [])

    def _build(self, kernel: triton.compiler.CompiledKernel, first: bool) -> list[Path]:
        """By Triton itself, which keeps them as it will look for them."""
        found = []
        build = nvidia.compile_module_from_src

        def noted(*arguments: Any, **named: Any) -> Any:
            module = build(*arguments, **named)
            found.append(Path(module.__file__).parent)
            return module

        nvidia.compile_module_from_src = noted
        try:
            if first:
                _driver()
                nvidia.CudaUtils()
            if hasattr(nvidia, "make_launcher"):
                nvidia.CudaLauncher(kernel.src, kernel.metadata)
        finally:
            nvidia.compile_module_from_src = build
        return found


def _driver() -> None:
    """Has this process find the driver's library, or where there is none, one of its name with its names inside."""
    with suppress(AssertionError, OSError, subprocess.CalledProcessError):
        nvidia.libcuda_dirs()
        return
    source = Path(nvidia.__file__).with_name("driver.c").read_text() + Path(nvidia.__file__).read_text()
    names = sorted(set(re.findall(r"\b(cu[A-Z]\w*)\(", source)))
    home = Path(tempfile.mkdtemp(prefix="libcuda-"))  # for the life of this process, which ends with its job
    (home / "cuda.c").write_text("".join(f"void {name}(void) {{}}\n" for name in names))
    library = home / "libcuda.so.1"
    command = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(library), str(home / "cuda.c")]
    subprocess.run(["cc", *command], check=True, capture_output=True)
    triton.knobs.nvidia.libcuda_path = str(home)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
