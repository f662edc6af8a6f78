"""A program's kernels with everything worked out but the moment: configurations, arguments, compiled code.

Triton's own launcher binds and hashes some forty arguments at each launch: 16 us and more on a 2-core Zen 5 with other
work on it (2026-11-23), before the driver is asked. Here that is done once, and a launch is what the launcher ends in,
the compiled kernel called with the same arguments: 2 us. An op with an `out` adds 60 us of checks and dispatch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.jit import JITFunction

from kernels import conv, conv_tma, head, stem, table
from kernels.config import Config, Layer
from kernels.launch import INTERPRETED, Argument, Launch, Operands, output

Bound = tuple[Launch, list[Argument]]

TUNED = Path(__file__).parents[1] / "results" / "tuned"  # configurations that were measured, a table for each GPU


class Target(NamedTuple):
    """What kernels are cut for: a GPU by name, compute capability as 90, number of SMs."""

    gpu: str
    arch: int
    sms: int | None


# what is interpreted is cut as for the oldest architecture that the kernels are for
INTERPRETER = Target("", 80, None)


def use_tuned() -> list[str]:
    """Installs the tables that the tuner left, unless this process has one already; which files they are."""
    if len(table._installed):
        return []
    files = sorted(TUNED.glob("*.json"))
    table.use(table.Table(entry for file in files for entry in table.Table.load(file)))
    return [file.name for file in files]


def target_of(device: torch.device, precision: str) -> Target | None:
    """None where aten computes: on a CPU, unless that interprets, and then for bf16, which Triton interprets wrong."""
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return Target(found.name, found.major * 10 + found.minor, found.multi_processor_count)
    return INTERPRETER if INTERPRETED and precision != "bf16" else None


def conv_config(layer: Layer, target: Target) -> Config:
    """By the installed table, else by the model."""
    return table.config_for(layer, *target)


def conv_launches(
    layer: Layer, config: Config, operands: Operands, out: Tensor, parts: Tensor | None = None
) -> Iterator[Bound]:
    """A convolution; `parts` is for the partial sums of a split depth, bytes as `scratch_bytes` says."""
    sums = None if parts is None else parts.view(torch.float32)
    return (conv_tma if config.impl == "tma" else conv).calls(layer, config, operands, out, sums)


def scratch_bytes(layer: Layer, config: Config) -> int:
    """Partial sums in float32, of every program that shares a tile's depth."""
    return 4 * conv.parts_of(layer, config)


def stem_launches(layer: Layer, target: Target, operands: Operands, out: Tensor) -> Iterator[Bound]:
    """The first convolution and its pool: one kernel, whose first argument is the input."""
    launch = stem.stem_launch(layer, stem.default(layer, target.arch, target.sms))
    yield launch, [operands.x, operands.weight, operands.bias, out, layer.n]


def head_launches(layer: Layer, target: Target, operands: Operands, out: Tensor) -> Iterator[Bound]:
    """The average and the classifier; averages and partial sums get memory of their own."""
    config = head.default(layer, target.arch, target.sms, target.gpu)
    return head.calls(layer, config, operands, out)


def own_bytes(launches: Iterable[Bound], operands: Operands, out: Tensor) -> int:
    """Bytes of the memory that the launches pass between them: neither operands nor result."""
    o = operands
    known = {t.data_ptr() for t in (o.x, o.weight, o.bias, o.residual, o.x2, o.scale, o.shift, out) if t is not None}
    given = (a for _, arguments in launches for a in arguments if isinstance(a, Tensor))
    return sum({t.data_ptr(): t.nbytes for t in given if t.data_ptr() not in known}.values())


def compile_together(launches: Iterable[Bound]) -> bool:
    """Compiles what the launches need and Triton has not in its cache; nothing is launched. Whether it had everything.

    On all cores at once: one after the other the kernels of ResNet-50 take half a second each. The compiler itself
    holds no lock of Python's.
    """
    if INTERPRETED:
        return True
    hits = []

    def listen(*, cache_hit: bool, **_: Any) -> None:
        hits.append(cache_hit)

    listener, triton.knobs.compilation.listener = triton.knobs.compilation.listener, listen
    try:
        with _parsed_in_turn(), ThreadPoolExecutor(os.cpu_count()) as pool, triton.AsyncCompileMode(pool):
            for launch, arguments in launches:
                launch.kernel.warmup(*arguments, grid=launch.grid, **launch.constants, **launch.options)
    finally:
        triton.knobs.compilation.listener = listener
    return all(hits)


@contextmanager
def _parsed_in_turn() -> Iterator[None]:
    """Python 3.11's parser counts its depth in one place for all threads, and fails if two meet (cpython#106905)."""
    parse, turn = JITFunction.parse, Lock()

    def alone(kernel: JITFunction) -> Any:
        with turn:
            return parse(kernel)

    JITFunction.parse = alone
    try:
        yield
    finally:
        JITFunction.parse = parse


def compile_layers(layers: Iterable[Layer], device: torch.device) -> bool:
    """The same for convolutions whose operands are not there yet."""
    return compile_together(_momentary(layers, device))


def _momentary(layers: Iterable[Layer], device: torch.device) -> Iterator[Bound]:
    for layer in layers:
        target = target_of(device, layer.dtype)
        assert target is not None
        operands = Operands.of(layer, str(device))
        yield from conv_launches(layer, conv_config(layer, target), operands, output(layer, device))


def ready(launch: Launch, arguments: list[Argument], *, opened: bool = False) -> Callable[..., Any]:
    """A launch on the current stream, as short as it can be; `opened`: its first argument comes with each call.

    What is compiled is launched once here, on whatever the memory holds.
    """
    kept = slice(1, None) if opened else slice(None)
    slow = partial(_launch, launch.run, arguments[kept])
    if INTERPRETED:
        return slow
    compiled = launch.run(*arguments)
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
