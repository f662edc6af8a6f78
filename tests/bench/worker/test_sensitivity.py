"""`bench sensitivity`: what its child answers, and the search for layers to keep wide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.plans.case import Case
from bench.plans.settings import Settings
from bench.report.sensitivity import compress
from bench.runs.kernel_jobs import SensitivityJob
from bench.runs.wire import parse_answer
from bench.worker import sensitivity
from bench.worker.failure import CannotJudge
from resnet.calibration import ALL_WIDE, FLOAT, METHODS, WHOLE
from resnet.names import Build
from resnet.outside.sources import ModelError
from resnet.quant.effects import Effect
from resnet.quant.network import Scheme

CASE = Case.parse("resnet18/onnxruntime/int8/b1/i32/stream")
JOB = SensitivityJob(CASE, Settings(calibration_pictures=2), 0, "noise", "uint8", 3)


def test_each_layer_is_tried_alone_in_8_bits_and_alone_out_of_them() -> None:
    stages: list[str] = []
    answer = sensitivity.measure_sensitivity(JOB, stages.append)
    parse_answer(dict(answer), JOB, whole=True)
    layers = answer["layers"]
    assert stages == ["build", "calibrate", "simulate"]
    assert (len(layers), layers[0], layers[-1]) == (21, "conv1", "fc")
    names = [FLOAT, WHOLE, *(f"quantized:{layer}" for layer in layers), *(f"wide:{layer}" for layer in layers)]
    names.append(ALL_WIDE)
    assert list(answer["effects"]) == names
    squares = {name: sum(effect["squares"]) for name, effect in answer["effects"].items()}
    assert all(0 < squares[f"quantized:{layer}"] < squares[WHOLE] < squares[FLOAT] for layer in layers)
    assert len({squares[f"wide:{layer}"] for layer in layers} - {squares[WHOLE]}) == 21
    assert (answer["groups"], answer["labels"], answer["found"]) == ([0, 1, 2], [], {})


def test_ways_of_calibrating_are_compared_on_the_same_pictures() -> None:
    answer = sensitivity.measure_sensitivity(replace(JOB, methods=True, formats="int8"))
    assert list(answer["effects"]) == [FLOAT, *METHODS]
    assert len({tuple(effect["squares"]) for effect in answer["effects"].values()}) == 1 + len(METHODS)
    assert set(compress(answer)["effects"]["mse"]) == {"squares", "agree"}


def user_s_model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def test_a_model_without_steps_is_refused_in_a_sentence() -> None:
    case = replace(CASE, model=f"{__name__}:user_s_model")
    with pytest.raises(ModelError, match="is none of this project's ResNets"):
        sensitivity.measure_sensitivity(replace(JOB, case=case))


def test_a_loss_is_of_answers_or_of_right_ones() -> None:
    effects = {FLOAT: Effect([0, 1, 2, 3], [1.0] * 4), "wide": Effect([0, 1, 5, 4], [1.0] * 4)}
    assert sensitivity.count_lost(effects, "wide") == (2, None)
    assert sensitivity.count_lost(effects, "wide", [0, 1, 5, 3]) == (1, 1)  # one right answer lost, another gained
    assert sensitivity.count_lost(effects, "wide", [0, 1, 2, 3]) == (2, 0)


@pytest.mark.parametrize("labelled", [False, True])
def test_a_search_goes_on_until_other_pictures_confirm_it(monkeypatch: pytest.MonkeyPatch, labelled: bool) -> None:
    """The whole interval decides: of 1000 pictures 80 lost are surely under 10 %, 95 and 105 may be either."""
    lost = [[400, 200, 80, 80, 0], [400, 300, 95, 105, 80]]
    labels = [7] * 1000 if labelled else []

    def wide(steps: object, ranges: object, scheme: object, names: list[str]) -> int:
        return len(names)

    def count_lost(effects: tuple[int, range], name: str, labels: object) -> sensitivity.Lost:
        count, part = effects
        return lost[part[0]][count], 0 if labelled else None

    monkeypatch.setattr(sensitivity, "quantize", wide)
    monkeypatch.setattr(sensitivity.quant, "effects", lambda steps, networks, part: (networks["wide"], part))
    monkeypatch.setattr(sensitivity, "count_lost", count_lost)
    parts = [(range(part, part + 1000), labels) for part in (0, 1)]

    def search(most: float) -> tuple[list[str], object, bool | None]:
        result = sensitivity.search((), {}, Scheme("uint8"), "abcd", parts, most)  # type: ignore[arg-type]
        return result["wide"], result["checked"][0], result["met"]

    assert search(0.1) == (list("abcd"), 80, True)
    assert search(0.4) == (["a"], 300, True)
    assert search(0.075) == (list("abcd"), 80, None)
    assert search(0.05) == (list("abcd"), 80, False)
    assert search(0.45) == ([], 400, True)


def test_a_folder_without_trained_weights_has_no_labels_and_of_too_few_says_what_needs_fewer(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in "abc":
        (tmp_path / name).mkdir()
        image.new("RGB", (40, 40), "white").save(tmp_path / name / "1.png")
    job = replace(JOB, data=str(tmp_path), build=Build(num_classes=3))
    with pytest.raises(CannotJudge, match="--data has 3 pictures, and 8 are needed: ask for fewer with -n"):
        sensitivity.measure_sensitivity(replace(job, pictures=8))
    answer = sensitivity.measure_sensitivity(replace(job, methods=True))
    assert (len(answer["effects"]["mse"]["top"]), answer["labels"]) == (3, [])  # synthetic: right by chance
    with pytest.raises(CannotJudge, match=r"3 pictures, and 2 \+ 385 \+ 385 are needed: ask for a larger --max-loss"):
        sensitivity.measure_sensitivity(replace(job, pictures=2, most_lost=0.01))
