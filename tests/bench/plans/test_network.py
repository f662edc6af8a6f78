"""What is known of a network before it is built, and checkpoints that are named."""

from pathlib import Path

import pytest

from bench.errors import PlanError
from bench.plans.network import checkpoint_from, network_given
from resnet.names import Build


def test_a_checkpoint_is_named_from_a_folder_with_the_entry_behind_it(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"1")
    assert checkpoint_from(tmp_path, "a.pth#ema") == f"{tmp_path}/a.pth#ema"
    assert network_given(Build(f"{tmp_path}/a.pth#ema", in_channels=1)) == {
        "weights": "file",
        "file": "6b86b273ff34fce1",
        "given": {"in_channels": 1, "entry": "ema"},
    }


def test_what_is_no_checkpoint_is_told_with_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="is not there; name a checkpoint"):
        checkpoint_from(tmp_path, "gone.pth")
    with pytest.raises(PlanError, match="is a folder; name a checkpoint"):
        checkpoint_from(tmp_path, ".")
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").touch()
    with pytest.raises(PlanError, match=r"is a folder with model\.safetensors; name a checkpoint"):
        checkpoint_from(tmp_path, ".")
