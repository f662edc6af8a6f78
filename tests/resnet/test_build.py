"""The package's face, used as the README uses it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import resnet
from resnet.weights.synthetic import digest


def test_importing_the_package_leaves_torch_unloaded() -> None:
    code = "import sys, resnet; print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    told = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_the_readmes_example() -> None:
    model = resnet.build("resnet18", seed=0)
    batch = resnet.pictures(2, 64)
    run = resnet.prepare("library-fused", model, batch, "fp32")
    logits = run(run.place(batch))
    assert logits.shape == (2, 1000)
    assert torch.allclose(logits, model(batch), atol=1e-4)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_checkpoint_takes_the_place_of_synthetic_weights(tmp_path: Path, suffix: str) -> None:
    other = resnet.build("resnet18", seed=7, num_classes=10, source="noise")
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": other.state_dict()}, path)
    else:
        pytest.importorskip("safetensors.torch").save_file(other.state_dict(), path)
    loaded = resnet.build("resnet18", num_classes=10, weights=path)
    assert digest(loaded) == digest(other)
    assert not loaded.training


def test_a_checkpoint_of_another_model_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(resnet.build("resnet34", num_classes=10, source="noise").state_dict(), path)
    with pytest.raises(ValueError, match="resnet34"):
        resnet.build("resnet18", num_classes=10, weights=path)


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="18, 34, 50, 101, 152"):
        resnet.build("resnet20")
