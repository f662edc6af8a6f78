"""The counters of a forward pass: of dispatched operations, of launches, and of calls in compiled code."""

from __future__ import annotations

import ast
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

from resnet.fused import launches
from resnet.fused.launches import Target
from resnet.runner import Runner

# Operations that allocate memory or rename it, and launch nothing.
IDLE = {
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh"),
    *("sym_size", "sym_stride", "sym_numel", "is_same_size"),
}


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


@dataclass
class Compilations:
    """The output of torch.compile: the source of each graph, and the number of graph breaks."""

    sources: list[str] = field(default_factory=list)
    breaks: int = 0

    @property
    def calls(self) -> int:
        """The calls of kernels in all graphs."""
        return sum(calls_in(source) for source in self.sources)


@contextmanager
def compilations() -> Iterator[Compilations]:
    """Record what torch.compile compiles inside. The generated C++ is not built, so calls inside compute nothing.

    `fullgraph` is ignored, because a graph break is to be counted and would raise with it.
    """
    from torch._dynamo.utils import counters
    from torch._inductor import config
    from torch._inductor.async_compile import AsyncCompile
    from torch._inductor.graph import GraphLowering

    compiled = Compilations()
    original = torch.compile
    torch._dynamo.reset()
    counters.clear()
    try:
        with (
            patch.object(GraphLowering, "save_output_code", compiled.sources.append),
            patch.object(AsyncCompile, "cpp_pybinding", lambda *_: lambda *_: None),
            patch.object(torch, "compile", lambda *args, **kwargs: original(*args, **kwargs | {"fullgraph": False})),
            config.patch(fx_graph_cache=False),  # an artefact from the cache would not be counted
        ):
            yield compiled
    finally:
        compiled.breaks = sum(counters["graph_break"].values())
        torch._dynamo.reset()


def calls_in(source: str) -> int:
    """Count the calls of kernels and libraries in the `call` that Inductor generates.

    Inductor spells them `cpp_fused_relu_0(..)`, `triton_poi_fused_relu_0.run(..)`, `extern_kernels.convolution(..)` and
    `torch.ops.mkldnn._linear_pointwise.default(..)` (torch 2.11 to 2.13).
    """
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    calls = [node for f in functions if f.name == "call" for node in ast.walk(f) if isinstance(node, ast.Call)]
    names = [ast.unparse(call.func) for call in calls]
    return sum(_is_kernel(name) for name in names)


def _is_kernel(name: str) -> bool:
    first, _, rest = name.partition(".")
    if first == "torch" and rest.startswith("ops."):
        return rest.split(".")[2] not in IDLE
    return first.startswith("cpp_fused") or first == "extern_kernels" or (first.startswith("triton_") and rest == "run")
