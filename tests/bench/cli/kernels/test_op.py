"""`bench op` as a user calls it, on a module of the current folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app

CODE = """
import os
import torch.nn.functional as F

def conv(x, weight, bias, residual, stride, padding, relu):
    if residual is not None:
        os.abort()
    y = F.conv2d(x, weight, bias, stride, padding)
    return y.relu_() if relu else y
"""
SMALL = ("--model", "resnet18", "--batch", "1", "--image", "32", "--precision", "fp32")


@pytest.fixture
def op(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "mine.py").write_text(CODE)
    return lambda *words: CliRunner().invoke(app, ["op", *words, *SMALL])


def test_a_layer_at_which_the_process_dies_is_one_row(op: Callable[..., Result], tmp_path: Path) -> None:
    layers = ("--layer", "conv1", "--layer", "layer1.0.conv2", "--layer", "layer2.0.downsample.0")
    done = op("mine:conv", *layers, "--seconds", "0", "-o", "op.json")
    assert done.exit_code == 1
    assert "Right on 2 of 3 layers" in " ".join(done.stdout.split())
    assert "layer1.0.conv2: crash: died by signal SIGABRT" in done.stdout
    rows = {row["names"][0]: row for row in json.loads((tmp_path / "op.json").read_text())["rows"]}
    assert [row["status"] for row in rows.values()] == ["ok", "crash", "ok"]
    assert rows["conv1"]["turns"] >= 6
    low, high = rows["conv1"]["speedup_interval"]
    assert low <= rows["conv1"]["speedup"] <= high
    assert rows["layer1.0.conv2"]["yours_us"] is None


def test_the_layers_are_listed_without_code(op: Callable[..., Result]) -> None:
    rows = list(csv.DictReader(io.StringIO(op("--list", "--layer", "-1x1-s2-", "--csv").stdout)))
    assert [row["names"] for row in rows] == [f"layer{stage}.0.downsample.0" for stage in (2, 3, 4)]
    assert rows[0]["layer"] == "fp32-n1-8x8x64-1x1-s2-p0-k128"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("mine:gone", "--layer", "conv1"), 1, "mine.py has no gone: mine:NAME, of conv"),
        (("absent:conv",), 2, "there is no module absent"),
        (("conv",), 2, "'conv' has not the form"),
        ((), 2, "name your convolution, as mymodule:conv"),
        (("mine:conv", "--layer", "9x9"), 2, "no convolution matches --layer 9x9"),
    ],
)
def test_what_cannot_be_judged_is_a_sentence(
    words: tuple[str, ...], code: int, sentence: str, op: Callable[..., Result]
) -> None:
    done = op(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert sentence in " ".join(done.stderr.split())
