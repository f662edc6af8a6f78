"""The score of a case: counted right, on pictures that calibrated nothing, paired with float32, in any batch."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import resnet
from bench.plans.case import Case
from bench.plans.scored import SCORED, scored_pictures
from bench.plans.settings import Settings
from bench.runs.job import CaseAnswer, CaseJob, ReferenceJob, reference_job
from bench.worker import score as module
from bench.worker.failure import CannotJudge
from bench.worker.gate import Wrong
from bench.worker.measure.clock import on_device
from bench.worker.reference import write_references
from bench.worker.score import SCORE, check_order, compare, score_case
from resnet.calibration import FIRST_PICTURE
from resnet.data import digits, labelled
from resnet.data.labelled import Labelled
from resnet.names import Build
from resnet.weights import trained
from resnet.weights.trained import Recipe

CASE = Case("resnet18", "eager", "fp32", 4, 32, "stream")
BUILD = Build(num_classes=3)


def job_of(case: Case, settings: Settings, data: str = "", build: Build = BUILD) -> CaseJob:
    made = reference_job([case], settings, "cpu", 0, "noise" if case.model == CASE.model else "photos", build)
    made = replace(made, data=data, scored=settings.score_pictures) if data else made
    return CaseJob(
        case, settings, "cpu", 0, made.source, write_references(made, print)["paths"], build=build, data=data
    )


def score_of(job: CaseJob, spoil: float = 0.0) -> CaseAnswer:
    """Score the case's model by eager, or one whose logits of every picture are off by `spoil` in class 0."""
    model = resnet.build(job.case.model, num_classes=job.build.num_classes or None, source="noise")
    channels, classes = model.conv1.in_channels, model.fc.out_features
    runner = resnet.prepare("eager", model, torch.zeros(1, channels, 32, 32), "fp32", "stream")

    class Spoilt:
        details = runner.details
        place = staticmethod(runner.place)

        def __call__(self, x: Tensor) -> Tensor:
            return runner(x) + spoil * torch.eye(classes)[0]

    with on_device("cpu") as clock:
        x = runner.place(torch.zeros(job.case.batch, channels, 32, 32))
        return score_case(job, Spoilt(), x, (channels, classes), clock)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(trained, "USUAL", Recipe(steps=2, batch=4))
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of four pictures."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name in "abc":
        (tmp_path / name).mkdir()
        for number in range(4):
            image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_counts_are_of_pairs() -> None:
    labels = np.array([0, 1, 2, 3])
    plain = np.eye(8, dtype=np.float32)[[0, 1, 3, 4]]  # right, right, wrong, wrong
    mine = np.eye(8, dtype=np.float32)[[0, 5, 2, 4]]  # right, lost, gained, alike and wrong
    score = compare(mine, plain, labels)
    counts = ("pictures", "agree", "top1", "plain_top1", "lost", "gained")
    assert [score[name] for name in counts] == [4, 2, 2, 2, 1, 1]
    assert score["rms"] == pytest.approx((4 / 32) ** 0.5 / (4 / 32) ** 0.5)
    assert score["top5"] == 2  # seven classes tie behind the first
    ranks = np.array([[8, 7, 6, 5, 4, 3.0], [8, 7, 6, 5, 3, 4.0]])
    assert compare(ranks, ranks, np.array([4, 4]))["top5"] == 1
    assert not compare(mine, plain, None).keys() & {"top1", "lost", "plain_top5"}
    few = compare(mine[:2, :5], plain[:2, :5], labels[:2])  # of five classes any is among the five likeliest
    assert few.keys() & {"top1", "top5", "plain_top5"} == {"top1"}


def test_which_cases_have_a_score_unasked() -> None:
    assert scored_pictures(CASE, Settings()) == 0
    assert scored_pictures(replace(CASE, precision="int8"), Settings()) == SCORED
    assert scored_pictures(replace(CASE, model="resnet18-digits"), Settings()) == digits.JUDGED
    assert scored_pictures(CASE, Settings(score_pictures=9)) == 9
    assert scored_pictures(replace(CASE, batch=0, precision="int8"), Settings(score_pictures=9)) == 0
    assert SCORE not in write_references(ReferenceJob("resnet18", 32, 1, ["fp32"], "cpu", 0, "noise"), print)["paths"]


