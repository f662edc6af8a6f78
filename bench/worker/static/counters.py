"""What counts of a forward hang on: operations as they are dispatched, launches noted in place of made, graphs kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.worker.static.inductor_calls import IDLE
from kernels.launch import Call
from resnet.fused import launches
from resnet.fused.launches import Target
from resnet.runner import Runner


class Dispatched(TorchDispatchMode):
    """Counts the operations that compute, and the bytes of the tensors that each takes and makes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # in inference mode what is made of other operations comes whole; `to` may be a view or a copy
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        result = func(*args, **kwargs)
        if not _computes(func):
            return result
        self.names.append(str(func))
        self.bytes += sum(_size(leaf) for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor))
        return result


def _computes(func: Any) -> bool:
    renames = func.is_view or torch.Tag.inplace_view in func.tags
    return not (renames or func.namespace == "prim" or func.overloadpacket.__name__ in IDLE)


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()  # opaque tensors, of oneDNN, have no nbytes


def dispatched(runner: Runner, example: Tensor) -> Dispatched:
    """One forward, after one that leaves behind what only the first call does."""
    x = runner.place(example)
    with torch.no_grad():
        runner(x)
        with Dispatched() as mode:
            runner(x)
    return mode


@dataclass
class Launched:
    """Launches in the order made, by the names of their kernels, and the bytes of the tensors among their arguments."""

    names: list[str] = field(default_factory=list)
    bytes: int = 0

    def bind_launch(self, launch: Any, arguments: list[Any], *, takes_input: bool = False) -> Callable[..., None]:
        """In place of `launches.bind_launch`: a call that is noted."""
        return partial(self._launch, launch.kernel.fn.__name__, arguments[1:] if takes_input else arguments)

    def _launch(self, name: str, arguments: list[Any], *first: Tensor) -> None:
        self.names.append(name)
        bases = [getattr(argument, "base", argument) for argument in (*first, *arguments)]
        tensors = {base.data_ptr(): _size(base) for base in bases if isinstance(base, Tensor)}
        self.bytes += sum(tensors.values())


@contextmanager
def launched_on(target: Target) -> Iterator[Launched]:
    """Networks made inside are cut for a GPU that is not there; their launches are noted in place of made."""
    found = Launched()
    replaced = {"target_of": _fixed(target), "compile_together": _nothing_to_compile, "bind_launch": found.bind_launch}
    kept = {name: getattr(launches, name) for name in replaced}
    try:
        for name, value in replaced.items():
            setattr(launches, name, value)
        yield found
    finally:
        for name, value in kept.items():
            setattr(launches, name, value)


def _fixed(target: Target) -> Callable[..., Target]:
    return lambda *_: target


def _nothing_to_compile(found: Iterable[Call]) -> bool:
    return True


@contextmanager
def optimised_graphs(folder: Path) -> Iterator[list[Path]]:
    """Sessions made inside leave the graph that they run, one file each."""
    import onnxruntime

    found: list[Path] = []
    original = onnxruntime.InferenceSession

    def session(path: str, options: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(folder / f"{len(found)}.onnx")
        options.optimized_model_filepath = str(found[-1])
        return original(path, options, *args, **kwargs)

    onnxruntime.InferenceSession = session
    try:
        yield found
    finally:
        onnxruntime.InferenceSession = original
