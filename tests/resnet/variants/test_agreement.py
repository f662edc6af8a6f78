"""Every variant and precision that a CPU serves, against the same model in float64."""

import json

import pytest
import torch
from torch._dynamo.utils import counters

from resnet.variants import VARIANTS, missing, prepare
from resnet.weights.synthetic import digest
from tests.resnet.sixteen_bits import skip_without_bf16

CASES = [(name, precision) for name, row in VARIANTS.items() for precision in row.serves.get("cpu", ())]
# what int8 is compiled to is held against its steps, in tests/resnet/pt2e; packages have tests of their own
NOT_HERE = (("compile", "bf16"), ("compile-max", "int8"))
COMPILED = [case for case in CASES if case[0] in ("compile", "compile-max") and case not in NOT_HERE]
OTHERS = [case for case in CASES if not case[0].startswith("compile")]
# the designs differ in structure, which float32 shows best; the other precisions run the same code on one of them
MODELS = [(*case, "resnet18") for case in OTHERS]
MODELS += [(*case, model) for case in OTHERS if case[1] == "fp32" for model in ("resnet18v1-A", "resnet18v2")]


def check(name, precision, model, batch, error, tolerance):
    """Two placed buffers, each with its own answer, a model left as it was, and details that fit a record."""
    if cure := missing(VARIANTS[name], "cpu", precision):
        pytest.skip(cure)
    skip_without_bf16(name, precision)
    before = digest(model)
    runner = prepare(name, model, batch, precision, "stream")
    first, second = runner.place(batch), runner.place(batch.flip(0))
    logits = runner(first).clone()
    flipped = runner(second).clone()
    assert error(model, batch, logits) < tolerance[precision]
    assert error(model, batch, flipped.flip(0)) < tolerance[precision]
    assert torch.equal(runner(first), logits)
    assert digest(model) == before
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    json.dumps(runner.details)
    assert {"memory_format", "input_dtype", "weights_bytes", "graph"} <= set(runner.details)
    if VARIANTS[name].runs == "session":
        assert set(runner.details["artefact"]) == {"kind", "bytes", "load_s"}
        assert runner.details["artefact"]["bytes"] > runner.details["weights_bytes"] // 2
    return runner


@pytest.mark.parametrize(("name", "precision", "model"), MODELS)
def test_agrees_with_float64(name, precision, model, build, batch, error, tolerance) -> None:
    check(name, precision, build(model), batch, error, tolerance)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations
@pytest.mark.parametrize(("name", "precision"), COMPILED)
def test_compiled_agrees_with_float64(name, precision, build, batch, error, tolerance) -> None:
    torch._dynamo.reset()
    counters.clear()
    runner = check(name, precision, build("resnet18"), batch, error, tolerance)
    # compiled by prepare, and not again for another buffer
    assert counters["stats"]["unique_graphs"] == 1
    if name == "compile-max":
        assert runner.details["compile_options"]["freezing"]
        assert counters["inductor"]["binary_folding_conv"] > 0, "the weights were not frozen"
        assert not torch._inductor.config.freezing