def test_pictures_without_labels_are_compared_with_float32_alone() -> None:
    job = job_of(CASE, Settings(score_pictures=10))
    score = score_of(job)["score"]
    assert (score["pictures"], score["agree"], score["labelled"], score["unread"]) == (10, 10, False, 0)
    assert score["rms"] < 1e-5
    assert module.FIRST_SCORED + 10**5 < FIRST_PICTURE  # none calibrates
    far = score_of(job, spoil=100.0)
    assert far["score"]["agree"] < 10
    assert far["score"]["data"] == score["data"]


def test_digits_have_labels_and_a_score_unasked() -> None:
    if digits.digits_file() is None:
        pytest.skip(digits.CURE)
    job = job_of(replace(CASE, model="resnet18-digits", batch=64), Settings(), build=Build())
    score = score_of(job)["score"]
    assert (score["pictures"], score["labelled"]) == (digits.JUDGED, True)
    assert score["top1"] == score["plain_top1"]
    zeros = score_of(job, spoil=1e4)["score"]["top1"]  # every answer is 0, and a tenth is right
    assert zeros == (digits.classes_of("digits", 0, digits.JUDGED) or []).count(0)


def test_an_unasked_score_ends_with_its_time_and_one_that_is_asked_for_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "USUAL_S", 0.0)
    asked = job_of(replace(CASE, precision="int8"), Settings(score_pictures=10))
    unasked = replace(asked, settings=Settings())
    assert score_of(asked)["score"]["pictures"] == 10
    assert score_of(unasked)["score"]["pictures"] == 4  # a batch


@pytest.mark.parametrize("batch", [1, 5, 12])
def test_labelled_pictures_are_all_scored_whatever_the_batch(
    folder: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "b" / "2.png").write_bytes(b"none")
    case, settings = replace(CASE, batch=batch), Settings()
    monkeypatch.setattr(labelled, "UNREAD_SHARE", 0.1)
    score = score_of(job_of(case, settings, str(folder)))["score"]
    assert (score["pictures"], score["unread"], score["labelled"], score["agree"]) == (11, 1, True, 11)
    assert score["lost"] == score["gained"] == 0


def test_a_folder_of_which_much_cannot_be_read_is_refused(folder: Path) -> None:
    (folder / "c" / "2.png").write_bytes(b"none")
    with pytest.raises(CannotJudge, match=r"--data: 1 of 12 pictures cannot be read, more than 1%: c/2\.png"):
        job_of(CASE, Settings(), str(folder))


def test_some_of_a_folder_is_scored_and_wrong_classes_are_told(folder: Path) -> None:
    assert score_of(job_of(CASE, Settings(score_pictures=5), str(folder)))["score"]["pictures"] == 5
    with pytest.raises(CannotJudge, match="--data: it has folders of 3 classes, and the model has 7"):
        job_of(CASE, Settings(), str(folder), Build(num_classes=7))


def test_labels_of_another_order_are_refused(tmp_path: Path) -> None:
    files = tuple(tmp_path / f"n{label}" / f"{number}.png" for label in range(4) for number in range(10))
    labels = tuple(label for label in range(4) for _ in range(10))
    read = np.ones(len(files), bool)
    found = Labelled(tmp_path, files, labels, 4, "folders")
    check_order(np.array(labels), found, read)
    check_order(np.zeros(len(labels), int), found, read)  # one answer to all: a poor model, and not another order
    check_order(np.random.default_rng(0).integers(4, size=len(labels)), found, read)
    with pytest.raises(CannotJudge, match=r"most pictures of n0, class 0 by folders, are answered with class 3"):
        check_order(3 - np.array(labels), found, read)
    few = Labelled(tmp_path, files[::5], labels[::5], 4, "folders")
    check_order(3 - np.array(few.labels), few, read[::5])


def test_a_least_agreement_refuses_8_bits_alone_and_nan_is_refused() -> None:
    job = job_of(CASE, Settings(score_pictures=8, min_agreement=0.9))
    assert "status" not in score_of(job, spoil=100.0)
    low = score_of(replace(job, case=replace(CASE, precision="int8")), spoil=100.0)
    assert low["status"] == "wrong"
    assert "of 8 answers agree with float32's, less than the least, 90%" in low["reason"]
    assert "status" not in score_of(replace(job, case=replace(CASE, precision="int8")))
    with pytest.raises(Wrong, match="NaN"):
        score_of(job, spoil=float("nan"))
