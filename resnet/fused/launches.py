"""A program's kernels with everything worked out but the moment: configurations, arguments, compiled code.

Triton's own launcher binds and hashes some forty arguments at each launch: 16 us and more on a 2-core Zen 5 with other
work on it (2026-11-23), before the driver is asked. Here that is done once, and a launch is what the launcher ends in,
the compiled kernel called with the same arguments: 2 us. An op with an `out` adds 60 us of checks and dispatch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from kernels import table
from kernels.cards.constants import install_measured
from kernels.cards.places import RESULTS, tuned_path
from kernels.kinds import implementation, rejection_reason
from kernels.launch import INTERPRETED, Argument, Launch, Operands, empty_output, serialized_parsing
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.machine import machine_of
from resnet.fused import carried

Bound = tuple[Launch, list[Argument]]


_ours: table.Table | None = None  # what `use_tuned` installed last


class Target(NamedTuple):
    """What kernels are cut for: a GPU by name, compute capability as 90, number of SMs."""

    gpu: str
    arch: int
    sms: int | None


# what is interpreted is cut as for the oldest architecture that the kernels are for
INTERPRETER = Target("", 80, None)


def use_tuned(gpu: str, results: Path = RESULTS) -> dict[str, Any]:
    """Installs what was measured on cards of this name, unless this process has a table already; what a record says.

    `tables`: the files, none where the model chooses; `choice` and `constants`: the same in words. Raises ValueError
    for a file that is damaged.
    """
    global _ours
    known = install_measured(gpu, results)
    if len(table.installed_table()) and table.installed_table() is not _ours:
        return {"tables": [], "choice": "a table that this process installed itself", "constants": known}
    path = tuned_path(gpu, results)
    every = table.Table.read(path) if path.exists() else table.Table()
    found = table.Table(entry for entry in every if entry.gpu == gpu and entry.chosen == "measured")
    table.install(found)
    _ours = found
    if not len(found):
        return {"tables": [], "choice": f"the model's: no layer was measured on {gpu}", "constants": known}
    return {"tables": [path.name], "choice": f"{len(found)} layers measured on {gpu}", "constants": known}


def target_of(device: torch.device, precision: str) -> Target | None:
    """None where aten computes: on a CPU, unless that interprets, and then for bf16, which Triton interprets wrong."""
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return Target(found.name, found.major * 10 + found.minor, found.multi_processor_count)
    return INTERPRETER if INTERPRETED and precision != "bf16" else None


def config_of(layer: Layer, target: Target) -> Config:
    """By the installed table, else by the model. Raises ValueError for an entry that cannot be."""
    config = table.config_for(layer, *target)
    if reason := rejection_reason(layer, config, machine_of(target.arch).arch):
        raise ValueError(f"the table's configuration {config} for {layer.key}: {reason}; `bench tune` writes another")
    return config


def launches_of(
    layer: Layer, config: Config, operands: Operands, out: Tensor, scratch: Tensor | None = None
) -> Iterator[Bound]:
    """A layer's kernels; `scratch` is for what they pass between them, `scratch_bytes` of it."""
    return implementation(layer, config).calls(layer, config, operands, out, scratch)


def scratch_bytes(layer: Layer, config: Config) -> int:
    """Partial sums of a split depth, in float32; averages that another kernel multiplies."""
    return implementation(layer, config).scratch_bytes(layer, config)


def compile_together(launches: Iterable[Bound]) -> bool:
    """Compiles what the launches need and neither Triton's cache nor a bundle has; nothing is launched. Whether it had
    everything.

    On all cores at once: one after the other the kernels of ResNet-50 take half a second each. The compiler itself
    holds no lock of Python's.
    """
    if INTERPRETED:
        return True
    carried.use(triton.runtime.driver.active.get_current_target().arch)
    hits = []

    def listen(*, cache_hit: bool, **_: Any) -> None:
        hits.append(cache_hit)

    listener, triton.knobs.compilation.listener = triton.knobs.compilation.listener, listen
    try:
        with serialized_parsing(), ThreadPoolExecutor(os.cpu_count()) as pool, triton.AsyncCompileMode(pool):
            for launch, arguments in launches:
                launch.kernel.warmup(*arguments, grid=launch.grid, **launch.constants, **launch.options)
    finally:
        triton.knobs.compilation.listener = listener
    return all(hits)


def compile_layers(layers: Iterable[Layer], device: torch.device) -> bool:
    """The same for layers whose operands are not there yet."""
    return compile_together(_momentary(layers, device))


def _momentary(layers: Iterable[Layer], device: torch.device) -> Iterator[Bound]:
    for layer in layers:
        target = target_of(device, layer.dtype)
        assert target is not None
        operands, out = Operands.empty(layer, str(device)), empty_output(layer, device)
        yield from launches_of(layer, config_of(layer, target), operands, out)


def ready(launch: Launch, arguments: list[Argument], *, opened: bool = False) -> Callable[..., Any]:
    """A launch on the current stream, as short as it can be; `opened`: its first argument comes with each call.

    What is compiled is launched once here, on whatever the memory holds.
    """
    kept = slice(1, None) if opened else slice(None)
    slow = partial(_launch, launch.enqueue, arguments[kept])
    if INTERPRETED:
        return slow
    compiled = launch.enqueue(*arguments)
    names = launch.kernel.arg_names
    given = dict(zip(names, arguments, strict=False)) | dict(launch.constants)
    everything = [given[name] for name in names]
    run = compiled[(*launch.grid, 1, 1)[:3]]
    try:
        run(*everything)
    except TypeError:  # another Triton, whose compiled kernels take their arguments in another way
        return slow
    return partial(_launch, run, everything[kept])


def _launch(run: Callable[..., Any], arguments: list[Any], *first: Tensor) -> Any:
    return run(*first, *arguments)
