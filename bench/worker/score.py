"""The score of a case: its answers to pictures that calibrated nothing, beside plain torch's in float32, and labels.

float32's answers come from the references' process, with the labels; a case draws the same pictures again, a batch at a
time. It is untimed, and comes after memory was read.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.plans.scored import scored_pictures
from bench.runs.job import CaseAnswer, CaseJob, ReferenceJob
from bench.runs.kernel_jobs import SensitivityJob
from bench.runs.wire import Json
from bench.worker.failure import CannotJudge, Wrong
from bench.worker.gate import poison
from bench.worker.measure.clock import Clock
from bench.worker.models import Built, draw
from bench.worker.truth import rms
from resnet.calibration import EIGHT_BITS
from resnet.data import digits
from resnet.data.labelled import Labelled, check_read, find_labelled
from resnet.inputs import MEAN, STD, Source, as_channels, source_for
from resnet.runner import Runner

SCORE = "score"  # the name under which a reference job's answer has the file
RECIPE = 1  # part of the cache's key: raise it when the computation below changes
FIRST_SCORED = 1 << 19  # of a seed: before those that calibrate, after those that the gate looks at
CHUNK = 8  # pictures in one forward pass of float32
USUAL_S = 10.0  # after which a case stops, where no number of pictures is set
TOP = 5
# Labels are of another order than the answers, if each class is mostly answered alike, but as another: in this share of
# the pictures, or in so many times the share by chance, of so many a class.
ALIKE, BY_CHANCE, ENOUGH = 0.6, 3, 10


@dataclass(frozen=True)
class Questions:
    """The pictures of a score for a model of so many `channels`: `count` of a source, or all that are `labelled`."""

    source: Source
    seed: int
    image: int
    channels: int
    count: int
    labelled: Labelled | None = None

    @property
    def labels(self) -> list[int] | None:
        """The right answers; None of pictures without labels."""
        if self.labelled:
            return list(self.labelled.labels)
        return digits.classes_of(self.source.kind, FIRST_SCORED, self.count)

    @cached_property
    def digest(self) -> str:
        """A digest of the pictures and their labels."""
        if self.labelled:
            return self.labelled.digest()
        drawn = f"{self.source.description()} {self.seed} {FIRST_SCORED} i{self.image}"
        return hashlib.sha256(drawn.encode()).hexdigest()[:16]

    def batches(self, size: int, unread: dict[int, str]) -> Iterator[tuple[list[int], Tensor]]:
        """Yield float32 batches of up to `size` pictures, each with its rows; `unread` gets the rows of the others."""
        rows: list[int] = []
        batch: list[Tensor] = []
        for row, picture in enumerate(self._pictures(size)):
            if isinstance(picture, ValueError):
                unread[row] = str(picture)
            else:
                rows, batch = [*rows, row], [*batch, picture]
            if len(rows) == size:
                yield rows, as_channels(torch.stack(batch), self.channels)
                rows, batch = [], []
        if rows:
            yield rows, as_channels(torch.stack(batch), self.channels)

    def _pictures(self, size: int) -> Iterator[Tensor | ValueError]:
        if self.labelled is None:
            for first in range(0, self.count, size):
                count = min(size, self.count - first)
                yield from draw(count, self.image, self.channels, self.seed, self.source, FIRST_SCORED + first)
            return
        mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
        for picture in self.labelled.pictures(self.image):
            if isinstance(picture, ValueError):
                yield picture
            else:
                normal = (np.asarray(picture, np.float32) / 255 - mean) / std
                yield torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)))


def questions_of(job: CaseJob | ReferenceJob | SensitivityJob, ends: tuple[int, int], count: int) -> Questions:
    """Return the questions of a job's model: `count`, or 0 for all of a folder. `ends` are its channels and classes.

    Raises CannotJudge.
    """
    name, image = (job.model_name, job.image) if isinstance(job, ReferenceJob) else (job.case.model, job.case.image)
    channels, classes = ends
    source = source_for(name, job.source)
    if not job.data:
        return Questions(source, job.seed, image, channels, count)
    try:
        labelled = find_labelled(job.data, classes).chosen(count)
    except ValueError as error:
        raise CannotJudge(f"--data: {error}") from None
    return Questions(source, job.seed, image, channels, len(labelled.files), labelled)


def write_score(job: ReferenceJob, built: Built, questions: Questions, path: Path) -> None:
    """Write plain torch's float32 answers to the questions, and which of these could be read. Raises CannotJudge."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    network = deepcopy(built.module).to(job.device)
    plain, unread = np.full((questions.count, built.classes), np.nan, np.float32), dict[int, str]()
    with torch.inference_mode():
        for rows, batch in questions.batches(CHUNK, unread):
            plain[rows] = network(batch.to(job.device)).float().cpu().numpy()
    read = np.array([row not in unread for row in range(questions.count)])
    refuse_unread(unread, questions.count)
    if questions.labelled:
        check_order(plain[read].argmax(1), questions.labelled, read)
    with path.open("wb") as file:
        np.savez(file, plain=plain, read=read, data=np.array(questions.digest))


