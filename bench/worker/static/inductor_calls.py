"""The calls of kernels in the code that torch.compile generates, counted; nothing is built or timed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import torch

# Operations that allocate memory or rename it, and launch nothing.
IDLE = {
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh"),
    *("sym_size", "sym_stride", "sym_numel", "is_same_size"),
}


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
