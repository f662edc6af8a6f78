"""A case prepared: the model, the pictures, the variant, the placed batches, the first call, the check.

Every job that runs a variant uses this. Memory that is no longer needed is released, because it would count in the
memory numbers: `release` frees the model and the drawn pictures once the batches are placed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import resnet
from bench.files import owned_folder
from bench.plans.case import Case
from bench.plans.settings import Settings
from bench.runs.job import AheadJob, CaseAnswer, Empty, LoadJob, Notify, RunJob
from bench.worker.measure.clock import Clock, on_device
from bench.worker.models import Built, build_model, count_work, draw
from bench.worker.reference import EXACT
from bench.worker.truth import FLOAT32, LAYERS, Truth, make_quantized_truth, make_truth
from resnet.calibration import EIGHT_BITS, FIRST_PICTURE, Calibration, parse_wide
from resnet.code import CodeError
from resnet.inputs import Source, source_for
from resnet.names import is_outside
from resnet.outside.sources import ModelError
from resnet.runner import Runner
from resnet.weights.synthetic import digest


@dataclass
class Material:
    """A model and pictures for it, on the host, from which a variant is prepared."""

    case: Case
    device: str
    source: Source
    built: Built
    batches: list[Tensor]  # [N, C, H, W] each
    calibration: Calibration | None = None  # of a case in 8 bits
    example: Tensor | None = None  # on the device; the variant was prepared with it

    def provenance(self) -> CaseAnswer:
        """Return the fields of a record that say what ran, and on which pictures."""
        input_, weights = self.source.description(), digest(self.built.module)
        network = self.built.facts() | count_work(self.built.module, self.case.image)[0]
        return {"input": input_, "weights": weights, "network": network}

    def prepare(self, example: Tensor | None = None) -> Runner:
        """Prepare the variant with `example`, by default the first batch, on the device."""
        case = self.case
        self.example = self.batches[0].to(self.device) if example is None else example
        return resnet.prepare(
            case.variant, self.built.module, self.example, case.precision, case.launch, self.calibration
        )

    def release(self) -> None:
        """Free everything: nothing can be prepared after this."""
        del self.built, self.batches, self.example, self.calibration


def build_material(job: RunJob[Any] | LoadJob, count: int, batch: int) -> Material:
    """Build the model of the job's case, and draw `count` pictures in batches of `batch`."""
    case, source = job.case, source_for(job.case.model, job.source)
    built = build_model(case.model, job.build, job.seed, source, case.image)
    drawn = draw(count, case.image, built.channels, job.seed, source)
    calibration = None
    if case.precision in EIGHT_BITS:
        settings = job.settings if isinstance(job, RunJob) else Settings()
        calibration = draw_calibration(settings, case.image, built.channels, job.seed, source)
    return Material(case, job.device, source, built, list(drawn.split(batch)), calibration)


def draw_calibration(settings: Settings, image: int, channels: int, seed: int, source: Source) -> Calibration:
    """Draw the pictures of a calibration, which are others than those of any batch."""
    drawn = draw(settings.calibration_pictures, image, channels, seed, source, FIRST_PICTURE)
    return Calibration(drawn, settings.calibrate, parse_wide(settings.keep_wide))


def job_material(job: RunJob[Any]) -> Material:
    """Return the material of a job: a batch for each buffer in rotation, and after them an unseen batch."""
    count = (job.settings.buffers + 1) * job.case.batch
    return build_material(job, count, job.case.batch)


def describe_artefact(runner: Runner, material: Material, prepare_s: float) -> dict[str, Any]:
    """Return the artefact of a record's cold start, which this project's variants have among their details.

    One that has no file of its own is prepared from the module, in `prepare_s`: it begins with the state dict, which is
    written, and read back into the module, where the seconds of reading count. What a state dict cannot hold, or a disk
    has no room for, has neither bytes nor seconds.
    """
    if not is_outside(material.case.variant) and "artefact" in runner.details:
        artefact: dict[str, Any] = runner.details.pop("artefact")
        return artefact
    artefact, module = {"kind": "state dict"}, material.built.module
    with suppress(Exception), owned_folder("artefact") as folder:
        path = folder / "weights.pt"
        torch.save(module.state_dict(), path)
        start = time.perf_counter()
        module.load_state_dict(torch.load(path, mmap=True, weights_only=True))  # mapped: no memory stays behind
        artefact |= {"bytes": path.stat().st_size, "load_s": time.perf_counter() - start + prepare_s}
    return artefact


def first_call(runner: Runner, inputs: Sequence[Tensor], clock: Clock) -> tuple[Tensor, float]:
    """Return the answer of the first call, and the seconds until it was ready. Raises CodeError if it is no tensor."""
    start = time.perf_counter()
    answer = runner(inputs[0])
    clock.wait()
    seconds = time.perf_counter() - start
    if not isinstance(answer, Tensor):
        whose = f"{runner.details['code_file']}: " if "code_file" in runner.details else ""
        raise CodeError(f"{whose}a call returned a {type(answer).__name__}, and not a tensor of logits [N, classes]")
    return answer, seconds


def compile_ahead(job: AheadJob, notify: Notify) -> Empty:
    """Prepare the case and call it once, and leave what was compiled in the caches."""
    torch._inductor.config.compile_threads = job.compilers  # of which no key of a cache depends
    with on_device(job.device) as clock:
        material = job_material(job)
        notify("prepare")
        runner = material.prepare()
        first_call(runner, [runner.place(material.batches[0])], clock)
    return {"status": "ok"}


def read_truth(case: Case, reference: Mapping[str, str], rows: slice | np.ndarray, batches: Sequence[Tensor]) -> Truth:
    """Read the reference answers of `case` to `batches`: `rows` of its reference files, in the order of the pictures.

    Raises ModelError where plain torch has none in the case's precision, and CannotJudge if they are no yardstick.
    """
    exact = np.load(reference[EXACT])
    if case.precision in EIGHT_BITS:
        return make_quantized_truth(case.precision, case.batch, rows, exact, batches)
    if case.precision not in reference:
        raise ModelError(
            f"plain torch does not run {case.model} in {case.precision} (try eager), so there is no error to hold this "
            "answer's against"
        )
    torch_logits = np.load(reference[case.precision]).astype(np.float64)
    float32_file, layers_file = reference.get(FLOAT32.get(case.precision, "")), reference.get(LAYERS)
    float32 = np.load(float32_file) if float32_file else None
    layers = json.loads(Path(layers_file).read_text()) if layers_file else {}
    return make_truth(case.precision, case.batch, rows, exact, torch_logits, float32, layers)


def read_job_truth(job: RunJob[Any], batches: Sequence[Tensor]) -> Truth:
    """Read the reference answers to the batches of `job_material`."""
    rows = slice((job.settings.buffers + 1) * job.case.batch)
    return read_truth(job.case, job.reference, rows, batches)
