"""The kernels that networks run, compiled for each architecture, and facts of the emitted code. No GPU is needed.

    points (network, batch, precision) -> layers -> configurations -> compilations, each once -> facts

Children take layers and their kernels from one queue until it is empty (`_claim`): the configurations of a layer take
0.1 s a card to choose, and many layers share a kernel, which one child compiles. Triton caches what it compiles.
Beside it lies what `kernels.compiled.emit` read from the code, because reading takes as long as compiling (0.3 s a
kernel, 2-core Zen 5, 2026-11-23).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property, reduce
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import triton

from bench.plans.words import matches
from bench.runs.kernel_jobs import KernelsAnswer, KernelsJob
from bench.runs.wire import Json
from kernels import table
from kernels.cards.archs import ARCHS
from kernels.cards.cards import CARDS
from kernels.cards.constants import install_measured
from kernels.cards.files import write_atomic
from kernels.compiled import emit, facts, hazards, sass
from kernels.compiled.facts import KernelFacts
from kernels.launch import Compilation, compilations
from kernels.space.config import Config
from kernels.space.conv import candidates
from kernels.space.layer import Layer
from kernels.space.registers import may_spill
from resnet.fused.layers import layers_of

IMAGE = 224

# The cards, by architecture, for which tables and the model choose configurations.
GPUS = {arch: tuple(card.name for card in CARDS if card.arch == arch) for arch in dict.fromkeys(c.arch for c in CARDS)}

# The model never chooses bulk copies; only a measured table does. Where no table has one, the model's best of them is
# compiled too, so that changes of these kernels show before there is a measured table.
BULK_ARCHS, BULK_OF = (90, 100), (32, "fp16")


@dataclass(frozen=True)
class Planned:
    """A compilation and its use, `configuration/network/layer`.

    A layer without a configuration has the reason in place of the compilation.
    """

    arch: int
    kernel: str
    compilation: Compilation | str
    use: str

    @property
    def name(self) -> str:
        """The architecture, the kernel and the use."""
        return f"sm_{self.arch} {self.kernel} {self.use}"

    @cached_property
    def key(self) -> str:
        """A digest of all that the compiler sees, which many layers share."""
        seen = self.name if isinstance(self.compilation, str) else f"{self.arch} {compiler_input(self.compilation)}"
        return sha256(seen.encode()).hexdigest()


def compile_claimed(job: KernelsJob, notify: Callable[[str], None]) -> KernelsAnswer:
    """Compile the kernels that this child claims; sends the layers done and in all, and the kernel, before each."""
    for name in ("nvdisasm", "cuobjdump"):
        emit.nvidia_tool(name)
    measured = reduce(table.Table.merge, (table.Table.read(Path(path)) for path in job.tables), table.Table())
    table.install(measured)
    for card in CARDS:
        install_measured(card.name)
    unknown = {entry.gpu for entry in measured} - {gpu for gpus in GPUS.values() for gpu in gpus}
    places = list(_places(job))
    layers, outcomes = dict[str, list[Json]](), dict[str, Json]()
    for place, (layer, arch, use) in enumerate(places):
        if not _claim(job, str(place)):
            continue
        kernels = layers[str(place)] = []
        for planned in _planned(layer, arch, use):
            kernels.append({"key": planned.key, "arch": arch, "kernel": planned.kernel, "use": planned.use})
            if planned.key not in outcomes and _claim(job, planned.key):
                notify(f"{len(layers) - 1} {len(places)} {planned.name}")
                outcomes[planned.key] = _compiled(planned, job.broken)
    versions = {"triton": triton.__version__, "unknown": sorted(unknown)}
    return {"status": "ok", "layers": layers, "outcomes": outcomes, **versions}  # type: ignore[typeddict-item]


def _places(job: KernelsJob) -> Iterator[tuple[Layer, int, str]]:
    """Yield each layer, the architecture and its `network/layer`, in the same order in every process."""
    for arch, points in job.points.items():
        for model, batch, precision in points:
            for layer in dict.fromkeys(layers_of(model, batch, IMAGE, precision)):
                if matches(use := f"{model}/{layer.key}", job.globs):
                    yield layer, int(arch), use


def _claim(job: KernelsJob, item: str) -> bool:
    """Return whether an item is this child's: it makes a link, which one process alone can, or made it before."""
    link = Path(job.queue, item)
    with suppress(FileExistsError):
        link.symlink_to(str(job.number))
    return os.readlink(link) == str(job.number)


def _compiled(planned: Planned, broken: dict[str, str]) -> dict[str, Any]:
    if planned.name in broken:
        return {"failed": broken[planned.name]}
    if isinstance(planned.compilation, str):
        return {"failed": planned.compilation}
    try:
        return {"facts": asdict(read_facts(planned.compilation, planned.arch))}
    except Exception as error:  # every error of the compiler is a result
        return {"failed": _brief(error)}


def _planned(layer: Layer, arch: int, use: str) -> list[Planned]:
    try:
        return [
            Planned(arch, _kernel_name(compilation), compilation, f"{config}/{use}")
            for config, compilation in _compilations(layer, arch)
        ]
    except Exception as error:
        return [Planned(arch, "none", f"no configuration: {_brief(error)}", f"none/{use}")]


def _compilations(layer: Layer, arch: int) -> Iterator[tuple[Config, Compilation]]:
    """Yield the layer's configurations on an architecture, with each compilation that they need."""
    configs = [table.config_for(layer, gpu, arch) for gpu in GPUS[arch]]
    bulk = arch in BULK_ARCHS and (layer.n, layer.dtype) == BULK_OF and layer.kind == "conv"
    if bulk and all(config.impl != "tma" for config in configs):
        bulk_configs = (
            config for config in candidates(layer, arch) if config.impl == "tma" and not may_spill(layer, config, arch)
        )
        configs += list(islice(bulk_configs, 1))
    for config in dict.fromkeys(configs):
        for compilation in compilations(layer, config):
            yield config, compilation


def _kernel_name(compilation: Compilation) -> str:
    """Return `conv` for `conv._kernel`, `conv_reduce` for `conv._reduce`."""
    function = compilation.kernel.fn
    file = function.__module__.rpartition(".")[2]
    return file + function.__name__.removeprefix("_kernel")


def compiler_input(compilation: Compilation) -> str:
    """Return all that the compiler sees, but for the architecture."""
    parts: list[Mapping[Any, Any]] = [compilation.signature, compilation.constants]
    parts += [compilation.attributes, compilation.options]
    return repr([_kernel_name(compilation), *(sorted(part.items(), key=repr) for part in parts)])


def read_facts(compilation: Compilation, arch: int) -> KernelFacts:
    """Return the facts of a kernel's machine code, which are cached beside it in Triton's cache."""
    kernel = emit.compile_for(compilation, arch)
    path = emit.cache_folder(kernel) / f"{_reader_digest(arch)}.emitted"
    with suppress(OSError, ValueError):
        return KernelFacts(**json.loads(path.read_text()))
    emitted = emit.emit(compilation, arch)
    with suppress(OSError):
        write_atomic(path, json.dumps(asdict(emitted)).encode())
    return emitted


@cache
def _reader_digest(arch: int) -> str:
    """Return a digest of the modules that read the code and of their table, so that no stale file is used."""
    sources = b"".join(Path(str(module.__file__)).read_bytes() for module in (emit, facts, hazards, sass))
    return sha256(sources + str(ARCHS[arch]).encode()).hexdigest()[:16]


def _brief(error: Exception) -> str:
    """Return the type of an error and its last two lines: Triton's errors begin with the source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[-2:])[-400:]}"
