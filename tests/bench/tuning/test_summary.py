"""What a tuner's run is told as: rows, tables within 80 columns, a sentence."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from bench.tuning import summary
from bench.tuning.networks import Network
from bench.tuning.tuner import START_S, Tuner
from kernels.space.layer import Layer
from tests.bench.tuning.played import LARGE, MIDDLE, NETWORK, SMALL, FakeChild


def printed(tuner: Tuner, out_of_time: bool = True) -> list[str]:
    out = Console(width=80, highlight=False, file=io.StringIO())
    for line in summary.summary_lines(tuner, out_of_time):
        out.print(line.content, style=line.style, markup=line.markup, soft_wrap=line.whole)
    return out.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_it_fits_80_columns(tuner: Callable[..., Tuner]) -> None:
    """With the longest layer and the longest configuration of all networks."""
    layer = Layer(256, 14, 14, 256, 1024, (1, 1), second=(28, 28, 512, 2))
    network = Network("resnet152v1-none", 256, "fp16", {layer: 12})
    child = FakeChild(lambda layer, config: {"status": "won", "us": 1234.567, "beside_us": 22222.22})
    made = tuner(child, networks=[network])
    made.tune()
    (target,) = made.targets
    long = replace(target.tried[target.best or ""], config="tma-1.16.16x128x32-w8-s3-k16-g8-pdl")
    target.candidates.append(long.config)
    target.add(long)
    lines = printed(made)
    assert any("tma-1.16.16x128x32-w8-s3-k16" in line and "14x14x256 1x1 1024 +d" in line for line in lines), lines
    assert all(len(line) <= 80 for line in lines if "Table:" not in line)


def test_a_network_has_a_time_once_all_its_layers_have(tuner: Callable[..., Tuner]) -> None:
    won = {"status": "won", "us": 5.0}
    made = tuner(FakeChild(lambda layer, config: won if layer != SMALL.key else {"status": "failed"}))
    made.tune()
    assert summary.network_rows(made)[0]["us"] is None
    made = tuner(FakeChild(lambda layer, config: won), versions={"torch": "2", "triton": "4"})
    made.tune()
    (row,) = summary.network_rows(made)
    assert (row["layers"], row["us"], row["first_us"]) == (12, 60.0, 60.0)
    layers = {row["layer"]: row for row in summary.layer_rows(made)}
    assert layers.keys() == {layer.key for layer in (SMALL, MIDDLE, LARGE)}
    assert all(row["won"] == row["tried"] == 6 and row["left"] == 0 for row in layers.values())
    assert all(row["ratio"] == pytest.approx(5.0 / (row["predicted_us"] or 0)) for row in layers.values())


def test_what_is_left_is_told_and_why(tuner: Callable[..., Tuner]) -> None:
    made = tuner(FakeChild(), budget_s=START_S + 5, networks=[NETWORK])
    made.tune()
    left = summary.candidates_left(made)
    assert left > 0
    assert f"Tried {18 - left}: 0 won, {18 - left} lost, 0 wrong, 0 refused, 0 failed. {left} left." in printed(made)
    assert "Out of time: the same command goes on." in printed(made)
    assert "Out of time: the same command goes on." not in printed(made, out_of_time=False)
    assert summary.as_json(made)["left"] == left
