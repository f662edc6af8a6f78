"""The model of a job, built, and what its record says of it."""

from pathlib import Path

import torch

import resnet
from bench.worker.models import build_model, draw
from resnet.inputs import find_source
from resnet.names import Build
from resnet.weight_files import digest_of

NOISE = find_source("noise")


def test_a_checkpoint_gives_its_counts_and_the_record_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    state = resnet.build("resnet18", num_classes=10, in_channels=1, source="noise").state_dict()
    torch.save({"state_dict_ema": {f"module.{key}": value for key, value in state.items()}}, path)
    built = build_model("resnet18", Build(str(path)), 0, NOISE, 32)
    assert built.facts() == {
        "origin": "resnet-bench",
        "weights": "file",
        "file": digest_of(path),
        "choice": "EMA weights of state_dict_ema.module; in_channels=1, as in the file; num_classes=10, as in the file",
        "num_classes": 10,
        "in_channels": 1,
        "parameters": 11175370,
        "given": {},
    }
    assert str(tmp_path) not in str(built.facts())
    assert draw(2, 32, built.channels, 0, NOISE).shape == (2, 1, 32, 32)


def test_without_one_the_weights_are_synthetic_and_the_counts_imagenets() -> None:
    facts = build_model("resnet18", Build(), 0, NOISE, 32).facts()
    assert (facts["weights"], facts["num_classes"], facts["in_channels"]) == ("synthetic", 1000, 3)
    assert "file" not in facts
    assert facts["given"] == {}
