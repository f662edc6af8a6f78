"""The references that every answer is checked against: logits in float64, and plain torch's in each precision.

They are computed once per model and input, by a separate process (never by a timed one), and cached on disk.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.runs.job import Notify, ReferenceAnswer, ReferenceJob
from bench.worker.failure import describe_failure
from bench.worker.models import build_model, draw
from resnet.cache import cached_file
from resnet.inputs import find_source
from resnet.outside.admission import admit
from resnet.outside.identity import identity
from resnet.outside.wrapper import OutsideModel
from resnet.runner import DTYPES
from resnet.weights.synthetic import digest

# Pictures in one forward pass. It bounds the memory; another count would be another computation, with other roundings.
CHUNK = 8
EXACT = "fp64"
# Part of the cache's key: raise it when the computation below changes.
RECIPE = 1


def write_references(job: ReferenceJob, notify: Notify) -> ReferenceAnswer:
    """Write the reference files that are not cached, each logits [at least count, classes] of the pictures of `seed`.

    That of `fp64` is float64, the others are float32.
    """
    images = find_source(job.source)
    built = build_model(job.model_name, job.build, job.seed, images, job.image)
    model = built.module
    count = -(-job.count // CHUNK) * CHUNK  # whole chunks, so that small plans share a file
    processor = torch.cuda.get_device_name() if job.device == "cuda" else "cpu"
    drawn = f"{images.description()} {job.seed} i{job.image} n{count}"
    network = f"{digest(model)} {identity(model)}"
    key = f"reference {RECIPE} {network} {drawn} {processor} torch {torch.__version__}"

    @cache  # drawn when first needed, then shared by the precisions
    def batch() -> Tensor:
        return draw(count, job.image, built.channels, job.seed, images)

    def write(precision: str, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, logits(model, batch(), precision, job.device))

    precisions = [EXACT, *(precision for precision in job.precisions if precision in DTYPES)]
    if isinstance(model, OutsideModel):
        notify("admission")
        again = build_model(job.model_name, job.build, job.seed, images, job.image).module
        admit(model, again, batch(), job.device)
        precisions = [name for name in precisions if name == EXACT or runs_in(model, batch(), name, job.device)]
        notify("reference")
    files = {name: cached_file(f"{key} {name}", ".npy", partial(write, name))[0] for name in precisions}
    paths = {name: str(path) for name, path in files.items()}
    return {"status": "ok", "paths": paths}


def runs_in(model: nn.Module, batch: Tensor, precision: str, device: str) -> bool:
    """Return whether plain torch runs a module from outside in a precision: some compute a part in float32 alone."""
    try:
        logits(model, batch[:1], precision, device)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        if describe_failure(error)["status"] == "memory":
            raise
        return False
    return True


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
            module.register_forward_hook(lambda _module, _inputs, output: _rounded(output, dtype))
    return model


def _rounded(output: Any, dtype: torch.dtype) -> Any:
    """Return a layer's output rounded to `dtype`, and unchanged what is no tensor of floating point."""
    number = isinstance(output, Tensor) and output.is_floating_point()
    return output.to(dtype).float() if number else output
