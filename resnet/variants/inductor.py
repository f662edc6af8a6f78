"""Keep, in a cache folder of Inductor, the results of what it does anew in every process.

For each instruction set it starts a Python that loads a library, as a check of the compiler (9 CPU-seconds in torch
2.11, 0.8 in 2.13), and it compiles again whatever has weights that oneDNN packed, as these cannot be pickled. Nothing
of what is compiled changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from resnet.cache import cached_file

Check = Callable[[Any, str], bool]
CHECKS, GRAPHS = "checks of the compiler", "graphs of packed weights"


class _Unfit(Exception):
    """The check of an instruction set failed, which is no answer to keep: the next time it may not."""


@contextmanager
def kept(frozen: nn.Module | None = None) -> Iterator[list[str]]:
    """Have Inductor keep the checks of this context, and the graphs of a module whose weights are `frozen`.

    The list has, at the end, what was found kept that torch alone would have done again: CHECKS, GRAPHS.

    The weights become part of its keys, though a graph is given those of the process that loads it, by name, and no
    kernel has any. So does the number of threads, for which code is generated (torch before 2.13 leaves it out). What
    a release has under no name that is known here is not kept.
    """
    found: list[str] = []
    packed: list[Tensor] = []
    hits_before = _graph_hits()
    with ExitStack() as stack:
        with suppress(AttributeError, ImportError):
            for patch in _patches(frozen, found, packed):
                stack.enter_context(patch)
        yield found
    if packed and _graph_hits() > hits_before:
        found.append(GRAPHS)


def _graph_hits() -> int:
    """Return how many graphs this process has found in Inductor's cache so far."""
    return torch._dynamo.utils.counters["inductor"]["fxgraph_cache_hit"]


def _patches(frozen: nn.Module | None, found: list[str], packed: list[Tensor]) -> Iterator[AbstractContextManager[Any]]:
    """Yield what `kept` changes; packed weights come last, as they enter a key by their shape: after the digest."""
    from torch._inductor.cpu_vec_isa import VecISA

    yield mock.patch.object(VecISA, "check_build", _checked_once(VecISA.check_build, found))
    config, digest = torch.compiler.config, ""
    if frozen:
        with suppress(Exception):  # of a user's tensors, which may have no bytes to read
            digest = _digest(frozen)
    tag = f"{config.cache_key_tag} {torch.get_num_threads()} threads {digest}"
    yield config.patch(cache_key_tag=tag)  # type: ignore[attr-defined]
    if not digest:
        return
    from torch._inductor import codecache
    from torch._inductor.freezing_utils import is_frozen_param

    def is_packed(tensor: Tensor) -> bool:
        if not (tensor.is_mkldnn and is_frozen_param(tensor)):
            return False
        packed[:] = [tensor]
        return True

    pickler = codecache.FxGraphCachePickler
    yield mock.patch.object(pickler, "_reduce_tensor", _reduced(pickler._reduce_tensor, is_packed))
    if validator := getattr(codecache, "CacheabilityValidator", None):  # from torch 2.13 on, it looks first
        refuse = validator.check_tensor
        let = staticmethod(lambda tensor: None if is_packed(tensor) else refuse(tensor))
        yield mock.patch.object(validator, "check_tensor", let)


def _checked_once(check: Check, found: list[str]) -> Check:
    """Return Inductor's check of an instruction set, whose success is kept beside the library that it loads."""

    def check_build(isa: Any, code: str) -> bool:
        answers: list[bool] = []

        def write(path: Path) -> None:
            answers.append(check(isa, code))
            if not answers[0]:
                raise _Unfit
            path.touch()

        with suppress(_Unfit, ImportError, AttributeError, OSError):  # OSError: a disk that is full
            from torch._inductor import cpu_vec_isa
            from torch._inductor.runtime.cache_dir_utils import cache_dir

            built = cpu_vec_isa._get_isa_dry_compile_fingerprint(isa._arch_flags)  # compiler, flags, torch's version
            cached_file(f"{isa} {code} {built} {torch.__file__}", ".loads", write, lambda: Path(cache_dir()))
            if not answers and CHECKS not in found:
                found.append(CHECKS)
            return True
        return answers[0] if answers else check(isa, code)

    return check_build


def _reduced(reduce: Callable[[Any, Tensor], Any], is_packed: Callable[[Tensor], bool]) -> Callable[[Any, Tensor], Any]:
    """Return the function by which tensors enter the key of a graph, where a packed one enters by its shape.

    So do other frozen ones, in torch itself.
    """

    def reduce_tensor(pickler: Any, tensor: Tensor) -> Any:
        return (str, (f"{tuple(tensor.shape)} {tensor.dtype}",)) if is_packed(tensor) else reduce(pickler, tensor)

    return reduce_tensor


def _digest(module: nn.Module) -> str:
    """Return a digest of a module's weights."""
    total = hashlib.sha256()
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
