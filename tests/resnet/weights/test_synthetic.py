"""Do the synthetic weights behave like trained ones?"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import resnet
from resnet.archs import Spec
from resnet.inputs import find_source
from resnet.model import ResNet
from resnet.weights.synthetic import LOGIT_SPREAD, _synthesized, _Uninitialised, digest, synthesize

NAMES = ["resnet18", "resnet50", "resnet152", "resnet152v2", "resnet18-none"]


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    """Pictures that the calibration did not see."""
    return resnet.pictures(8, seed=1000)


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_activations_have_a_natural_scale_and_logits_follow_the_picture(name: str, batch: torch.Tensor) -> None:
    model = resnet.build(name)
    largest: list[float] = []
    for module in model.modules():
        module.register_forward_hook(lambda _m, _i, output: largest.append(output.abs().max().item()))
    logits = model(batch)
    assert max(largest) < 1000  # float16 ends at 65504
    assert min(largest) > 0.1
    spread = logits.std(0).mean().item()
    assert 0.5 * LOGIT_SPREAD < spread < 2 * LOGIT_SPREAD
    assert spread > 0.8 * logits.std().item()  # what differs between pictures is nearly all there is
    assert len(set(logits.argmax(1).tolist())) >= 6


@torch.no_grad()
def test_the_default_initialisation_would_not_do(batch: torch.Tensor) -> None:
    """What the recipe is for: plain PyTorch initialisation in eval mode hardly tells pictures apart."""
    torch.manual_seed(0)
    model = ResNet(Spec.parse("resnet50")).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()
    logits = model(batch)
    assert logits.std(0).mean() < 0.2 * logits.std()


@torch.no_grad()
def test_bf16_agrees_with_float64_as_it_does_for_a_trained_network(batch: torch.Tensor) -> None:
    model = resnet.build("resnet50")
    exact = model.double()(batch.double())
    low = model.bfloat16()(batch.bfloat16()).double()
    assert ((low - exact).norm() / exact.norm()) < 0.06
    assert (low.argmax(1) == exact.argmax(1)).float().mean() >= 0.75


def test_the_seed_decides() -> None:
    spec, source = Spec.parse("resnet18"), find_source("noise")
    one, again, other = (_synthesized(spec, seed, 10, 3, source) for seed in (0, 0, 1))
    assert digest(one) == digest(again)
    assert digest(one) != digest(other)


def test_no_norm_is_the_identity_so_that_a_fold_which_forgets_one_is_seen() -> None:
    for module in resnet.build("resnet18").modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.std() > 0.01
            assert module.bias.std() > 0.05
            assert module.running_mean is not None
            assert module.running_mean.abs().max() > 0.01


@pytest.mark.parametrize(("channels", "classes"), [(1, 7), (4, 3)])
def test_other_channels_and_classes(channels: int, classes: int) -> None:
    model = resnet.build("resnet18", in_channels=channels, num_classes=classes, source="noise")
    assert model(torch.randn(2, channels, 64, 64)).shape == (2, classes)


def test_it_comes_ready_for_inference() -> None:
    model = resnet.build("resnet18")
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_corrupt_cache_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path))
    spec = Spec.parse("resnet18")
    before = digest(synthesize(spec, num_classes=10, source="noise"))
    (cached,) = tmp_path.glob("*.pt")
    cached.write_bytes(cached.read_bytes()[:1000])
    with pytest.warns(RuntimeWarning, match="written again"):
        assert digest(synthesize(spec, num_classes=10, source="noise")) == before


@pytest.mark.parametrize("make", [_synthesized, lambda spec, *rest: synthesize(spec, num_classes=10, source="noise")])
def test_the_random_state_of_the_caller_is_left_alone(make: Callable[..., ResNet]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make(Spec.parse("resnet18"), 0, 10, 3, find_source("noise"))
    assert torch.equal(torch.rand(3), expected)


def test_a_model_from_the_cache_draws_no_weights_that_it_then_throws_away() -> None:
    state = torch.random.get_rng_state()
    with _Uninitialised():
        ResNet(Spec.parse("resnet18"))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.zeros(3).normal_().any()  # elsewhere tensors are drawn as ever
