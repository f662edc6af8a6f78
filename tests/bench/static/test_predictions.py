"""What the model predicts of a network, as data, and what came of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.machine.environment import ROOT
from bench.static import predictions
from bench.static.predictions import GPU, Prediction, Provenance, group_of, rows_by_batch
from bench.tuning.gpus import predict_us
from bench.tuning.networks import Network
from kernels.kinds import default_config
from kernels.space.layer import Layer
from kernels.table import Entry as Measured
from kernels.table import Table

MIDDLE = Layer(128, 56, 56, 64, 64, (3, 3), 1, 1)
LAST = Layer(128, 56, 56, 64, 256, (1, 1), residual=True)
OTHER = replace(MIDDLE, h=28, w=28)
MADE: Provenance = {"command": "bench kernels --predict file", "date": "2026-11-24", "commit": "0123456789"}


def network(batch: int) -> Network:
    layers = {MIDDLE: 3, LAST: 2, OTHER: 1}
    return Network("resnet50", batch, "fp16", {replace(layer, n=batch): count for layer, count in layers.items()})


def measured(*layers: Layer, us: float = 10.0, chosen: str = "measured") -> Table:
    return Table(Measured(GPU.name, layer.key, "ptr-64x64x64-w4-s3-k1-g8", chosen, us, "", "") for layer in layers)


@pytest.fixture
def prediction(tmp_path: Path) -> Prediction:
    return predictions.save_prediction(tmp_path / "file.json", [network(128), network(256)], MADE)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (MIDDLE, "3x3, 64 to 64"),
        (LAST, "1x1 to 256 and sum"),
        (replace(LAST, residual=False), "1x1 to 256"),
        (replace(LAST, residual=False, second=(56, 56, 64, 1)), "1x1 to 256 and shortcut"),
        (replace(MIDDLE, kernel=(7, 7), pool=True), "stem"),
        (replace(LAST, mean=True), "head"),
    ],
)
def test_layers_that_differ_in_their_input_alone_are_a_group(layer: Layer, name: str) -> None:
    assert group_of(layer) == name


def test_a_group_is_all_launches_of_its_layers(prediction: Prediction) -> None:
    window, last = rows_by_batch(prediction, Table())[128]
    assert (window.launches, last.launches) == (4, 2)
    each = [predict_us(layer, str(default_config(layer, 90, 132)), GPU) for layer in (MIDDLE, OTHER)]
    assert window.us == pytest.approx(3 * each[0] + each[1], rel=0.01)


def test_an_outcome_is_there_once_all_of_a_group_are_measured(prediction: Prediction) -> None:
    window, last = rows_by_batch(prediction, measured(MIDDLE, LAST))[128]
    assert (window.measured, last.measured) == (None, 20.0)
    window, _ = rows_by_batch(prediction, measured(MIDDLE, OTHER))[128]
    assert window.measured == 40.0
    assert rows_by_batch(prediction, measured(MIDDLE, OTHER))[256][0].measured is None
    window, _ = rows_by_batch(prediction, measured(MIDDLE, OTHER, chosen="model"))[128]
    assert window.measured is None


def test_a_prediction_is_its_file(tmp_path: Path, prediction: Prediction) -> None:
    assert predictions.read_prediction(tmp_path / "file.json") == prediction


@pytest.mark.parametrize(
    "content",
    [
        *(None, "[]", "{", '{"schema": 2, "networks": []}', '{"schema": 1, "networks": []}'),
        '{"schema": 1, "gpu": "x", "model": "y", "precision": "z", "made": {}, "networks": [{"batch": 1}]}',
    ],
)
def test_a_file_that_is_no_prediction(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StoreError, match=r"file\.json"):
        predictions.read_prediction(path)


def test_this_checkout_s_prediction_is_whole() -> None:
    by_batch = rows_by_batch(predictions.read_prediction(ROOT / "results/kernels/predictions.json"), Table())
    assert set(by_batch) == set(predictions.BATCHES)
    assert all(groups[0].group == "stem" and groups[-1].group == "head" for groups in by_batch.values())
