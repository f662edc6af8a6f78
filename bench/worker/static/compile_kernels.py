"""In a child: what the compiler emits for the kernels that networks run, on each architecture. No GPU is needed.

    points (network, batch, precision) -> layers -> configurations -> compilations, each once -> facts

Many layers share a kernel: their compilations are equal in all that the compiler sees. What is compiled, Triton itself
keeps, and with it what `kernels.compiled.emit` read off, for reading takes as long as compiling (0.3 s a kernel,
2-core Zen 5, 2026-11-23).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import triton

from bench.plans.words import matches
from bench.runs.kernel_jobs import KernelsAnswer, KernelsJob, Point
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

# The cards whose networks are watched, by architecture: what tables and the model choose for each.
GPUS = {arch: tuple(card.name for card in CARDS if card.arch == arch) for arch in dict.fromkeys(c.arch for c in CARDS)}

# The model chooses no bulk copies, which are for those who measure. So that these kernels are watched before there is a
# measured table, the model's best of them is compiled too where no table has one.
BULK_ARCHS, BULK_OF = (90, 100), (32, "fp16")


@dataclass
class Planned:
    """One compilation and all that it is for. `uses`: `configuration/network/layer`.

    A layer that no configuration can be found for has the reason in place of a compilation.
    """

    arch: int
    kernel: str
    compilation: Compilation | str
    uses: dict[str, None] = field(default_factory=dict)  # a set that keeps its order

    @property
    def name(self) -> str:
        return f"sm_{self.arch} {self.kernel} {next(iter(self.uses))}"


def run(job: KernelsJob, tell: Callable[[str], None]) -> KernelsAnswer:
    """The answer to `accepted.job`: a row for each of this part's kernels. Tells `done total name` before each."""
    for name in ("nvdisasm", "cuobjdump"):
        emit.nvidia_tool(name)
    measured = _merged(job.tables)
    table.install(measured)
    for card in CARDS:
        install_measured(card.name)
    unknown = {entry.gpu for entry in measured} - {gpu for gpus in GPUS.values() for gpu in gpus}
    found = plan({int(arch): points for arch, points in job.points.items()}, job.globs)
    mine = list(islice(found, job.part, None, job.parts))
    rows: list[Json] = []
    for done, planned in enumerate(mine):
        tell(f"{done} {len(mine)} {planned.name}")
        row = {"arch": planned.arch, "kernel": planned.kernel, "uses": list(planned.uses)}
        rows.append(row | _compiled(planned, job.broken))
    return {"status": "ok", "rows": rows, "triton": triton.__version__, "unknown": sorted(unknown)}


def _compiled(planned: Planned, broken: dict[str, str]) -> dict[str, Any]:
    if planned.name in broken:
        return {"failed": broken[planned.name]}
    if isinstance(planned.compilation, str):
        return {"failed": planned.compilation}
    try:
        return {"facts": asdict(read_facts(planned.compilation, planned.arch))}
    except Exception as error:  # whatever the compiler has against it, it is the row's content
        return {"failed": _brief(error)}


def plan(points: dict[int, list[Point]], globs: list[str]) -> list[Planned]:
    """Each different compilation once, the same list in every process, architecture by architecture."""
    found: dict[str, Planned] = {}
    for arch, wanted in points.items():
        for model, batch, precision in wanted:
            for layer in dict.fromkeys(layers_of(model, batch, IMAGE, precision)):
                use = f"{model}/{layer.key}"
                for planned in _planned(layer, arch, use) if matches(use, globs) else ():
                    told = planned.compilation
                    told = planned.name if isinstance(told, str) else f"{arch} {content(told)}"
                    found.setdefault(told, planned).uses.update(planned.uses)
    return list(found.values())


def _planned(layer: Layer, arch: int, use: str) -> list[Planned]:
    try:
        return [Planned(arch, _name(found), found, {f"{config}/{use}": None}) for config, found in _cut(layer, arch)]
    except Exception as error:
        return [Planned(arch, "none", f"no configuration: {_brief(error)}", {f"none/{use}": None})]


def _cut(layer: Layer, arch: int) -> Iterator[tuple[Config, Compilation]]:
    """Its configurations on an architecture, each with the compilations that it needs."""
    configs = [table.config_for(layer, gpu, arch) for gpu in GPUS[arch]]
    bulk = arch in BULK_ARCHS and (layer.n, layer.dtype) == BULK_OF and layer.kind == "conv"
    if bulk and all(config.impl != "tma" for config in configs):
        others = (
            config for config in candidates(layer, arch) if config.impl == "tma" and not may_spill(layer, config, arch)
        )
        configs += list(islice(others, 1))
    for config in dict.fromkeys(configs):
        for compilation in compilations(layer, config):
            yield config, compilation


def _name(compilation: Compilation) -> str:
    """`conv` for `conv._kernel`, `conv_reduce` for `conv._reduce`."""
    function = compilation.kernel.fn
    file = function.__module__.rpartition(".")[2]
    return file + function.__name__.removeprefix("_kernel")


def content(compilation: Compilation) -> str:
    """All that the compiler is told, but for the architecture."""
    parts: list[Mapping[Any, Any]] = [compilation.signature, compilation.constants]
    parts += [compilation.attributes, compilation.options]
    return repr([_name(compilation), *(sorted(part.items(), key=repr) for part in parts)])


def read_facts(compilation: Compilation, arch: int) -> KernelFacts:
    """Return the facts of a kernel's machine code, which are kept beside it in Triton's cache."""
    kernel = emit.compile_for(compilation, arch)
    path = emit.cache_folder(kernel) / f"{_reader(arch)}.emitted"
    with suppress(OSError, ValueError):
        return KernelFacts(**json.loads(path.read_text()))
    emitted = emit.emit(compilation, arch)
    with suppress(OSError):
        write_atomic(path, json.dumps(asdict(emitted)).encode())
    return emitted


@cache
def _reader(arch: int) -> str:
    """Return a digest of the code that reads facts and of the architecture, so that older facts are not used."""
    sources = b"".join(Path(str(module.__file__)).read_bytes() for module in (emit, facts, hazards, sass))
    return sha256(sources + str(ARCHS[arch]).encode()).hexdigest()[:16]


def _merged(paths: list[str]) -> table.Table:
    found = table.Table()
    for path in paths:
        found = found.merge(table.Table.read(Path(path)))
    return found


def _brief(error: Exception) -> str:
    """Triton's errors show the source first and end in what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[-2:])[-400:]}"
