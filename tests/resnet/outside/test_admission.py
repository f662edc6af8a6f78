"""A model whose answers cannot be judged is refused with a sentence before anything is timed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from resnet.outside.admission import admit
from resnet.outside.sources import ModelError

Toy = Callable[..., Any]
BATCH = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

SENTENCES = {
    "stays": "stays in training mode after eval",
    "behaving@how=dropout": "answers differently each time, by .*% .*dropout",
    "behaving@how=mixes": "depending on the others of its batch",
    "behaving@how=nan": "of its float64 answer is NaN or infinite",
    "behaving@how=constant": "the same answer for every picture",
    "behaving@how=float_at_the_end": "answers in float32 when its weights and pictures are float64",
    "behaving@how=float_inside": "computes a part in less than float64",
    "unregistered": "does not run in float64.*; mix: a tensor that is neither parameter nor buffer",
    "uncopied": "cannot be copied.*there is one of me",
}


@pytest.mark.parametrize(
    "name", ["build", "trained", "behaving@how=in_place", "behaving@how=numpy", "answering@kind=tuple"]
)
def test_what_can_be_judged_is_admitted(toy: Toy, name: str) -> None:
    admit(toy(name), toy(name), BATCH, "cpu")


@pytest.mark.parametrize("name", SENTENCES)
def test_what_cannot_be_judged_is_refused_with_a_sentence(toy: Toy, name: str) -> None:
    model = toy(name)
    with pytest.raises(ModelError, match=SENTENCES[name]):
        admit(model, model, BATCH, "cpu")


def test_weights_that_differ_from_build_to_build_are_refused(toy: Toy) -> None:
    with pytest.raises(ModelError, match="other weights each time it is built"):
        admit(toy("random"), toy("random"), BATCH, "cpu")


def test_nothing_is_left_of_the_checks(toy: Toy) -> None:
    model = toy("build")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    admit(model, model, BATCH, "cpu")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
