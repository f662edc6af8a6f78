"""In a child: what torch.compile generates for what is called, read and counted; nothing is built or timed."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

# Operations that hand out memory or a name for it, and launch nothing.
IDLE = {
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh"),
    *("sym_size", "sym_stride", "sym_numel", "is_same_size"),
}


@dataclass
class Compilations:
    """What torch.compile made: the source of each graph, and how often tracing broke off."""

    sources: list[str] = field(default_factory=list)
    breaks: int = 0

    @property
    def calls(self) -> int:
        return sum(calls_in(source) for source in self.sources)


@contextmanager
def compilations() -> Iterator[Compilations]:
    """Notes what is compiled inside. The generated C++ is not built: a call inside computes nothing of worth.

    Where a variant asks for one graph or none, several are made: a break is to be counted, and would be an error.
    """
    from torch._dynamo.utils import counters
    from torch._inductor import config
    from torch._inductor.async_compile import AsyncCompile
    from torch._inductor.graph import GraphLowering

    found = Compilations()
    torch._dynamo.reset()
    counters.clear()
    lowering: Any = GraphLowering
    building: Any = AsyncCompile
    torch_: Any = torch
    kept = lowering.save_output_code, building.cpp_pybinding, torch.compile
    lowering.save_output_code = found.sources.append
    building.cpp_pybinding = lambda *_: lambda *_: None
    torch_.compile = _in_parts(torch.compile)
    try:
        # a kept artefact was compiled another time, when nobody counted
        with config.patch(fx_graph_cache=False):
            yield found
    finally:
        lowering.save_output_code, building.cpp_pybinding, torch_.compile = kept
        found.breaks = sum(counters["graph_break"].values())
        torch._dynamo.reset()


def _in_parts(compile_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: compile_(*args, **kwargs | {"fullgraph": False})


def calls_in(source: str) -> int:
    """Calls of kernels and of libraries in the `call` that Inductor generates.

    It spells them `cpp_fused_relu_0(..)`, `triton_poi_fused_relu_0.run(..)`, `extern_kernels.convolution(..)` and
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
