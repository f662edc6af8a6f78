"""Models by names from outside: whose they are, what they answer with, and a sentence for each that cannot be built."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import resnet
from resnet.code import FOLDERS
from resnet.outside.build import bare_outside
from resnet.outside.sources import ModelError, pip_line, why_not_built

Toy = Callable[..., Any]


def test_a_user_s_function_is_a_model_of_its_name(toy: Toy) -> None:
    model = toy("build@width=4", num_classes=7, in_channels=1)
    assert (model.classes, model.channels, model.origin, model.weights) == (7, 1, "outside_toys", "synthetic")
    assert model.net.fc.in_features == 4
    assert len(model.code) == 16
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 7)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_a_class_and_a_module_that_is_there_are_builders_too(toy: Toy) -> None:
    assert toy("Net@num_classes=3").classes == 3
    assert toy("ready").net is not toy("ready").net


@pytest.mark.parametrize("kind", ["tensor", "mapping", "tuple", "attribute", "1x1"])
def test_the_logits_are_taken_from_every_usual_form(toy: Toy, kind: str) -> None:
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(toy(f"answering@kind={kind}")(x), toy("answering")(x))


def test_a_model_that_changes_its_input_gets_a_copy(toy: Toy) -> None:
    model, x = toy("behaving@how=in_place"), torch.randn(2, 3, 32, 32)
    before = x.clone()
    assert torch.equal(model(x), model(x))
    assert torch.equal(x, before)


def test_what_a_file_draws_at_its_import_changes_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first build imports it."""
    (tmp_path / "draws_at_import.py").write_text(
        "from torch import nn\n\nUNUSED = nn.Linear(3, 3)\n\n\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(FOLDERS, raising=False)
    first, second = (bare_outside("draws_at_import:build", image=32) for _ in range(2))
    assert torch.equal(first.net[1].weight, second.net[1].weight)


def test_the_channels_of_a_model_are_its_first_convolution_s(toy: Toy) -> None:
    assert toy("build@in_channels=2").channels == 2


SENTENCES = {
    "answering@kind=nameless": "a mapping of features, answer, none of which is `logits`",
    "answering@kind=pixels": r"answers \[2, 8, 16, 16\], a picture for each picture",
    "answering@kind=vector": r"answers \[2\] for 2 pictures: want \[2, classes\]",
    "answering@kind=classes": "answers in int64, not in floating point",
    "answering@kind=nothing": "answers with a NoneType, in which no logits are",
    "masked": "does not run on a float32 batch .* alone: TypeError: .*mask",
    "sized": "does not run on a float32 batch .*--image",
    "complex_weights": "complex weights",
    "number": "returns a int, not a torch.nn.Module",
    "raising": r"cannot be built: RuntimeError: no such layer \(outside_toys.py:\d+\)",
    "build@depth=3": "cannot be built: TypeError: .*depth",
    "not_callable": "cannot be called",
    "nowhere": "outside_toys.py has no nowhere",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_cannot_be_built_says_so_in_a_sentence(toy: Toy, name: str) -> None:
    with pytest.raises(ValueError, match=SENTENCES[name]):
        toy(name)


def test_a_count_that_the_builder_does_not_take_is_refused(toy: Toy) -> None:
    for option in ("num_classes", "in_channels"):
        with pytest.raises(
            ModelError, match=f"no parameter for --{option.replace('_', '-')}: its builder takes nothing"
        ):
            toy("fixed", **{option: 4})


def test_the_parent_says_what_is_missing_and_imports_nothing() -> None:
    assert why_not_built("resnet50") is None
    assert why_not_built("outside_toys:build") is None
    assert "there is no module no_such_module" in str(why_not_built("no_such_module:build"))
    assert "pip install --no-deps 'torchvision==0." in pip_line("torchvision")
    assert pip_line("timm").endswith("timm huggingface_hub safetensors pyyaml")
    for package in ("timm", "torchvision"):
        reason = why_not_built(f"{package}:resnet18")
        assert (reason is None) == bool(find_spec(package))


def test_weights_from_a_file_are_the_file_s(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(toy("trained").net.state_dict(), path)
    model = toy("build", weights=path)
    assert model.weights == "file"
    assert float(model.net.bn1.running_var[0]) == 2


needs_torchvision = pytest.mark.skipif(not find_spec("torchvision"), reason="torchvision is not installed")
needs_timm = pytest.mark.skipif(not find_spec("timm"), reason="timm is not installed")


@needs_torchvision
def test_torchvision_s_models_build_and_others_have_sentences() -> None:
    options: dict[str, Any] = {"source": "noise", "image": 64}
    model = resnet.build("torchvision:shufflenet_v2_x0_5", num_classes=4, **options)
    assert (model.classes, model.origin.split()[0]) == (4, "torchvision")
    for name, words in {
        "fcn_resnet50": "is no classifier",
        "resnet500": "torchvision has no model resnet500; near: .*resnet50",
        "vit_b_16": "Wrong image height.*--image",
    }.items():
        with pytest.raises(ModelError, match=words):
            resnet.build(f"torchvision:{name}", **options)
    with pytest.raises(ModelError, match="no parameter for --in-channels"):
        resnet.build("torchvision:resnet18", in_channels=1, **options)


@needs_timm
def test_timm_s_models_build_with_classes_and_channels() -> None:
    model = resnet.build("timm:resnet10t", num_classes=4, in_channels=1, source="noise", image=64)
    assert (model.classes, model.channels, model.weights) == (4, 1, "synthetic")
    assert model.origin.startswith("timm ")
    with pytest.raises(ModelError, match="timm has no model resnet10x; near:"):
        resnet.build("timm:resnet10x")
