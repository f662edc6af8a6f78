"""`bench kernels --predict`: the file and its sums."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.runs import process
from bench.runs.process import Answer
from bench.static import predictions
from kernels.space.layer import Layer

MIDDLE = Layer(128, 56, 56, 64, 64, (3, 3), 1, 1)


REST = {"gpu": None, "versions": {}, "bundle": ""}


def test_the_command_writes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child answers is `networks` of the tuner, which has tests of its own."""
    network = {"model": "resnet50", "batch": 128, "precision": "fp16", "layers": [[asdict(MIDDLE), 1]]}
    sent: dict[str, object] = {}

    def ask(job: dict[str, object], limit_s: float, *_: object) -> Answer:
        sent.update(job)
        return Answer("ok", "", {"networks": [json.loads(json.dumps(network))]} | REST, 0.0)

    monkeypatch.setattr(process, "ask", ask)
    done = CliRunner().invoke(app, ["kernels", "--predict", str(tmp_path / "file.json")])
    assert done.exit_code == 0, done.output
    assert (sent["models"], sent["batches"]) == (["resnet50"], [1, 32, 128, 256])
    assert "images/s" in done.stdout
    assert predictions.read_prediction(tmp_path / "file.json")["networks"][0]["batch"] == 128
    done = CliRunner().invoke(app, ["kernels", "--predict", str(tmp_path / "file.json" / "file.json")])
    assert done.exit_code == 2
