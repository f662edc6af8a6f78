"""Prepared launches of a program's kernels: configurations, arguments and compiled code are determined once.

Triton's launcher binds and hashes some forty arguments at each launch: 16 us and more on a 2-core Zen 5 with other work
on it (2026-11-23), before it calls the driver. Here that is done once, and a launch is the launcher's last step, a call
of the compiled kernel with the same arguments: 2 us. An op with an `out` adds 60 us of checks and dispatch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor

from kernels import table
from kernels.call import Target as Target
from kernels.call import target_of as target_of
from kernels.cards.constants import install_measured
from kernels.cards.places import RESULTS, tuned_path
from kernels.kinds import implementation, space_of
from kernels.launch import INTERPRETED, Argument, Call, Launch, Operands, empty_output, serialized_parsing
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.machine import machine_of
from resnet.fused import carried

_installed_here: table.Table | None = None  # the table that `install_tuned` installed last


def install_tuned(gpu: str, results: Path = RESULTS) -> dict[str, Any]:
    """Install the table measured on cards of this name, unless this process installed one; return a record's details.

    `tables`: the files used, none if the cost model chooses; `choice`, `constants`: descriptions. Raises ValueError for
    a damaged file.
    """
    global _installed_here
    details = {"tables": [], "constants": install_measured(gpu, results)}
    if len(table.installed_table()) and table.installed_table() is not _installed_here:
        return details | {"choice": "a table that this process installed itself"}
    path = tuned_path(gpu, results)
    in_file = table.Table.read(path) if path.exists() else table.Table()
    measured = table.Table(entry for entry in in_file if entry.gpu == gpu and entry.chosen == "measured")
    table.install(measured)
    _installed_here = measured
    if not len(measured):
        return details | {"choice": f"the model's: no layer was measured on {gpu}"}
    return details | {"tables": [path.name], "choice": f"{len(measured)} layers measured on {gpu}"}


def config_of(layer: Layer, target: Target) -> Config:
    """Return a layer's configuration, from the installed table or the cost model. Raises ValueError for a bad entry."""
    config = table.config_for(layer, *target)
    if reason := space_of(layer).rejection_reason(layer, config, machine_of(target.arch).arch):
        raise ValueError(f"the table's configuration {config} for {layer.key}: {reason}; `bench tune` writes another")
    return config


def compile_together(launches: Iterable[Call]) -> bool:
    """Compile the launches' kernels that neither Triton's cache nor a bundle has, and return whether there were none.

    Nothing is launched. All cores compile at once, as the kernels of ResNet-50 take half a second each and the compiler
    releases the GIL.
    """
    if INTERPRETED:
        return True
    carried.install_bundle(triton.runtime.driver.active.get_current_target().arch)
    hits = []

    def record_hit(*, cache_hit: bool, **_: Any) -> None:
        hits.append(cache_hit)

    listener, triton.knobs.compilation.listener = triton.knobs.compilation.listener, record_hit
    try:
        with serialized_parsing(), ThreadPoolExecutor(os.cpu_count()) as pool, triton.AsyncCompileMode(pool):
            for launch, arguments in launches:
                launch.kernel.warmup(*arguments, grid=launch.grid, **launch.constants, **launch.options)
    finally:
        triton.knobs.compilation.listener = listener
    return all(hits)


def compile_layers(layers: Iterable[Layer], device: torch.device) -> bool:
    """Do the same as `compile_together` for layers, on uninitialised operands that live until the next layer's."""

    def calls() -> Iterator[Call]:
        for layer in layers:
            target = target_of(device, layer.dtype)
            assert target is not None
            config, operands = config_of(layer, target), Operands.empty(layer, str(device))
            yield from implementation(layer, config).calls(layer, config, operands, empty_output(layer, device))

    return compile_together(calls())


def bind_launch(launch: Launch, arguments: list[Argument], *, takes_input: bool = False) -> Callable[..., Any]:
    """Return a call that launches on the current stream with little overhead.

    With `takes_input` the call takes the launch's first argument. The kernel is launched once here, on the memory's
    present content.
    """
    fixed = slice(1, None) if takes_input else slice(None)
    slow = partial(_call_with, launch.enqueue, arguments[fixed])
    if INTERPRETED:
        return slow
    compiled = launch.enqueue(*arguments)
    names = launch.kernel.arg_names
    by_name = dict(zip(names, arguments, strict=False)) | dict(launch.constants)
    all_arguments = [by_name[name] for name in names]
    run = compiled[(*launch.grid, 1, 1)[:3]]
    try:
        run(*all_arguments)
    except TypeError:  # another version of Triton, with another signature of compiled kernels
        return slow
    return partial(_call_with, run, all_arguments[fixed])


def _call_with(run: Callable[..., Any], arguments: list[Any], *first: Tensor) -> Any:
    return run(*first, *arguments)
