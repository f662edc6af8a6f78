"""oneDNN in 8 bits, step by step: each from its own integers, against the exact value of what it declares."""

import pytest
import torch

from resnet.calibration import Calibration
from resnet.quant.steps import QuantizedRunner
from resnet.variants import prepare

DESIGNS = [
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnet18v1", "resnet50v1", "resnet18v2", "resnet50v2", "resnet101v2"),
    *("resnet18-A", "resnet50-C", "resnet18-none", "resnet50v2-A", "resnet18v2-C", "resnet18v2-none"),
]
# A distance of half a step is a tie, which float32 may round to the other side: so near, and so many.
DISTANCE, FLIPS = 0.501, 1e-4


@pytest.fixture(autouse=True)
def _without_gradients(without_gradients: None) -> None:
    """As a runner is to be called."""


def prepared(model, batch, keep_wide=()) -> QuantizedRunner:
    pictures = torch.randn(4, *batch.shape[1:], generator=torch.Generator().manual_seed(2))
    return prepare("library-fused", model, batch, "int8", "stream", Calibration(pictures, "minmax", keep_wide))


def check(runner, batch):
    """Each step within half a code of its exact value, and the logits those of a call; return the codes by step."""
    x = runner.place(batch)
    logits, taps = runner(x).clone(), runner.taps(x)
    assert torch.equal(taps.logits, logits)
    assert torch.equal(runner(x), logits)
    values, codes, flips = {"input": batch.double()}, 0, 0
    for step in runner.steps:
        result, exact = taps.activations[step.name], step.value(values)
        if step.output is None:
            assert float((result - exact).abs().max() / exact.abs().max()) < 1e-6, step.name
            values[step.name] = result.double()
            continue
        assert result.dtype == torch.uint8
        assert float((step.output.places(exact) - result).abs().max()) < DISTANCE, step.name
        codes, flips = codes + result.numel(), flips + int((step.output.codes(exact) != result).sum())
        values[step.name] = step.output.values(result)
    assert flips <= FLIPS * codes
    return taps.activations


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("name", DESIGNS)
def test_every_step_of_every_design_is_exact(name, size, build) -> None:
    batch = torch.randn(size, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    runner = prepared(build(name), batch)
    check(runner, batch)
    facts = runner.details["quantized"]
    assert (facts["steps"], facts["wide"], facts["checked"]) == (len(runner.steps) - 1, [], "taps")
