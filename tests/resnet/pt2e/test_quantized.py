"""int8 through torchao and Inductor: the declared steps are computed and seen in the compiled code, none in float."""

from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from resnet.calibration import Calibration
from resnet.code import Unserved
from resnet.fold import fold
from resnet.pt2e.network import float_kernels, quantized_graph
from resnet.quant.network import Scheme, float_steps, quantize, run_steps
from resnet.variants import VARIANTS, missing, prepare, refusal
from tests.resnet.eight_bits import check_runner

PICTURES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
if cure := missing(VARIANTS["compile-max"], "cpu", "int8"):
    pytest.skip(cure, allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations


def declared(model, wide=()):
    folded = fold(model)
    steps = float_steps(folded, merged=True)
    values = run_steps(steps, PICTURES).activations
    ranges = {name: (float(x.min()), float(x.max())) for name, x in values.items()}
    return folded, quantize(steps, ranges, Scheme("uint8", mean=True), wide)


@pytest.mark.parametrize(
    ("name", "wide"),
    [
        ("resnet18v2-digits", ()),
        ("resnet18v1-A-digits", ("conv1", "layer2.0.conv1", "layer2.0.conv2", "fc")),
    ],
)
def test_the_graph_rounds_what_the_steps_round(name, wide, build) -> None:
    folded, steps = declared(build(name), wide)
    with torch.no_grad():
        graph = quantized_graph(folded, steps, PICTURES[:2])
        logits, want = graph(PICTURES[:2]), run_steps(steps, PICTURES[:2]).logits
    # one code that is rounded the other way moves the logits by more than float32's rounding does
    assert float((logits - want).abs().max()) < 0.2 * float((want - want.flip(0)).abs().max())


def test_a_graph_with_other_grids_is_refused(build, monkeypatch: pytest.MonkeyPatch) -> None:
    folded, steps = declared(build("resnet18-digits"))
    monkeypatch.setattr("resnet.pt2e.network.activation_names", lambda graph: {})
    with pytest.raises(RuntimeError, match="rounds to 0 grids, which are not the 23 of the steps"):
        quantized_graph(folded, steps, PICTURES[:2])


def test_kernels_left_in_float_are_named_by_what_they_compute() -> None:
    kernels = "as_strided_dequantize_per_tensor_mean_quantize_per_tensor_view_1", "view_quantize_per_tensor_0"
    code = [f"    cpp_fused_{name}(buf0)" for name in kernels]
    assert float_kernels([*code, "    torch.ops.mkldnn._convolution_pointwise.binary(buf1)"]) == [
        "mean",
        "convolution pointwise",
    ]


@pytest.mark.slow
def test_every_step_is_exact_in_the_compiled_code_and_in_that_which_the_cache_had(
    build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    model = build("resnet18-digits")
    for is_cached in (False, True):
        torch._dynamo.reset()
        calibration = Calibration(PICTURES, "minmax", ("fc",))
        counters.clear()
        try:
            runner = prepare("compile-max", model, PICTURES[:2], "int8", "stream", calibration)
        except Unserved as reason:
            pytest.skip(str(reason))
        assert (counters["inductor"]["fxgraph_cache_hit"] > 0) == is_cached
        assert runner.details["quantized"]["unseen"] == []
        with torch.no_grad():
            assert check_runner(runner, model, PICTURES[:2])["layers"] == 20


def test_what_is_not_served_says_why() -> None:
    row = VARIANTS["compile-max"]
    assert "MSLK" in str(refusal(row, "cuda", "fp8", "stream"))
    assert "oneDNN's, a CPU's" in str(refusal(row, "cuda", "int8", "stream"))
    assert "no fp8 form" in str(refusal(row, "cpu", "fp8", "stream"))


def test_a_model_of_others_is_refused() -> None:
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2)).eval()
    with pytest.raises(Unserved, match="this project's ResNets alone in int8"):
        prepare("compile-max", model, PICTURES[:2], "int8", "stream", Calibration(PICTURES))
