"""The counters of a forward pass: of dispatched operations, of launches, which are not executed, and of graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.worker.static.inductor_calls import IDLE
from resnet.fused import launches
from resnet.fused.launches import Target
from resnet.runner import Runner


class Dispatched(TorchDispatchMode):
    """Counts the operations that compute, and the bytes of their input and output tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # inference mode dispatches composite operations whole, and `to` may be a view or a copy
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        result = func(*args, **kwargs)
        if not _computes(func):
            return result
        self.names.append(str(func))
        self.bytes += sum(_bytes_of(leaf) for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor))
        return result


def _computes(func: Any) -> bool:
    renames = func.is_view or torch.Tag.inplace_view in func.tags
    return not (renames or func.namespace == "prim" or func.overloadpacket.__name__ in IDLE)


def _bytes_of(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()  # opaque tensors, of oneDNN, have no nbytes


def count_dispatched(runner: Runner, example: Tensor) -> Dispatched:
    """Count one forward pass, after another that does what only a first call does."""
    x = runner.place(example)
    with torch.no_grad():
        runner(x)
        with Dispatched() as mode:
            runner(x)
    return mode


@dataclass
class Launched:
    """The names of the launched kernels in order, and the bytes of the tensors among their arguments."""

    names: list[str] = field(default_factory=list)
    bytes: int = 0

    def bind_launch(self, launch: Any, arguments: list[Any], *, takes_input: bool = False) -> Callable[..., None]:
        """Return a call that records the launch; it replaces `launches.bind_launch`."""
        return partial(self._launch, launch.kernel.fn.__name__, arguments[1:] if takes_input else arguments)

    def _launch(self, name: str, arguments: list[Any], *first: Tensor) -> None:
        self.names.append(name)
        bases = [getattr(argument, "base", argument) for argument in (*first, *arguments)]
        tensors = {base.data_ptr(): _bytes_of(base) for base in bases if isinstance(base, Tensor)}
        self.bytes += sum(tensors.values())


@contextmanager
def launched_on(target: Target) -> Iterator[Launched]:
    """Build networks inside for a GPU that is not there; their launches are recorded and not executed."""
    launched = Launched()
    with patch.multiple(
        launches, target_of=lambda *_: target, compile_together=lambda _: True, bind_launch=launched.bind_launch
    ):
        yield launched
