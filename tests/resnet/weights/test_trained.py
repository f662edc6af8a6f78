"""Training on digits, by a recipe that is cut short: the same weights each time, kept, and of the network asked for."""

from operator import eq
from pathlib import Path

import pytest
import torch

import resnet
from resnet.archs import Spec
from resnet.data import digits
from resnet.model import ResNet
from resnet.weights import trained as module
from resnet.weights.synthetic import digest
from resnet.weights.trained import Recipe, trained

pytestmark = pytest.mark.skipif(digits.digits_file() is None, reason=digits.CURE)
SHORT = Recipe(steps=3, batch=4)
SPEC = Spec.parse("resnet18-digits-hard")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path))


def test_equal_recipes_and_seeds_make_equal_weights_whatever_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, state, told = torch.get_num_threads(), torch.get_rng_state(), list[str]()
    first = trained(SPEC, recipe=SHORT, tell=told.append)
    assert told == ["training 0 %"]
    assert trained(SPEC, recipe=SHORT, tell=told.append) is not first
    assert len(told) == 1  # the second was in the cache
    assert digest(trained(SPEC, seed=1, recipe=SHORT)) != digest(first)
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "other"))
    torch.set_num_threads(2)
    try:
        assert digest(trained(SPEC, recipe=SHORT)) == digest(first)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.get_rng_state().equal(state)


def test_weights_of_other_classes_read_no_digits(tmp_path: Path) -> None:
    torch.save(ResNet(SPEC, num_classes=3).state_dict(), tmp_path / "three.pth")
    with pytest.raises(ValueError, match="weights of 3 classes read no digits: give some of 10"):
        resnet.build(SPEC.name, weights=tmp_path / "three.pth")


def test_build_trains_a_network_of_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "USUAL", SHORT)
    model = resnet.build("resnet18-digits")
    assert (model.conv1.in_channels, model.conv1.out_channels, model.fc.out_features) == (1, 16, 10)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ValueError, match="trained on 10 classes of 1 channel"):
        resnet.build("resnet18-digits", num_classes=1000)


@pytest.mark.slow
def test_the_usual_recipe_reads_97_of_100_digits_that_it_has_not_seen() -> None:
    model = resnet.build("resnet18-digits")
    with torch.inference_mode():
        answers = model(resnet.pictures(digits.JUDGED, 32, source="digits")).argmax(1)
    right = sum(map(eq, answers.tolist(), digits.classes_of("digits", 0, digits.JUDGED) or []))
    assert right >= 0.97 * digits.JUDGED
