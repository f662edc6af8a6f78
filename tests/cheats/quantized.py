"""A network in 8 bits that runs its steps in float64 to the code, and its faults: `tests.cheats.quantized:prepare`.

Each fault is a wrong kernel or a lie: it declares the honest steps, but for those in DECLARED, and runs others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet.calibration import Calibration
from resnet.fold import fold
from resnet.quant.network import INPUT, Scheme, _rounded, float_steps, quantize, run_steps
from resnet.quant.steps import Step, Taps, Term, Weight

UINT8 = Scheme("uint8")
CONV, SUM = "layer1.0.conv1", "layer1.0.add"  # the steps that are faulty, in any depth

# fault -> what the record's reason must say
FAULTS = {
    "scale": "layer1.0.conv1 is wrong: a code of channel 7",
    "zero": "layer1.0.conv1 is wrong",
    "saturates": "layer1.0.conv1 is wrong",
    "truncates": "layer1.0.conv1 is wrong",
    "half": "not those of the timed one, bit for bit",
    "fp16": "not those of the timed one, bit for bit",
    "sums-in-fp16": "layer1.0.conv1 is wrong",
    "leaves-out": "layer1.0.conv1 is wrong",
    "adds-late": "layer1.0.add is wrong",
    "pads-zero": "conv1 is wrong",
    "stale-tap": "input.codes is wrong",
    "last-row": "layer1.0.add is wrong",
    "first-row": "each in the next row of the batch, differ by",
    "swaps-scales": "layer1.0.conv1 is wrong: a code of channel ",
    "per-tensor": "layer1.0.conv1 is wrong",
    "weights-128": "layer1.0.conv1 is wrong",
    "residual-scale": "layer1.0.add is wrong",
    "wraps": "layer1.0.conv1 is wrong",
    "pairs": "conv1 is wrong",
    "rounds-twice": "layer1.0.conv1 is wrong",
    "by-bf16": "layer1.0.conv1 is wrong",
    "no-bias": "layer1.0.conv1 is wrong",
    "wrong-dtype": "the codes of layer1.0.conv1 are int16, not uint8",
    "hides": "it shows no codes of layer1.0.conv1",
}
# the same of those that declare what they do
DECLARED = {
    "declares-scale": "the weight of layer1.0.conv1 is not the model's: a code of channel 7 times its scale",
    "declares-bias": "the bias of layer1.0.conv1 is not the model's",
    "declares-less": "layer1.0.conv1 is left out",
    "declares-stride": "its steps",
    "declares-no-relu": "its steps are not the model's",
    "declares-float": "no layer reads and multiplies 8-bit numbers",
    "declares-wide": "layer1.0.conv1 is not computed in 8 bits, and not listed as wide",
    "declares-e4m3": "it declares codes of e4m3 under the name of int8",
    "declares-4-bits": "the weights of layer1.0.conv1 are of fewer bits: their largest code is 7",
}

Exact = Callable[[Step, dict[str, Tensor]], Tensor]


class Toy:
    """Steps run in float64, rounded to the nearest codes; `runs` are those of `steps` that differ, by name."""

    checked: Literal["taps", "units"] = "taps"

    def __init__(self, steps: Sequence[Step], runs: Sequence[Step] = (), exact: Exact | None = None) -> None:
        self.steps, self.exact = tuple(steps), exact or (lambda step, values: step.value(values))
        others = {step.name: step for step in runs}
        self.runs = [others.get(step.name, step) for step in steps]
        wide = [weight.module for step in steps for weight in step.weights if weight.wide]
        self.details: dict[str, Any] = {"weights_bytes": 1, "quantized": {"wide": wide, "calibrate": "minmax"}}

    def place(self, batch: Tensor) -> Tensor:
        return batch.clone()

    def __call__(self, x: Tensor) -> Tensor:
        return self.taps(x).logits

    def taps(self, x: Tensor) -> Taps:
        values, codes = {INPUT: x.double()}, {}
        for step in self.runs:
            value = self.exact(step, values)
            codes[step.name] = value.float() if step.output is None else step.output.codes(value)
            values[step.name] = value.float().double() if step.output is None else step.output.values(codes[step.name])
        return Taps(codes, codes[self.runs[-1].name])


def honest_steps(model: nn.Module, pictures: Tensor, scheme: Scheme = UINT8) -> tuple[Step, ...]:
    """The steps of a model in 8 bits, from the least to the largest value of each activation."""
    steps = float_steps(fold(model), merged=True)  # type: ignore[arg-type]
    values = run_steps(steps, pictures).activations
    return quantize(steps, {name: (float(x.min()), float(x.max())) for name, x in values.items()}, scheme)


def prepare(
    module: nn.Module, example: Tensor, calibration: Calibration, precision: str = "int8", fault: str = "honest"
) -> Toy:
    scheme = Scheme("uint8") if precision == "int8" else Scheme("e4m3", "e4m3")
    return planted(honest_steps(module, calibration.pictures, scheme), fault, module)


prepare.memory_format = "contiguous"  # type: ignore[attr-defined]
prepare.why = "a test"  # type: ignore[attr-defined]


def planted(steps: Sequence[Step], fault: str, model: nn.Module) -> Toy:
    """A runner with a fault; the honest one for `honest`."""
    conv = next(step for step in steps if step.name == CONV)
    (weight,) = conv.weights
    louder = weight.scale.clone()
    louder[7] *= 1.01
    assert conv.output is not None
    if fault == "scale":
        return Toy(steps, [_weighted(conv, replace(weight, scale=louder))])
    if fault == "zero":
        return Toy(steps, [replace(conv, output=replace(conv.output, zero=conv.output.zero + 1))])
    if fault == "saturates":
        return Toy(steps, [_weighted(conv, replace(weight, codes=weight.codes.clamp(-126, 126)))])
    if fault == "leaves-out":
        return Toy(steps, [replace(conv, terms=(Term(conv.reads[0]),), bias=None)])
    if fault == "no-bias":
        return Toy(steps, [replace(conv, bias=None)])
    if fault == "swaps-scales":
        order = torch.arange(len(weight.scale)).view(-1, 2).flip(1).flatten()
        return Toy(steps, [_weighted(conv, replace(weight, scale=weight.scale[order]))])
    if fault == "per-tensor":
        scale = weight.scale.max().expand_as(weight.scale)
        codes = (weight.values() / scale.view(-1, 1, 1, 1)).round().to(torch.int8)
        return Toy(steps, [_weighted(conv, replace(weight, codes=codes, scale=scale))])
    if fault == "weights-128":
        return Toy(steps, [_weighted(conv, replace(weight, codes=weight.codes.where(weight.codes > -127, -128)))])
    if fault == "residual-scale":
        return Toy(steps, [_residual_in_the_scale_of_the_sum(steps)])
    if fault in EXACT:
        return Toy(steps, exact=EXACT[fault])
    if fault in TOYS:
        return TOYS[fault](steps, model)
    layers = dict(fold(model).named_modules())
    declared = {
        "declares-scale": [_weighted(conv, replace(weight, scale=louder))],
        "declares-bias": [replace(conv, bias=None)],
        "declares-less": [replace(conv, terms=(Term(conv.reads[0]),), bias=None)],
        "declares-stride": [replace(conv, terms=(replace(conv.terms[0], stride=2),))],
        "declares-no-relu": [replace(conv, relu=False)],
        "declares-wide": [_weighted(conv, _wide(weight, layers))],
        "declares-float": [
            replace(
                step,
                output=None,
                terms=tuple(replace(t, weight=t.weight and _wide(t.weight, layers)) for t in step.terms),
            )
            for step in steps
        ],
        "declares-e4m3": [replace(conv, output=replace(conv.output, kind="e4m3"))],
        "declares-4-bits": [_weighted(conv, _rounded(_wide(weight, layers), Scheme("uint8", largest=7)))],
    }
    if fault in declared:
        others = {step.name: step for step in declared[fault]}
        toy = Toy([others.get(step.name, step) for step in steps])
        if fault == "declares-wide":
            toy.details["quantized"]["wide"] = []
        return toy
    assert fault == "honest", fault
    return Toy(steps)


def _weighted(step: Step, weight: Weight) -> Step:
    return replace(step, terms=(replace(step.terms[0], weight=weight), *step.terms[1:]))


def _wide(weight: Weight, layers: dict[str, Any]) -> Weight:
    return Weight(weight.module, layers[weight.module].weight.detach(), torch.ones_like(weight.scale))


def _truncates(step: Step, values: dict[str, Tensor]) -> Tensor:
    value = step.value(values)
    return value if step.name != CONV or step.output is None else value - step.output.scale / 2


def _sums_in_fp16(step: Step, values: dict[str, Tensor]) -> Tensor:
    value = step.value(values)
    return value.half().double() if step.name == CONV else value


def _adds_late(step: Step, values: dict[str, Tensor]) -> Tensor:
    if step.name != SUM:
        return step.value(values)
    product, residual = step.terms
    return replace(step, terms=(product,)).value(values) + residual.value(values[residual.source])


def _pads_zero(step: Step, values: dict[str, Tensor]) -> Tensor:
    if step.name != "conv1":
        return step.value(values)
    (term,), x = step.terms, values[step.reads[0]]
    least = float(x.min())  # the value of code 0, or near it
    padded = F.pad(x, [term.padding] * 4, value=least)
    return replace(step, terms=(replace(term, padding=0),)).value({step.reads[0]: padded})


def _last_row(step: Step, values: dict[str, Tensor]) -> Tensor:
    """The last row of a batch is what the row before it is, as from an index that is cut off."""
    value = step.value(values)
    if step.name != SUM or len(value) == 1:
        return value
    return torch.cat([value[:-1], value[-2:-1]])


def _first_row(step: Step, values: dict[str, Tensor]) -> Tensor:
    """The first row of a batch of four is what the second is: neither the last nor from the middle."""
    value = step.value(values)
    return torch.cat([value[1:2], value[1:]]) if step.name == SUM and len(value) > 3 else value


def _residual_in_the_scale_of_the_sum(steps: Sequence[Step]) -> Step:
    grids = {step.name: step.output for step in steps}
    total = next(step for step in steps if step.name == SUM)
    product, residual = total.terms
    own, other = grids[residual.source], total.output
    assert own is not None
    assert other is not None
    ratio = torch.full((len(total.weights[0].scale),), other.scale / own.scale).double()
    return replace(total, terms=(product, replace(residual, scale=ratio)))


def _unit(step: Step, x: Tensor) -> Tensor:
    """What one is worth in the integers that a convolution adds up, [1, K, 1, 1], of what it reads."""
    values = x.unique()
    return step.weights[0].scale.view(1, -1, 1, 1) * values.diff().min()


def _wraps(step: Step, values: dict[str, Tensor]) -> Tensor:
    """Sums of products in 16 bits."""
    if step.name != CONV:
        return step.value(values)
    unit = _unit(step, values[step.reads[0]])
    sums = (replace(step, bias=None, relu=False).value(values) / unit).round()
    wrapped = ((sums + 2**15) % 2**16 - 2**15) * unit
    assert step.bias is not None
    return (wrapped + step.bias.view(1, -1, 1, 1)).relu()


def _pairs(step: Step, values: dict[str, Tensor]) -> Tensor:
    """Two products of uint8 and int8 are added in 16 bits that saturate, as VPMADDUBSW does."""
    if step.name != "conv1":
        return step.value(values)
    (term,), x = step.terms, values[step.reads[0]]
    assert term.weight is not None
    one = float(x.unique().diff().min())
    zero = round(float(-x.min()) / one)
    size = term.weight.codes.shape[2:]
    codes = F.unfold(F.pad((x / one).round() + zero, [term.padding] * 4, value=zero), size, stride=term.stride)
    taps = term.weight.codes.double().flatten(1)
    products = F.pad(taps[None, :, :, None] * codes[:, None], (0, 0, 0, taps.shape[1] % 2))
    sums = products.unflatten(2, (-1, 2)).sum(3).clamp(-(2**15), 2**15 - 1).sum(2) - zero * taps.sum(1)[None, :, None]
    shape = step.value(values).shape
    wrong = sums.view(shape) * term.weight.scale.view(1, -1, 1, 1) * one
    return (wrong + step.bias.view(1, -1, 1, 1) if step.bias is not None else wrong).relu()


def _rounds_twice(step: Step, values: dict[str, Tensor]) -> Tensor:
    """To sixteenths of a code, as an int16 between the sum and the code has, and then to codes."""
    value = step.value(values)
    if step.name != CONV or step.output is None:
        return value
    return (value / step.output.scale * 16).round() / 16 * step.output.scale


def _by_bf16(step: Step, values: dict[str, Tensor]) -> Tensor:
    """Sums that are multiplied with a scale of 8 bits of mantissa."""
    value = step.value(values)
    if step.name != CONV or step.output is None:
        return value
    factor = step.weights[0].scale / step.output.scale
    return value * (factor.bfloat16().double() / factor).view(1, -1, 1, 1)


class Half(Toy):
    """Taps of 8 bits, and another network that is timed: the model in 16 bits."""

    dtype = torch.bfloat16

    def __init__(self, steps: Sequence[Step], model: nn.Module) -> None:
        super().__init__(steps)
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", self.dtype):
            return self.model(x).float()


class Fp16(Half):
    """The same in fp16."""

    dtype = torch.float16


class StaleTap(Toy):
    """Taps of its first call, whatever is asked for."""

    kept: Taps | None = None

    def __init__(self, steps: Sequence[Step], model: nn.Module) -> None:
        super().__init__(steps)

    def __call__(self, x: Tensor) -> Tensor:
        return Toy.taps(self, x).logits

    def taps(self, x: Tensor) -> Taps:
        self.kept = self.kept or super().taps(x.flip(3))
        return self.kept


class WrongDtype(StaleTap):
    def taps(self, x: Tensor) -> Taps:
        taps = Toy.taps(self, x)
        return replace(taps, activations={**taps.activations, CONV: taps.activations[CONV].to(torch.int16)})


class Hides(StaleTap):
    def taps(self, x: Tensor) -> Taps:
        taps = Toy.taps(self, x)
        return replace(taps, activations={name: codes for name, codes in taps.activations.items() if name != CONV})


EXACT: dict[str, Exact] = {
    "truncates": _truncates,
    "sums-in-fp16": _sums_in_fp16,
    "adds-late": _adds_late,
    "pads-zero": _pads_zero,
    "last-row": _last_row,
    "first-row": _first_row,
    "wraps": _wraps,
    "pairs": _pairs,
    "rounds-twice": _rounds_twice,
    "by-bf16": _by_bf16,
}
TOYS: dict[str, Callable[..., Toy]] = {
    "half": Half,
    "fp16": Fp16,
    "stale-tap": StaleTap,
    "wrong-dtype": WrongDtype,
    "hides": Hides,
}