def refuse_unread(unread: dict[int, str], count: int) -> None:
    """Raise CannotJudge where too many of so many pictures could not be read; `unread` has the reason of each."""
    try:
        check_read(unread.values(), count)
    except ValueError as error:
        raise CannotJudge(f"--data: {error}") from None


def check_order(answers: np.ndarray, labelled: Labelled, read: np.ndarray) -> None:
    """Raise CannotJudge if the answers [N] are right but for the order of the classes."""
    labels = np.array(labelled.labels)[read]
    usual = {int(label): np.bincount(answers[labels == label]) for label in np.unique(labels)}
    alike = sum(int(counts.max()) for counts in usual.values()) / len(labels)
    named = {label: int(counts.argmax()) for label, counts in usual.items()}
    wrong = [label for label, answer in named.items() if answer != label]
    varied = len(set(named.values())) > len(named) / 2  # unlike those of a model that gives one answer to anything
    least = max(ALIKE, BY_CHANCE / len(usual))
    if len(labels) < ENOUGH * len(usual) or alike < least or not varied or len(wrong) <= len(named) / 2:
        return
    label = wrong[0]
    folder = labelled.files[labelled.labels.index(label)].parent.name
    raise CannotJudge(
        f"--data: the order of the labels is not the model's: most pictures of {folder}, class {label} by "
        f"{labelled.order}, are answered with class {named[label]}; list the folders in the model's order in "
        "classes.txt beside them"
    )


def score_case(job: CaseJob, runner: Runner, x: Tensor, ends: tuple[int, int], clock: Clock) -> CaseAnswer:
    """Return the record's score of a prepared case whose placed batch `x` is overwritten; nothing without questions.

    `ends` are the model's channels and classes. A score below the least agreement that the settings ask for makes the
    case wrong.
    """
    path = job.reference.get(SCORE)
    if path is None:
        return {}
    with np.load(path) as saved:
        plain, read, data = saved["plain"], saved["read"], str(saved["data"])
    usual = scored_pictures(job.case, job.settings)
    count = len(plain) if job.data else min(usual, len(plain))
    if not count:
        return {}
    start = time.monotonic()
    stop = math.inf if job.data or job.settings.score_pictures else start + USUAL_S
    questions = questions_of(job, ends, job.settings.score_pictures if job.data else count)
    scored: list[int] = []  # rows of the questions
    answers: list[np.ndarray] = []
    for rows, batch in questions.batches(len(x), {}):
        scored += rows
        answers.append(_answer(runner, x, batch, job.case.precision, clock))
        if time.monotonic() > stop:
            break
    labels = None if questions.labels is None else np.array(questions.labels)[scored]
    score = compare(np.concatenate(answers), plain[scored], labels)
    score |= {"unread": int((~read).sum()), "data": data, "s": time.monotonic() - start}
    least, share = job.settings.min_agreement, score["agree"] / score["pictures"]
    if job.case.precision not in EIGHT_BITS or share >= least:
        return {"score": score}
    reason = f"{score['agree']} of {score['pictures']} answers agree with float32's, less than the least, {least:.0%}"
    return {"score": score, "status": "wrong", "reason": reason}


def compare(answers: np.ndarray, plain: np.ndarray, labels: np.ndarray | None) -> Json:
    """Return the counts of a score from logits [N, classes], float32's logits, and the right classes [N] or None."""
    mine, theirs = answers.argmax(1), plain.argmax(1)
    score: Json = {
        "pictures": len(answers),
        "agree": int((mine == theirs).sum()),
        "rms": rms(answers.astype(np.float64) - plain) / rms(plain),
        "labelled": labels is not None,
    }
    if labels is not None:
        right, plainly = mine == labels, theirs == labels
        score |= {"top1": int(right.sum()), "plain_top1": int(plainly.sum())}
        score |= {"lost": int((plainly & ~right).sum()), "gained": int((right & ~plainly).sum())}
        if plain.shape[1] > TOP:  # else any class is among them
            score |= {"top5": _within(answers, labels), "plain_top5": _within(plain, labels)}
    return score


def _within(logits: np.ndarray, labels: np.ndarray) -> int:
    """Return how often the right class is among the TOP likeliest; classes that tie with it count against it."""
    of_right = logits[np.arange(len(labels)), labels][:, None]
    return int(((logits >= of_right).sum(1) <= TOP).sum())


def _answer(runner: Runner, x: Tensor, batch: Tensor, precision: str, clock: Clock) -> np.ndarray:
    """Return the logits of a batch, float32, run in the placed batch `x`; one that is shorter is filled up."""
    count, missing = len(batch), len(x) - len(batch)
    full = torch.cat([batch, batch[-1:].expand(missing, -1, -1, -1)])
    # A runner may keep all that it places, and capture a graph for each. But tf32's inputs may be rounded by `place`.
    plain = x.shape == full.shape and x.is_floating_point() and precision != "tf32"
    with torch.inference_mode():  # it may write to all tensors, from inference mode or not
        x.copy_(full if plain else runner.place(full))
    result = runner(x)
    clock.wait()
    logits: np.ndarray = result[:count].detach().to("cpu", torch.float32, copy=True).numpy()
    poison(result, clock)
    if not np.isfinite(logits).all():
        raise Wrong("an answer to a scored picture is NaN or infinite")
    return logits
