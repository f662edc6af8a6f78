"""Folding batch norms changes how the numbers come about, not the numbers."""

import copy
import itertools
from collections import OrderedDict

import pytest
import torch
from torch import nn

from resnet.archs import SHORTCUTS, VERSIONS, Spec
from resnet.fold import fold
from resnet.model import ResNet, conv, stage

SPECS = [Spec(*words) for words in itertools.product((18, 50), VERSIONS, SHORTCUTS)]


def trained(spec: Spec, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A network in eval mode whose norms do something, with scales of either sign.

    Depth 18 is the whole model, [N, 3, H, W] -> [N, 10]. Depth 50 is the first two stages behind a convolution and
    a pool, [N, 3, H, W] -> [N, 512, H', W']: every kind of bottleneck block, without the weights of the stages above.
    """
    torch.manual_seed(0)
    model: nn.Module = ResNet(spec, num_classes=10) if spec.depth == 18 else _two_stages(spec)
    for module in model.eval().requires_grad_(False).modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(-0.5, 1.5)
            module.bias.normal_()
    return model.to(dtype)


def _two_stages(spec: Spec) -> nn.Module:
    stem = {"conv1": conv(3, 64, 7, 2), "maxpool": nn.MaxPool2d(3, 2, 1)}
    stages = {"layer1": stage(64, 0, spec), "layer2": stage(256, 1, spec)}
    return nn.Sequential(OrderedDict(stem | stages))


def norms(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_outputs_are_equal(spec: Spec) -> None:
    model = trained(spec)
    batch = torch.randn(2, 3, 40, 40, dtype=torch.float64)
    want = model(batch)
    error = (fold(model)(batch) - want).abs().max() / want.abs().max()
    assert error < 1e-12


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_only_norms_behind_a_sum_or_the_pool_stay(spec: Spec) -> None:
    model = trained(spec)
    if spec.version != "v2":
        stay = set()
    elif spec.shortcut == "none":
        stay = {"layer1.0.preact_bn"}
    else:
        stay = {name for name in norms(model) if name.endswith(("preact_bn", "post_bn"))}
    folded = fold(model)
    assert norms(folded) == stay
    assert all(isinstance(folded.get_submodule(name), nn.Identity) for name in norms(model) - stay)


def test_original_is_untouched() -> None:
    model = trained(Spec(18))
    before = copy.deepcopy(model.state_dict())
    folded = fold(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    mine = {parameter.data_ptr() for parameter in model.parameters()}
    assert mine.isdisjoint(parameter.data_ptr() for parameter in folded.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_are_rounded_once(dtype: torch.dtype) -> None:
    model = trained(Spec(18, "v1"), dtype)
    exact = fold(copy.deepcopy(model).double()).state_dict()
    folded = fold(model).state_dict()
    assert folded.keys() == exact.keys()
    assert all(torch.equal(folded[key], exact[key].to(dtype)) for key in folded)


def test_keeps_channels_last_and_frozen_weights() -> None:
    folded = fold(trained(Spec(18)).to(memory_format=torch.channels_last))
    assert isinstance(folded, ResNet)
    assert folded.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="eval"):
        fold(trained(Spec(18)).train())


def test_folding_twice_changes_nothing_more() -> None:
    once = fold(trained(Spec(50, "v2")))
    assert not any(module.training for module in once.modules())
    twice = fold(once)
    assert all(torch.equal(a, b) for a, b in zip(once.state_dict().values(), twice.state_dict().values(), strict=True))


class Shared(nn.Module):
    """A convolution whose output the norm and the sum read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return y + self.norm(y)


def test_a_norm_stays_where_others_read_the_convolution_too() -> None:
    model, x = Shared().eval(), torch.randn(1, 3, 5, 5)
    folded = fold(model)
    assert isinstance(folded.norm, nn.BatchNorm2d)
    assert torch.equal(folded(x), model(x))


class NormAct(nn.BatchNorm2d):
    """A norm with an activation inside, as timm's."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.drop(super().forward(x)))


class NormThenSelf(NormAct):
    """A norm that is more than itself and its children."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + x


class Standardised(nn.Conv2d):
    """A convolution that takes the mean off its weight: a scale folded into it would be lost."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight / weight.std(), self.bias)


class Padded(nn.Conv2d):
    """A convolution that pads by the size of its input, as TensorFlow's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.pad(x, (0, x.shape[-1] % 2, 0, 0)))


@pytest.mark.parametrize(
    ("conv_class", "norm_class", "folds"),
    [
        (nn.Conv2d, NormAct, True),
        (Padded, nn.BatchNorm2d, True),
        (nn.Conv2d, NormThenSelf, False),
        (Standardised, nn.BatchNorm2d, False),
    ],
)
def test_layers_of_other_classes_fold_where_that_changes_nothing(
    conv_class: type, norm_class: type, folds: bool
) -> None:
    torch.manual_seed(0)
    norm = norm_class(4)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    norm.running_mean.normal_()
    model = nn.Sequential(conv_class(3, 4, 3), norm).double().eval().requires_grad_(False)
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    folded = fold(model)
    assert (not norms(folded)) == folds
    assert torch.allclose(folded(x), model(x), rtol=1e-12)


def test_a_convolution_that_runs_twice_is_left() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.one, self.two = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
            nn.init.uniform_(self.two.weight, 0.5, 1.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.conv(self.one(self.conv(x))))

    model, x = Twice().eval().requires_grad_(False), torch.randn(1, 3, 5, 5)
    assert norms(fold(model)) == {"one", "two"}
    assert torch.equal(fold(model)(x), model(x))


def test_a_model_without_norms_is_folded_though_it_cannot_be_traced() -> None:
    class Branching(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x if x.sum() > 0 else -x)

    plain, x = Branching(nn.Conv2d(3, 4, 1), nn.ReLU()).eval(), -torch.ones(1, 3, 2, 2)
    folded = fold(plain)
    assert folded is not plain
    assert torch.equal(folded(x), plain(x))
