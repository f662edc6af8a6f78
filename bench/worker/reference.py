"""The references that every answer is checked against: logits in float64, and plain torch's in each precision.

They are computed once per model and input, by a separate process (never by a timed one), and cached on disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.runs.job import Notify, ReferenceAnswer, ReferenceJob
from bench.worker.failure import CannotJudge, describe_failure
from bench.worker.models import build_model, draw
from bench.worker.score import RECIPE as SCORE_RECIPE
from bench.worker.score import SCORE, questions_of, write_score
from bench.worker.truth import FLOAT32, LAYERS, rms
from resnet.archs import Spec
from resnet.cache import cached_file
from resnet.data.digits import FORMS
from resnet.inputs import source_for
from resnet.outside.admission import admit
from resnet.outside.identity import identity
from resnet.outside.wrapper import OutsideModel
from resnet.runner import DTYPES
from resnet.sensitivity import sensitivities
from resnet.weights.synthetic import digest
from resnet.weights.trained import trained

# Pictures in one forward pass. It bounds the memory; another count would be another computation, with other roundings.
CHUNK = 8
SENSITIVE_PICTURES = 2  # of the pass that asks what each layer does
EXACT = "fp64"
# Precisions whose error comes from the additions, in whose order memory formats differ: the file is of the format that
# is further from float64, as both are plain torch. Networks without shortcuts show it: VGG-11 was 3.4 times as far in
# channels-last as in contiguous memory (2-core Zen 4, 2026-11-28).
ADDITIONS = ("fp32", "tf32")
# The most that two float64 answers to one batch may differ by, relative to them: atomic additions in another order make
# 1e-15.
STEADY = 1e-9
# Part of the cache's key: raise it when the computation below changes.
RECIPE = 3


def write_references(job: ReferenceJob, notify: Notify) -> ReferenceAnswer:
    """Write the reference files that are not cached, each logits [at least count, classes] of the pictures of `seed`.

    That of `fp64` is float64, the others are float32. Beside them are, for 16-bit precisions, float32's answers
    to the first pictures, and how much each layer adds to the answer. Raises CannotJudge for a model that gives other
    answers each time.
    """
    images = source_for(job.model_name, job.source)
    if images.kind in FORMS and not job.build.weights:
        trained(Spec.parse(job.model_name), seed=job.seed, tell=notify)  # once, before any case is timed
    built = build_model(job.model_name, job.build, job.seed, images, job.image)
    model = built.module
    asked = job.scored or job.data
    questions = questions_of(job, built.ends, job.scored) if asked else None  # refused before anything is computed
    count = -(-job.count // CHUNK) * CHUNK  # whole chunks, so that small plans share a file
    processor = torch.cuda.get_device_name() if job.device == "cuda" else "cpu"
    drawn = f"{images.description()} {job.seed} i{job.image} n{count}"
    network = f"{digest(model)} {identity(model)}"
    key = f"reference {RECIPE} {network} {drawn} {processor} torch {torch.__version__}"

    @cache  # drawn when first needed, then shared by the precisions
    def batch() -> Tensor:
        return draw(count, job.image, built.channels, job.seed, images)

    def write(precision: str, path: Path) -> None:
        answer = logits(model, batch(), precision, job.device)
        if precision in ADDITIONS:
            other = logits(model, batch(), precision, job.device, torch.channels_last)
            exact = np.load(file_of(EXACT))
            answer = max((answer, other), key=lambda logits: rms(logits - exact))
        with path.open("wb") as file:
            np.save(file, answer)

    def file_of(precision: str) -> Path:
        return cached_file(f"{key} {precision}", ".npy", partial(write, precision))[0]

    def write_float32(precision: str, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, float32_answers(model, batch()[:CHUNK], precision, job.device))

    def write_layers(path: Path) -> None:
        layers = sensitivities(model, batch()[:SENSITIVE_PICTURES], job.device)
        wrapper = "net." if isinstance(model, OutsideModel) else ""
        path.write_text(json.dumps({name.removeprefix(wrapper): change for name, change in layers.items()}))

    precisions = [EXACT, *(precision for precision in job.precisions if precision in DTYPES)]
    if isinstance(model, OutsideModel):
        write_admission = partial(_write_admission, job, model, batch, precisions, notify)
        admitted, _ = cached_file(f"{key} admitted in {precisions}", ".json", write_admission)
        precisions = json.loads(admitted.read_text())
    paths = {name: str(file_of(name)) for name in precisions}
    files: dict[str, tuple[str, Callable[[Path], None]]] = {
        FLOAT32[name]: (".npy", partial(write_float32, name)) for name in precisions if name in FLOAT32
    }
    files[LAYERS] = (".json", write_layers)
    paths |= {name: str(cached_file(f"{key} {name}", *file)[0]) for name, file in files.items()}
    if questions:
        notify("score")
        pictures = f"{questions.digest} i{job.image} n{questions.count}"
        scored = f"score {SCORE_RECIPE} {network} {pictures} {processor} torch {torch.__version__}"
        paths[SCORE] = str(cached_file(scored, ".npz", partial(write_score, job, built, questions))[0])
    return {"status": "ok", "paths": paths}


def _write_admission(
    job: ReferenceJob,
    model: OutsideModel,
    batch: Callable[[], Tensor],
    precisions: list[str],
    notify: Notify,
    path: Path,
) -> None:
    """Admit a model from outside, and write which of `precisions` plain torch runs it in. Raises ModelError."""
    notify("admission")
    again = build_model(job.model_name, job.build, job.seed, source_for(job.model_name, job.source), job.image).module
    admit(model, again, batch(), job.device)
    runs = [name for name in precisions if name == EXACT or runs_in(model, batch(), name, job.device)]
    path.write_text(json.dumps(runs))
    notify("reference")


def runs_in(model: nn.Module, batch: Tensor, precision: str, device: str) -> bool:
    """Return whether plain torch runs a module from outside in a precision: some compute a part in float32 alone."""
    try:
        logits(model, batch[:1], precision, device)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        if describe_failure(error)["status"] == "memory":
            raise
        return False
    return True


def logits(
    model: nn.Module,
    batch: Tensor,
    precision: str,
    device: str,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> np.ndarray[Any, Any]:
    """Return plain torch's answer, [N, classes]: float64 for fp64, else computed in the precision, as float32.

    fp16 on a CPU is emulated, because torch takes 25 times as long there (ResNet-50, 2-core Zen 4, 2026-11-23): each
    layer computes in float32, with its weights and its output rounded to float16. Raises CannotJudge for a model whose
    float64 answer is another each time, or depends on the other pictures of its batch.
    """
    # cuDNN uses TF32 for float32 by default
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = torch.float64 if precision == EXACT else DTYPES[precision]
    network = deepcopy(model).to(device=device, dtype=dtype).to(memory_format=memory_format)  # type: ignore[call-overload]
    if precision == "fp16" and device == "cpu":
        batch = batch.to(dtype)
        network, dtype = _round_layers(network.float(), dtype), torch.float32
    with torch.inference_mode():
        chunks = (part.to(device, dtype, memory_format=memory_format) for part in batch.split(CHUNK))
        parts = [network(chunk) for chunk in chunks]
        if precision == EXACT:
            assert_steady(network, batch[:CHUNK].to(device=device, dtype=dtype), parts[0])
    result_dtype = torch.float64 if precision == EXACT else torch.float32
    return torch.cat(parts).to(device="cpu", dtype=result_dtype).numpy()


def assert_steady(network: nn.Module, batch: Tensor, answer: Tensor) -> None:
    """Raise CannotJudge unless a float64 `network` gives `answer` [N, classes] to `batch` again, whole and in parts."""
    half = -(-len(batch) // 2)
    parts = torch.cat([network(part) for part in batch.split(half)])
    if _differ(network(batch), answer):
        raise CannotJudge("cannot be judged: the model gives one batch other answers each time (is dropout left on?)")
    if _differ(parts, answer):
        raise CannotJudge(
            "cannot be judged: the model answers a picture by the others in its batch (a norm in training mode?)"
        )


def float32_answers(model: nn.Module, batch: Tensor, precision: str, device: str) -> np.ndarray[Any, Any]:
    """Return float32's answers to `batch` rounded to a 16-bit precision, [2, N, classes]: as float32.

    The first are those of the weights as they are, the second those of rounded ones.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    dtype = DTYPES[precision]
    rounded = batch.to(device, dtype).float()
    with torch.inference_mode():
        answers = [network.to(device)(rounded) for network in (deepcopy(model), deepcopy(model).to(dtype).float())]
    return torch.stack(answers).float().cpu().numpy()


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


def _differ(answer: Tensor, expected: Tensor) -> bool:
    """Return whether two answers differ by more than rounding; a NaN is another check's, so two of them are equal."""
    return not torch.allclose(answer, expected, rtol=STEADY, atol=STEADY * float(expected.abs().mean()), equal_nan=True)
