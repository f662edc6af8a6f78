"""What Inductor does anew in every process, done once for each of its cache folders.

For each instruction set it starts a Python that loads a library, as a check of the compiler (9 CPU-seconds in torch
2.11, 0.8 in 2.13), and it compiles again whatever has weights that oneDNN packed, as these cannot be pickled. Nothing
of what is compiled changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from resnet.cache import cached_file

Check = Callable[[Any, str], bool]


class _Unfit(Exception):
    """The check of an instruction set failed, which is no answer to keep: the next time it may not."""


@contextmanager
def kept(frozen: nn.Module | None = None) -> Iterator[None]:
    """Have Inductor keep the checks of this context, and the graphs of a module whose weights are `frozen`.

    The weights become part of its keys, though a graph is given those of the process that loads it, by name, and no
    kernel has any. So does the number of threads, for which code is generated (torch before 2.13 leaves it out).
    """
    from torch._inductor import codecache
    from torch._inductor.cpu_vec_isa import VecISA

    config, pickler = torch.compiler.config, codecache.FxGraphCachePickler
    tag = f"{config.cache_key_tag} {torch.get_num_threads()} threads {_digest(frozen) if frozen else ''}"
    patches = [
        config.patch(cache_key_tag=tag),  # type: ignore[attr-defined]
        mock.patch.object(VecISA, "check_build", _checked_once(VecISA.check_build)),
        mock.patch.object(pickler, "_reduce_tensor", _reduced(pickler._reduce_tensor)),
    ]
    if validator := getattr(codecache, "CacheabilityValidator", None):  # from torch 2.13 on, it looks first
        refuse = validator.check_tensor
        let = staticmethod(lambda tensor: None if _is_packed(tensor) else refuse(tensor))
        patches.append(mock.patch.object(validator, "check_tensor", let))
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield


def _checked_once(check: Check) -> Check:
    """Return Inductor's check of an instruction set, whose success is kept beside the library that it loads."""

    def check_build(isa: Any, code: str) -> bool:
        from torch._inductor import cpu_vec_isa
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        def write(path: Path) -> None:
            if not check(isa, code):
                raise _Unfit
            path.touch()

        built = cpu_vec_isa._get_isa_dry_compile_fingerprint(isa._arch_flags)  # compiler, flags, torch's version
        with suppress(_Unfit):
            cached_file(f"{isa} {code} {built} {torch.__file__}", ".loads", write, lambda: Path(cache_dir()))
            return True
        return False

    return check_build


def _reduced(reduce: Callable[[Any, Tensor], Any]) -> Callable[[Any, Tensor], Any]:
    """Return the function by which tensors enter the key of a graph, where a packed one enters by its shape.

    So do other frozen ones, in torch itself.
    """

    def reduce_tensor(pickler: Any, tensor: Tensor) -> Any:
        return (str, (f"{tuple(tensor.shape)} {tensor.dtype}",)) if _is_packed(tensor) else reduce(pickler, tensor)

    return reduce_tensor


def _is_packed(tensor: Tensor) -> bool:
    from torch._inductor.freezing_utils import is_frozen_param

    return tensor.is_mkldnn and is_frozen_param(tensor)


def _digest(module: nn.Module) -> str:
    """Return a digest of a module's weights."""
    total = hashlib.sha256()
    for name, tensor in chain(module.named_parameters(), module.named_buffers()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
