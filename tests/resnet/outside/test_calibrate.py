"""Synthetic weights of models from outside: no dead branch, natural scales, and trained weights are left alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet.inputs import pictures
from resnet.outside import calibrate
from resnet.outside.branches import branch_weights
from resnet.weights.synthetic import BRANCH_SCALE, digest

Toy = Callable[..., Any]


def test_every_branch_counts_and_answers_depend_on_the_picture(toy: Toy) -> None:
    model = toy("build", seed=1)
    scale = model.net.bn2.weight
    assert 0.3 * BRANCH_SCALE < float(scale.min()) < float(scale.max()) < 2 * BRANCH_SCALE  # it was 0
    assert float(model.net.bn1.weight.min()) > 0.4
    logits = model(pictures(16, 32, seed=1, source="noise"))
    assert 1 < float(logits.std()) < 5
    activations = model.net.stem(pictures(16, 32, seed=1, source="noise"))
    norm = model.net.stem[1]
    assert torch.allclose(activations.mean((0, 2, 3)), norm.bias, atol=1e-3)
    assert norm.momentum == 0.1


def test_equal_seeds_give_equal_weights_and_others_others(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    first = toy("build", seed=2)
    monkeypatch.setattr(calibrate, "_calibrate", lambda *_: pytest.fail("it was cached"))
    assert digest(toy("build", seed=2)) == digest(first)
    monkeypatch.undo()


def test_norms_that_have_seen_data_keep_everything(toy: Toy) -> None:
    model = toy("trained")
    assert model.weights == "own"
    assert float(model.net.bn1.running_var[0]) == 2
    assert not model.net.bn2.weight.any()


class Scaled(nn.Module):
    """A network without batch norms, whose branch and classifier start at nothing, as some initialisers have it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.branch = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)
        self.gamma = nn.Parameter(1e-6 * torch.ones(8, 1, 1))
        self.head = nn.Linear(8, 5)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head((x + self.gamma * self.branch(x).tanh()).mean((2, 3)))


def test_dead_scales_and_a_silent_classifier_come_alive() -> None:
    model = Scaled()
    assert calibrate.dead_scales(model)[0] is model.gamma
    assert len(calibrate.dead_scales(model)) == 1
    assert calibrate._silent(model)
    assert not calibrate._silent(nn.Linear(3, 2))


class Excited(nn.Module):
    """A branch with squeeze and excitation behind its last norm, beside a shortcut with a norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
        self.body = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
        self.gate = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        y = y * self.gate(y.mean((2, 3), keepdim=True)).sigmoid()
        y += self.down(x)
        return y.relu_()


def test_the_branch_is_the_deeper_operand_followed_back_to_its_norm() -> None:
    model = Excited().eval()
    (weight,) = branch_weights(model, torch.randn(1, 3, 8, 8))
    assert weight is model.body[3].weight


def test_a_network_without_sums_has_no_branches() -> None:
    assert branch_weights(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval(), torch.randn(1, 3, 8, 8)) == []
