"""What every variant is held against: float64 logits, and plain torch's in each precision, on the same pictures.

Made once per model and input, in a process of its own (a timed process never computes a reference), cached on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import resnet
from bench.runs.job import ReferenceAnswer, ReferenceJob
from resnet.cache import cached_file
from resnet.inputs import find_source, pictures
from resnet.runner import DTYPES
from resnet.weights.synthetic import digest

# pictures in one forward pass; bounds the memory, and is part of what "the same computation" means
CHUNK = 8
EXACT = "fp64"
# Part of the cache's key: raise it when what is computed below changes.
RECIPE = 1


def run(job: ReferenceJob, tell: Callable[[str], None]) -> ReferenceAnswer:
    """Make the reference files that a sweep needs."""
    paths = references(job.model_name, job.image, job.count, job.precisions, job.device, job.seed, job.source)
    return {"status": "ok", "paths": paths}


def references(
    model_name: str, image: int, count: int, precisions: list[str], device: str, seed: int, source: str
) -> dict[str, str]:
    """Paths of .npy files, by precision and `fp64`: logits [at least count, classes] of the pictures of `seed`.

    float64 and float32 in turn; made where they are not cached.
    """
    found = find_source(source)
    model = resnet.build(model_name, seed=seed, source=found)
    count = -(-count // CHUNK) * CHUNK  # whole chunks, so that small plans share a file
    place = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    drawn = f"{found.description()} {seed} i{image} n{count}"
    key = f"reference {RECIPE} {digest(model)} {drawn} {place} torch {torch.__version__}"
    batch: list[Tensor] = []  # made at the first need, then shared by the precisions

    def make(precision: str, path: Path) -> None:
        if not batch:
            batch.append(pictures(count, image, seed=seed, source=found))
        with path.open("wb") as file:
            np.save(file, logits(model, batch[0], precision, device))

    return {
        precision: str(cached_file(f"{key} {precision}", ".npy", lambda path, p=precision: make(p, path))[0])  # type: ignore[misc]
        for precision in [EXACT, *(p for p in precisions if p in DTYPES)]
    }


def logits(model: nn.Module, batch: Tensor, precision: str, device: str) -> np.ndarray[Any, Any]:
    """Plain torch's answer, [N, classes]: float64 for fp64, else the precision's, as float32.

    fp16 on a CPU is emulated, as torch's own takes 25 times as long there (ResNet-50, 2-core Zen 4, 2026-11-23): each
    layer in float32, its weights and its output rounded to float16.
    """
    # cuDNN uses TF32 for float32 unless told not to
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = torch.float64 if precision == EXACT else DTYPES[precision]
    plain = deepcopy(model).to(device=device, dtype=dtype)
    if precision == "fp16" and device == "cpu":
        batch = batch.to(dtype)
        plain, dtype = _emulated(plain.float(), dtype), torch.float32
    with torch.inference_mode():
        parts = [plain(part.to(device=device, dtype=dtype)) for part in batch.split(CHUNK)]
    kept = torch.float64 if precision == EXACT else torch.float32
    return torch.cat(parts).to(device="cpu", dtype=kept).numpy()


def _emulated(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """`model`, whose float32 weights are `dtype` values, with every layer's output rounded to `dtype`."""
    for module in model.modules():
        if not any(module.children()):
            module.register_forward_hook(lambda _module, _inputs, output: output.to(dtype).float())
    return model
