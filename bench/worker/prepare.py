"""A case made ready: the model, the pictures, the variant, the placed batches, the first call, the check.

Every job that runs a variant goes this way. What a step needs no more is released before the next, as it would stand
in the memory numbers: the model and the pictures as they were drawn go with `release`, once the batches are placed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

import resnet
from bench.plans.case import Case
from bench.runs.job import RunJob
from bench.worker.gate import Truth, check, poison
from bench.worker.measure.clock import Clock
from bench.worker.reference import EXACT
from resnet.inputs import Source, find_source, pictures
from resnet.model import ResNet
from resnet.runner import Runner
from resnet.weights.synthetic import digest


@dataclass
class Material:
    """A model and pictures for it, on the host: what a variant is prepared from."""

    case: Case
    device: str
    source: Source
    model: ResNet
    batches: list[Tensor]  # [N, 3, H, W] each
    example: Tensor | None = None  # on the device; what the variant was prepared with

    def provenance(self) -> tuple[dict[str, Any], str]:
        """The input as a record describes it, and the digest of the weights."""
        return self.source.description(), digest(self.model)

    def prepare(self, example: Tensor | None = None) -> Runner:
        """The variant, prepared with `example`, by default the first batch, on the device."""
        case = self.case
        self.example = self.batches[0].to(self.device) if example is None else example
        return resnet.prepare(case.variant, self.model, self.example, case.precision, case.launch)

    def release(self) -> None:
        """Let go of everything: nothing can be prepared from it any more."""
        del self.model, self.batches, self.example


def material(case: Case, device: str, seed: int, source: str, count: int, batch: int) -> Material:
    """The model of `case`, and `count` pictures in batches of `batch`."""
    origin = find_source(source)
    model = resnet.build(case.model, seed=seed, source=origin)
    drawn = pictures(count, case.image, seed=seed, source=origin)
    return Material(case, device, origin, model, list(drawn.split(batch)))


def material_of(job: RunJob[Any]) -> Material:
    """Of a job: a batch for each buffer in rotation, and behind them an unseen one."""
    count = (job.settings.buffers + 1) * job.case.batch
    return material(job.case, job.device, job.seed, job.source, count, job.case.batch)


def first_call(run: Runner, inputs: Sequence[Tensor], clock: Clock) -> tuple[Tensor, float]:
    """The answer of the first call, and the seconds until it was ready."""
    start = time.perf_counter()
    answer = run(inputs[0])
    clock.wait()
    return answer, time.perf_counter() - start


def gate(run: Runner, inputs: Sequence[Tensor], truth: Truth, clock: Clock) -> dict[str, Any]:
    """Call a prepared variant for the first time, and check its answer to each batch. Raises Wrong."""
    answer, _ = first_call(run, inputs, clock)
    poison(answer, clock)
    return check(run, inputs, range(len(inputs)), truth, clock)


def truth_of(case: Case, reference: Mapping[str, str], rows: slice | np.ndarray) -> Truth:
    """What answers of `case` are held against: `rows` of its references' files, in the order of the pictures."""
    exact = np.load(reference[EXACT])[rows]
    plain = np.load(reference[case.precision]).astype(np.float64)[rows]
    return Truth(case.precision, case.batch, exact, plain)


def truth_of_job(job: RunJob[Any]) -> Truth:
    """What the batches of `material_of` should give."""
    return truth_of(job.case, job.reference, slice((job.settings.buffers + 1) * job.case.batch))
