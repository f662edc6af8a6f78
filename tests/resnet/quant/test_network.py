"""A model as steps: in float the model itself, in 8 bits the codes and biases nearest to it."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from resnet.fold import fold
from resnet.quant.network import INPUT, Ranges, Scheme, float_steps, grid, quantize, run_steps
from resnet.quant.steps import Step

DESIGNS = [
    *("resnet18", "resnet50", "resnet18v1", "resnet50v1", "resnet18v2", "resnet50v2"),
    *(f"resnet18{version}-{shortcut}" for version in ("", "v2") for shortcut in ("A", "C", "none")),
]


@pytest.fixture(autouse=True)
def _without_gradients(without_gradients: None) -> None:
    """As a runner is to be called."""


def float_network(model, merged=True) -> tuple[tuple[Step, ...], Ranges]:
    """The steps of a model in float, with the least and largest values of their activations on two pictures."""
    steps = float_steps(fold(model), merged)
    seen = run_steps(steps, torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))).activations
    return steps, {name: (float(x.min()), float(x.max())) for name, x in seen.items()}


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("name", DESIGNS)
def test_steps_in_float_are_the_model(name, merged, build) -> None:
    model = deepcopy(build(f"{name}-digits")).double()
    batch = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    steps = float_steps(fold(model), merged)
    exact = model(batch)
    assert float((run_steps(steps, batch).logits - exact).abs().max() / exact.abs().max()) < 1e-9
    assert len({step.name for step in steps}) == len(steps)
    sums = {step.name for step in steps if step.name.endswith(".add")}
    assert all(len(step.terms) == 2 for step in steps if step.name in sums)
    assert any(step.name in sums and step.weights for step in steps) == (merged and bool(sums))


@pytest.mark.parametrize(
    ("scheme", "largest"), [(Scheme("uint8"), 127), (Scheme("uint8", largest=64), 64), (Scheme("e4m3", "e4m3"), 448)]
)
def test_weights_are_the_nearest_codes_with_a_scale_for_each_channel(scheme, largest, build) -> None:
    steps, ranges = float_network(build("resnet18-digits"))
    quantized = {weight.module: weight for step in quantize(steps, ranges, scheme) for weight in step.weights}
    for step in steps:
        for plain in step.weights:
            weight, exact = quantized[plain.module], plain.values()
            codes = weight.codes.double().flatten(1)
            assert codes.abs().amax(1).tolist() == [largest] * len(codes)
            near = codes * weight.scale[:, None] - exact.flatten(1)
            places = exact.flatten(1) / weight.scale[:, None]
            unit = torch.ones_like(places) if scheme.weights == "int8" else grid(-448, 448, scheme).steps(places)
            assert float((near.abs() / weight.scale[:, None] / unit).max()) < 0.5 + 1e-6


def test_a_channel_of_zeros_has_codes_of_zero(build) -> None:
    model = deepcopy(build("resnet18-digits"))
    model.bn1.weight[3] = 0
    steps, ranges = float_network(model)
    weight = quantize(steps, ranges, Scheme("uint8"))[1].weights[0]
    assert not weight.codes[3].any()
    assert bool((weight.scale > 0).all())


def test_biases_are_sums_of_products_of_codes(build) -> None:
    steps, ranges = float_network(build("resnet18-digits"))
    plain = {step.name: step for step in steps}
    quantized = quantize(steps, ranges, Scheme("uint8", mean=True))
    grids = {step.name: step.output for step in quantized}
    for step in quantized[1:]:
        if not step.weights:
            continue
        source, bias = grids[step.reads[0]], plain[step.name].bias
        assert source is not None
        assert bias is not None
        unit = step.weights[0].scale * source.scale
        assert torch.allclose((step.bias / unit).round(), step.bias / unit, rtol=1e-12, atol=1e-6)
        assert float(((step.bias - bias) / unit).abs().max()) <= 0.5 + 1e-6


def outputs(steps: tuple[Step, ...]) -> dict[str, bool]:
    return {step.name: step.output is not None for step in steps}


def test_what_is_rounded(build) -> None:
    """The pictures and every activation; of the mean as the scheme says; of a wide layer's own neither end."""
    steps, ranges = float_network(build("resnet18-digits"))
    rounds = outputs(quantize(steps, ranges, Scheme("uint8")))
    assert [name for name in rounds if not rounds[name]] == ["avgpool", "fc"]
    assert next(iter(rounds)) == f"{INPUT}.codes"
    assert outputs(quantize(steps, ranges, Scheme("uint8", mean=True)))["avgpool"]
    wide = quantize(steps, ranges, Scheme("uint8", mean=True), ("conv1", "fc", "layer1.0.conv2"))
    assert wide[0].reads == (INPUT,)
    assert not outputs(wide)["avgpool"]
    assert [weight.module for step in wide for weight in step.weights if weight.wide] == [
        "conv1",
        "layer1.0.conv2",
        "fc",
    ]
    assert all(torch.equal(wide[0].weights[0].codes, step.weights[0].codes) for step in steps[:1])
    with pytest.raises(ValueError, match=r"no layer is called layer9; there are conv1, layer1\.0\.conv1"):
        quantize(steps, ranges, Scheme("uint8"), ["layer9"])


@pytest.mark.parametrize("name", ["resnet18", "resnet18v2"])
def test_a_pool_has_the_codes_that_it_reads(name, build) -> None:
    """Of its own range: other values are never read."""
    steps, ranges = float_network(build(f"{name}-digits"))
    ranges = {**ranges, "conv1": (-100.0, 100.0)}
    grids = {step.name: step.output for step in quantize(steps, ranges, Scheme("uint8"))}
    assert grids["conv1"] == grids["maxpool"] == grid(*ranges["maxpool"], Scheme("uint8"))


@pytest.mark.parametrize("kind", ["uint8", "int8", "e4m3"])
@pytest.mark.parametrize(("low", "high"), [(0.0, 3.7), (0.5, 2.0), (-3.0, -1.0), (-1.3, 2.9), (0.0, 0.0)])
def test_a_grid_covers_its_range_and_has_zero(kind, low, high) -> None:
    scheme = Scheme(kind)
    result = grid(low, high, scheme)
    ends = torch.tensor([low, high], dtype=torch.float64)
    assert float(result.values(result.codes(torch.zeros(1, dtype=torch.float64)))) == 0
    near = (result.values(result.codes(ends)) - ends).abs()
    unit: Tensor = result.steps(result.places(ends)) * result.scale
    assert bool((near <= unit * (0.5 + 1e-9)).all())
