"""tf32 by tensor cores that cut operands off, simulated on a CPU: a whole network's error is that of rounding."""

import copy
import importlib.util

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

if importlib.util.find_spec("triton") is None:
    pytest.skip("kernels need triton", allow_module_level=True)

from hypothesis import given
from hypothesis import strategies as st

from kernels import pack, pack_linear
from kernels.call import compute_layer
from kernels.launch import empty_output
from kernels.tf32 import KEPT_BITS, round_tf32
from resnet.fold import fold
from resnet.fused.layers import layer_of
from resnet.fused.program import INPUT, build_program
from resnet.library.ops import CudnnConv
from resnet.variants import fused, per_layer

BITS = 0x1FFF  # of a float32, those that tf32 has not


def cut_off(x):
    """What wgmma and mma.sync read of a float32."""
    return (x.view(torch.int32) & KEPT_BITS).view(torch.float32)


class Products(TorchFunctionMode):
    """Multiplies float32 as a tensor core does: the operands become tf32 by `read`, products and sums stay float32."""

    def __init__(self, read, means):
        super().__init__()
        self.read, self.means, self.count = read, means, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.conv2d, torch.Tensor.matmul, torch.Tensor.__matmul__):
            self.count += 1
            if func is not torch.conv2d:
                args = (self.means(args[0]), *args[1:])  # the head's averages, which a kernel hands to the next
            args = (*(self.read(x) for x in args[:2]), *args[2:])
        return func(*args, **(kwargs or {}))


def logits(model, batch, precision, read):
    """Of `precision`'s network, step by step as its ops compute it, with tensor cores that read operands so."""
    runner = fused.prepare(model, batch, precision, "stream")
    made = build_program(fold(model), tuple(batch.shape))
    values = {INPUT: runner.place(batch)}
    with Products(read, round_tf32 if precision == "tf32" else exactly) as products:
        for step, module in zip(made.steps, runner._forward.steps, strict=True):
            layer = layer_of(step, made, precision)
            values[step.name] = empty_output(layer, "cpu")
            compute_layer(layer, module.operands(values), values[step.name], "")
    assert products.count == len(made.steps) + sum(step.shortcut is not None for step in made.steps[1:-1])
    assert torch.equal(runner(values[INPUT]), values["head"]) is (read is exactly)
    return values["head"].double()


def exactly(x):
    return x


def off(got, exact):
    """Relative RMS, as the gate has it."""
    return float((got - exact).square().mean().sqrt() / exact.square().mean().sqrt())


# v2's sums, which plain torch keeps in float32 and multiplies behind a norm alone, are rounded here as all that is kept
@pytest.mark.parametrize(("name", "times"), [("resnet18", 1.3), ("resnet50-A", 1.3), ("resnet50v2", 1.5)])
def test_a_network_on_tensor_cores_that_cut_off_is_as_far_off_as_one_that_rounds(name, times, build) -> None:
    batch = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    model = build(name)
    exact = copy.deepcopy(model).double()(batch.double())
    assert off(logits(model, batch, "fp32", exactly), exact) < 1e-4
    ours = logits(model, batch, "tf32", cut_off)
    unrounded = logits(model, batch, "fp32", cut_off)
    at_best = logits(model, batch, "fp32", round_tf32)
    print(
        f"{name}: {off(unrounded, exact):.4f} cut off, {off(ours, exact):.4f} ours, {off(at_best, exact):.4f} rounded"
    )
    assert off(ours, exact) <= times * off(at_best, exact)
    assert off(unrounded, exact) > 3 * off(at_best, exact)


VALUES = st.floats(width=32, allow_nan=False)


@given(st.lists(VALUES, min_size=1, max_size=20))
def test_rounding_is_to_the_nearest_ties_away_from_zero(values) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    _, exponent = torch.frexp(x.abs())  # of [0.5, 1)
    digits = 2.0 ** (11 - exponent.clamp(min=-125).double())  # subnormal numbers have fewer
    nearest = (x.abs() * digits + 0.5).floor() / digits
    want = torch.where(x.isfinite(), nearest, x.abs()).float().copysign(x.float())
    got = round_tf32(x.float())
    assert torch.equal(got, want)
    assert torch.equal(got.signbit(), want.signbit())


def test_no_nan_becomes_a_number() -> None:
    """Adding half a unit to the NaN that hardware makes, all ones, would wrap around to minus zero."""
    x = torch.tensor([0x7FFFFFFF, -1, 0x7FC00000, 0x7F800001], dtype=torch.int32).view(torch.float32)
    assert round_tf32(x).isnan().all()


def test_weights_are_rounded_once_when_they_are_packed() -> None:
    weight, second = torch.randn(8, 16, 3, 3), torch.randn(8, 4, 1, 1)
    packed = pack(weight, second=(second, None), tf32=True).weight
    assert not (packed.view(torch.int32) & BITS).any()
    assert torch.equal(packed, round_tf32(pack(weight, second=(second, None)).weight))
    assert not (pack_linear(torch.randn(7, 9), None, tf32=True).weight.view(torch.int32) & BITS).any()


class Seen(TorchDispatchMode):
    """How many digits past tf32's the operands of our ops' products have; what they call themselves is not seen."""

    def __init__(self):
        super().__init__()
        self.past = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "resnet_bench":
            x2 = args[4] if "conv_bias_act" in func.name() else None
            given = [x for x in (args[0], args[1], x2) if x is not None]
            self.past.append(sum(int((x.view(torch.int32) & BITS).count_nonzero()) for x in given))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("variant", [fused, per_layer])
def test_what_our_kernels_multiply_is_rounded_whoever_wrote_it(variant, build, batch, monkeypatch) -> None:
    ways = iter(["own", "library"] * 50)
    monkeypatch.setattr(per_layer.Chooser, "_compare", lambda *_: (next(ways), "in turn"))
    monkeypatch.setattr(CudnnConv, "choose", lambda *_: None)  # separate kernels, which a CPU has too
    runner = variant.prepare(build("resnet18"), batch, "tf32", "stream")
    placed = runner.place(batch)
    with Seen() as seen:
        runner(placed)
    assert seen.past == [0] * len(seen.past)
    assert len(seen.past) == 18 if variant is fused else 5 < len(seen.past) < 13
