"""A program in 8 bits: codes with a common unit, the declared steps, and the network against them."""

import copy
import importlib.util
from types import SimpleNamespace

import pytest
import torch

if importlib.util.find_spec("triton") is None:
    pytest.skip("kernels need triton", allow_module_level=True)

from resnet.calibration import Calibration
from resnet.code import Unserved
from resnet.fold import fold
from resnet.fused.program import build_program
from resnet.fused.quantized import RULES, _codes, quantize_program
from resnet.quant.check import check_declaration, check_steps
from resnet.quant.network import float_steps, run_steps
from resnet.variants import VARIANTS, fused


@pytest.fixture(scope="module")
def some():
    return torch.randn(3, 3, 40, 33, generator=torch.Generator().manual_seed(2))


def prepared(model, batch, precision, *wide):
    return fused.prepare_quantized(model, batch, precision, "stream", Calibration(batch, "minmax", wide))


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "precision", "wide"),
    [
        ("resnet18", "int8", ("layer1.0.conv1", "layer2.0.downsample.0")),
        ("resnet18-A", "fp8", ()),
        ("resnet18-none", "int8", ()),
        ("resnet50", "int8", ()),
    ],
)
def test_a_network_is_what_it_declares(name, precision, wide, build, some) -> None:
    model = build(name)
    runner = prepared(model, some, precision, *wide)
    x = runner.place(some)
    logits = runner(x).clone()
    taps = runner.taps(x)
    assert torch.equal(taps.logits, logits)
    assert torch.equal(runner(x), logits)
    exact = copy.deepcopy(model).double()(some.double())
    kept = runner.details["quantized"]["wide"]
    counts = check_declaration(runner.steps, precision, kept, model, some[:1], exact[:1])
    layers = sum(isinstance(layer, torch.nn.Conv2d | torch.nn.Linear) for layer in model.modules())
    assert counts["layers"] == layers - len(kept)
    for row in range(len(some)):
        check_steps(runner.steps, some[row : row + 1], taps, row)
    # and coarsely the model: 8 bits of random weights
    assert float((logits - exact).square().mean().sqrt() / exact.square().mean().sqrt()) < 0.5
    assert runner.details["activation_bytes"] < fused.prepare(model, some, "fp16", "stream").details["activation_bytes"]


@torch.no_grad()
def test_layers_that_share_sums_are_wide_together(build, some) -> None:
    found = prepared(build("resnet18"), some, "int8", "layer2.0.downsample.0").details["quantized"]
    assert found["wide"] == ["conv1", "layer2.0.conv2", "layer2.0.downsample.0", "fc"]
    assert VARIANTS["fused"].keeps_wide == tuple(RULES)
    assert found["why_wide"]["layer2.0.downsample.0"] == "as asked"
    assert found["why_wide"]["layer2.0.conv2"] == "its sums are added to those of a wide layer"
    with pytest.raises(ValueError, match=r"no layer is called layer9; there are conv1, fc, layer1\.0\.conv1"):
        prepared(build("resnet18"), some, "int8", "layer9")


def test_a_card_without_e4m3_is_refused(build, some, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    with pytest.raises(Unserved, match="begins with sm_89"):
        fused.prepare_quantized(
            build("resnet18"), SimpleNamespace(device=torch.device("cuda")), "fp8", "stream", Calibration(some)
        )


@pytest.mark.parametrize("precision", ["int8", "fp8", "fp16"])
def test_both_operands_use_their_codes(precision) -> None:
    """In int8 each as if it were alone, but for a multiple that is whole; where the second is finer it is coarsened."""
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(*shape, generator=generator).double() for shape in ((6, 4, 3, 3), (6, 5, 1, 1)))
    first[2], second[2] = 0, 0
    scales = [0.02, 0.17]
    (a, b), (unit, unit2) = _codes([first, second], scales, precision, exact=False)
    times = unit2 / unit
    assert torch.equal(times.round() * unit, unit2)
    step = {"int8": 0.5, "fp8": 16, "fp16": 8}[precision]  # half of the largest codes' spacing
    for weight, codes, scale, of_one in ((first, a, scales[0], unit), (second, b, scales[1], unit2)):
        places = weight * scale / of_one.view(-1, 1, 1, 1)
        assert float((codes.double() - places).abs().max()) <= step
    tops = [codes.double().abs().flatten(1).amax(1) for codes in (a, b)]
    largest = {"int8": 127, "fp8": 448, "fp16": 32768}[precision]
    assert torch.maximum(*tops).tolist() == [largest, largest, 0, largest, largest, largest]
    if precision == "int8":
        assert times.max() > 1
        assert float(torch.cat([top[[0, 1, 3, 4, 5]] for top in tops]).min()) >= 127 / 2**0.5 - 1
    else:
        assert torch.equal(unit, unit2)


@pytest.mark.parametrize("precision", ["int8", "fp8", "fp16"])
@pytest.mark.parametrize("scale", [0.0005, 0.0317, 0.9])
def test_a_selection_keeps_its_ones(precision, scale) -> None:
    generator = torch.Generator().manual_seed(3)
    first = torch.randn(6, 4, 3, 3, generator=generator).double() / 6
    selection = torch.eye(6, 4).double()[:, :, None, None]
    (other, codes), (unit, unit2) = _codes([first, selection], [0.02, scale], precision, exact=True)
    assert torch.equal(codes[4:].double(), selection[4:])
    values = codes.double() * unit2.view(-1, 1, 1, 1) / scale
    assert float((values - selection).abs().max()) < 1e-12
    # and the other operand's codes fit beside them
    alone = first.abs().flatten(1).amax(1) * 0.02 / 127
    allowed = torch.maximum(2 * alone, scale / 127 / 32 + 0 * alone) if precision == "int8" else 40 * unit
    errors = (other.double() * unit.view(-1, 1, 1, 1) - first * 0.02).abs().flatten(1).amax(1)
    assert (errors <= allowed / 2).all() if precision == "int8" else (errors <= allowed).all()
    assert precision != "int8" or float((unit / alone)[4:].max()) < 1.001  # where nothing is selected, none is lost


def test_calibrated_ranges_are_the_declared_grids(build, some) -> None:
    folded = fold(build("resnet18"))
    with torch.no_grad():
        values = run_steps(float_steps(folded, merged=True), some).activations
        ranges = {name: (float(x.min()), float(x.max())) for name, x in values.items()}
        coded, steps = quantize_program(build_program(folded, tuple(some.shape)), ranges, "int8")
    grids = {step.name: step.output for step in steps if step.output is not None}
    assert len(grids) == len(coded) - 1 == 17
    for name, grid in grids.items():
        low, high = ranges[name]
        assert grid.scale == pytest.approx(max(-low, high) / 127)
        assert (grid.kind, grid.zero) == ("int8", 0)
