"""The references that every answer is checked against: logits in float64, and plain torch's in each precision.

They are computed once per model and input, by a separate process (never by a timed one), and cached on disk.
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
from resnet.cache import made_once
from resnet.inputs import find, pictures
from resnet.runner import DTYPES
from resnet.weights.synthetic import digest

# Pictures in one forward pass. It bounds the memory; another count would be another computation, with other roundings.
CHUNK = 8
EXACT = "fp64"
# Part of the cache's key: raise it when the computation below changes.
RECIPE = 1


def write_references(job: ReferenceJob, notify: Callable[[str], None]) -> ReferenceAnswer:
    """Write the reference files that a sweep needs, where they are not cached."""
    paths = reference_files(job.model_name, job.image, job.count, job.precisions, job.device, job.seed, job.source)
    return {"status": "ok", "paths": paths}


def reference_files(
    model_name: str, image: int, count: int, precisions: list[str], device: str, seed: int, source: str
) -> dict[str, str]:
    """Return the paths of .npy files by precision and `fp64`: logits [at least count, classes] of `seed`'s pictures.

    Those of fp64 are float64, the others float32. Files that are not cached are computed.
    """
    images = find(source)
    model = resnet.build(model_name, seed=seed, source=images)
    count = -(-count // CHUNK) * CHUNK  # whole chunks, so that small plans share a file
    processor = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    drawn = f"{images.described()} {seed} i{image} n{count}"
    key = f"reference {RECIPE} {digest(model)} {drawn} {processor} torch {torch.__version__}"
    batch: list[Tensor] = []  # drawn when first needed, then shared by the precisions

    def write(precision: str, path: Path) -> None:
        if not batch:
            batch.append(pictures(count, image, seed=seed, source=images))
        with path.open("wb") as file:
            np.save(file, logits(model, batch[0], precision, device))

    return {
        precision: str(made_once(f"{key} {precision}", ".npy", lambda path, p=precision: write(p, path))[0])  # type: ignore[misc]
        for precision in [EXACT, *(p for p in precisions if p in DTYPES)]
    }


def logits(model: nn.Module, batch: Tensor, precision: str, device: str) -> np.ndarray[Any, Any]:
    """Return plain torch's answer, [N, classes]: float64 for fp64, else computed in the precision, as float32.

    fp16 on a CPU is emulated, because torch takes 25 times as long there (ResNet-50, 2-core Zen 4, 2026-11-23): each
    layer computes in float32, with its weights and its output rounded to float16.
    """
    # cuDNN uses TF32 for float32 by default
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = torch.float64 if precision == EXACT else DTYPES[precision]
    network = deepcopy(model).to(device=device, dtype=dtype)
    if precision == "fp16" and device == "cpu":
        batch = batch.to(dtype)
        network, dtype = _round_layers(network.float(), dtype), torch.float32
    with torch.inference_mode():
        parts = [network(part.to(device=device, dtype=dtype)) for part in batch.split(CHUNK)]
    result_dtype = torch.float64 if precision == EXACT else torch.float32
    return torch.cat(parts).to(device="cpu", dtype=result_dtype).numpy()


def _round_layers(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Have every layer of `model`, whose float32 weights are `dtype` values, round its output to `dtype`."""
    for module in model.modules():
        if not any(module.children()):
            module.register_forward_hook(lambda _module, _inputs, output: output.to(dtype).float())
    return model
