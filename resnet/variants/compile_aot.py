"""AOTInductor: exported and compiled once into a package, a .pt2 file, that a server loads without compiling."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kernels.cards.owned import owned_folder
from resnet.cache import cached_file, compiled_dir, loading
from resnet.code import Unserved
from resnet.outside.identity import identity
from resnet.outside.wrapper import first_line
from resnet.quiet import quiet
from resnet.runner import DTYPES, Forward, Runner, TorchRunner, autocast, converted, weights_bytes, with_launch
from resnet.variants.compile_max import inductor_options
from resnet.variants.inductor import kept
from resnet.weights.synthetic import digest

# Part of the cache's key: raise it when this module changes the package.
RECIPE = 1

# Where the kernel lists what the processor can do: on an x86, and on Arm.
FEATURES = ("flags", "Features")


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the package of the module for the shape of `example`, with frozen weights, as compile-max has them.

    A package could take any batch. On a CPU Inductor then packs no convolution's weights for oneDNN, and ResNet-18
    takes 1.4 times the processor time in fp32, 1.6 to 1.7 times in bf16 (batch 1 and 8, 2-core EPYC, torch 2.13,
    2026-11-29), so each shape has its own. Raises Unserved for a module that torch.export does not take.
    """
    options, notes = inductor_options(example.device.type, torch.__version__)
    placed = example.to(DTYPES[precision], copy=True, memory_format=torch.channels_last)
    network = f"{type(model).__name__} {identity(model)} {digest(model)}"
    key = f"aoti {RECIPE} {network} {precision} {tuple(example.shape)} {options} {_machine(example.device)}"
    path, cached = cached_file(key, ".pt2", lambda path: _package(model, placed, options, path), compiled_dir)
    with loading("package", path) as artefact:
        forward = _load(path, placed)
    size = weights_bytes(model) * placed.dtype.itemsize // 4  # as frozen, in the precision
    details = {"weights_bytes": size, "compile_options": options, **notes, "package_cached": cached}
    return with_launch(_OneShape(forward, placed, details | {"artefact": artefact}), launch)


class _OneShape(TorchRunner):
    """A package as a Runner: it reads whatever is in memory, so a batch of another shape is refused when placed."""

    def __init__(self, forward: Forward, placed: Tensor, details: dict[str, Any]) -> None:
        super().__init__(forward, placed, placed.dtype, "channels_last", details)
        self._shape = placed.shape

    def place(self, batch: Tensor) -> Tensor:
        """Return a copy of `batch`. Raises ValueError for another shape than that of the package."""
        if batch.shape != self._shape:
            raise ValueError(f"this package takes batches {list(self._shape)}, and this one is {list(batch.shape)}")
        return super().place(batch)


def _package(model: nn.Module, placed: Tensor, options: dict[str, Any], path: Path) -> None:
    """Export a copy of the module, compile it for batches like `placed`, and write the package."""
    whole = converted(model, placed.device, torch.float32, "channels_last")
    if placed.dtype != torch.float32:
        net, whole = whole, nn.Module()
        whole.net, whole.forward = net, autocast(net, placed.dtype)
    with torch.no_grad(), quiet():
        try:
            program = torch.export.export(whole, (placed,), strict=False)
        except Exception as error:  # of the model's own code, under the tracer
            raise Unserved(
                f"torch.export does not take the model: {first_line(error)}; eager and compile run it as it is"
            ) from error
        from torch._inductor import aoti_compile_and_package

        with kept(), path.open("wb") as file:  # not its name: a file that is not whole has another ending
            aoti_compile_and_package(program, package_path=file, inductor_configs=dict(options))


def _load(path: Path, placed: Tensor) -> Forward:
    """Return the package as a call, by the class that C++ programs load it with.

    `torch._inductor.aoti_load_package` makes the same object, imports Inductor first (4 s), and adds 15 us to each
    call. The loader unpacks into a temporary folder, which only a process that ends by itself would remove; nothing
    reads it once a call has loaded a GPU's kernels.
    """
    usual = os.environ.get("TMPDIR")
    with owned_folder("package") as folder:
        os.environ["TMPDIR"] = str(folder)
        try:
            loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, -1)  # True: one thread calls it
        finally:
            os.environ.pop("TMPDIR")
            os.environ |= {} if usual is None else {"TMPDIR": usual}
        if placed.is_cuda:
            loader.run([placed])

    def forward(x: Tensor) -> Tensor:
        logits: Tensor = loader.run([x])[0]
        return logits

    return forward


def _machine(device: torch.device) -> str:
    """Return what the code of a package depends on beside the module: versions, threads, the device, the settings."""
    config = sys.modules.get("torch._inductor.config")
    settings = {name: value for name, value in os.environ.items() if name.startswith(("TORCHINDUCTOR_", "AOT"))}
    settings.pop("TORCHINDUCTOR_CACHE_DIR", None)
    profiled = bool(config and config.cpp.enable_kernel_profile)
    words = f"torch {torch.__version__} threads {torch.get_num_threads()} {sorted(settings.items())} {profiled}"
    if device.type == "cuda":
        return f"{words} {torch.cuda.get_device_name(device)}"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    features = next((line for line in lines if line.startswith(FEATURES)), platform.processor())
    return f"{words} {platform.machine()} {torch.backends.cpu.get_cpu_capability()} {features}"
