from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resnet import cache
from resnet.calibration import FLOAT, WHOLE, Calibration, parse_wide
from resnet.fold import fold
from resnet.model import ResNet
from resnet.quant import effects as quant
from resnet.quant.network import INPUT, SCHEMES, Scheme, float_steps, layers_of, quantize, run_steps
from resnet.quant.ranges import CHUNK, choose_all, observe
from resnet.quant.steps import Step

Network = tuple[tuple[Step, ...], tuple[Step, ...], Tensor, Scheme, dict[str, tuple[float, float]]]


@pytest.fixture(scope="module", params=["uint8", "e4m3"])
def network(request: pytest.FixtureRequest, build: Callable[[str], ResNet]) -> Network:
    """Float steps, the same in 8 bits, pictures, and what they were made with."""
    scheme = SCHEMES[request.param]
    steps = float_steps(fold(build("resnet18-digits")), merged=request.param == "e4m3")  # type: ignore[arg-type]
    pictures = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ranges = dict(choose_all(observe(steps, pictures), "minmax", scheme))
    return steps, quantize(steps, ranges, scheme), pictures, scheme, ranges


@pytest.mark.parametrize("layer", ["conv1", "layer1.0.conv2", "layer2.0.downsample.0", "fc"])
def test_one_layer_wide_is_what_quantize_makes_of_it(network: Network, layer: str) -> None:
    steps, whole, pictures, scheme, ranges = network
    mine = quant.one_wide(steps, whole, layer)
    wanted = quantize(steps, ranges, scheme, [layer])
    assert [step.name for step in mine] == [step.name for step in wanted]
    assert torch.equal(run_steps(mine, pictures).logits, run_steps(wanted, pictures).logits)


def test_one_layer_in_8_bits_is_all_that_differs(network: Network) -> None:
    steps, whole, pictures, _, _ = network
    for layer in layers_of(steps):
        alone = quant.one_quantized(steps, whole, layer)
        changed = [step for step in alone if step not in steps]
        assert [step.name for step in changed if step.output is None] == [
            step.name for step in steps if layer in layers_of([step])
        ]
        assert len(changed) <= 2
    first = quant.one_quantized(steps, whole, "conv1")
    grid = whole[0].output
    assert grid is not None
    rounded = grid.values(grid.codes(pictures)).float()
    by_hand = {**run_steps(steps, pictures).activations, INPUT: rounded}
    conv = next(step for step in whole if step.name == "conv1")
    assert torch.equal(run_steps(first, pictures).activations["conv1"], conv.value({f"{INPUT}.codes": by_hand[INPUT]}))


def test_a_network_run_from_where_it_parts_answers_as_one_run_whole(network: Network) -> None:
    steps, whole, pictures, _, _ = network
    networks = {
        WHOLE: whole,
        "last": quant.one_wide(steps, whole, "layer4.1.conv2"),
        "alone": quant.one_quantized(steps, whole, "layer3.0.conv1"),
    }
    found = quant.effects(steps, networks, pictures, [WHOLE])
    chunks = pictures.split(CHUNK)
    exact = torch.cat([run_steps(steps, chunk).logits for chunk in chunks])
    assert found[FLOAT].top == exact.argmax(1).tolist()
    assert found[FLOAT].squares == pytest.approx(exact.double().square().mean(1).tolist())
    for name, changed in networks.items():
        logits = torch.cat([run_steps(changed, chunk).logits for chunk in chunks])
        assert found[name].top == logits.argmax(1).tolist()
        assert found[name].squares == pytest.approx((logits - exact).double().square().mean(1).tolist(), rel=1e-3)
        assert min(found[name].squares) > 0


@pytest.fixture
def planted(build: Callable[[str], ResNet]) -> ResNet:
    """A network with a layer that 8 bits serve badly: in each channel one weight is larger than all others."""
    model: ResNet = fold(build("resnet18-digits"))  # type: ignore[assignment]
    weight = model.get_submodule("layer3.0.conv2").weight
    assert isinstance(weight, nn.Parameter)
    with torch.no_grad():
        weight[:, 0, 0, 0] = 100 * weight.abs().max()
        model.get_submodule("layer3.0.conv1").weight[0] = 0  # type: ignore[operator]
        model.get_submodule("layer3.0.conv1").bias[0] = 0  # type: ignore[operator]
    return model


def test_a_number_of_layers_is_named_by_what_they_cost(
    planted: ResNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    calibration = Calibration(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), "minmax")

    def named(words: str, model: nn.Module = planted) -> tuple[str, ...]:
        asked = Calibration(calibration.pictures, calibration.method, parse_wide(words))
        return quant.name_wide(model, asked, "int8", "cpu").keep_wide

    assert named("1") == ("layer3.0.conv2",)
    with monkeypatch.context() as patch:
        patch.setattr(quant, "effects", None)  # the ranking is cached
        assert len(named("3")) == 3
        assert named("0") == ()
    assert named("fc, conv1") == ("fc", "conv1")
    with pytest.raises(ValueError, match="the model has 21"):
        named("22")
    with pytest.raises(ValueError, match="name layers"):
        named("2", nn.Linear(2, 2))
