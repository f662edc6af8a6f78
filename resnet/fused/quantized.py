"""A program in 8 bits: the codes and factors of each step, and the same steps as they are declared.

A step's products and those of its shortcut are summed in one accumulator, without an activation between. In int8 the
unit of the shortcut's products, scale(x) * scale(w, k), is in each channel a whole multiple of the other's, so sums
stay exact, and each operand's weights use about all of their codes. (One unit for both would cost a 3x3 of 512 channels
two bits beside a 1x1: its weights are as much smaller.) In e4m3 and fp16, whose codes are relative, they have one unit.
A selection of channels (option A) keeps its ones exact: the unit divides its scale.

Two layers are wide by rule. The stem multiplies fp16: three channels fill little of an 8-bit product, it is limited by
its loads, and pictures would be rounded before the first layer. The classifier multiplies averages, one pixel an image:
in 8 bits it would save 2 MB a batch, for the rounding of averages that are exact otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kernels.codes import LARGEST
from kernels.packing import CODES
from resnet.fused.program import INPUT, Conv, Head, Program, Shortcut
from resnet.fused.program import Step as ProgramStep
from resnet.quant.network import SCHEMES, Ranges, Scheme, check_named, grid
from resnet.quant.steps import Grid, Step, Term, Weight, by_channel

SCHEME_OF: Mapping[str, Scheme] = {"int8": SCHEMES["int8"], "fp8": SCHEMES["e4m3"]}
HALF_INPUT = f"{INPUT}.half"  # the pictures, rounded to fp16 when they are placed
RULES: Mapping[str, str] = {
    "conv1": "by rule: it multiplies pictures in fp16, whose few channels fill little of an 8-bit product",
    "fc": "by rule: it multiplies the averages in fp16, which are not rounded to 8 bits",
}
# The largest code of a wide weight: small ones of the same channel are not subnormal.
LARGEST_HALF = 32768.0
# Of a shortcut's unit: 32 times 2048 channels of 127 * 127 and a 3x3 of as many are less than 2^31.
MOST_TIMES = 32


@dataclass(frozen=True, eq=False)
class CodedStep:
    """A program's step with what its kernel reads (`kernels.codes`): codes of weights [K, C, R, S], fp16 if `wide`.

    `bias` [K] and `factors` are in units of the result's codes, but for a head's.
    """

    step: ProgramStep
    weight: Tensor
    weight2: Tensor | None
    bias: Tensor
    factors: Tensor
    wide: bool


def quantize_program(
    program: Program, ranges: Ranges, precision: str, keep_wide: Collection[str] = ()
) -> tuple[tuple[CodedStep, ...], tuple[Step, ...]]:
    """Return a program's steps in 8 bits, for kernels and as declared.

    `ranges` are of the activations of `float_steps(folded, merged=True)`. A layer in `keep_wide` multiplies fp16, and
    so does one whose sums it shares. Raises ValueError for a name in it that is no layer.
    """
    check_named(keep_wide, sorted(name for step in program.steps for name in layers_of_step(step)))
    scheme = SCHEME_OF[precision]
    names = {step.name: activation_name(step) for step in program.steps} | {INPUT: HALF_INPUT}
    grids = {step.name: grid(*ranges[names[step.name]], scheme) for step in program.steps if isinstance(step, Conv)}
    coded, declared = [], [Step(HALF_INPUT, (Term(INPUT),), None, dtype=torch.float16)]
    for step in program.steps:
        if isinstance(step, Head):
            part, steps = _head(step, grids[step.source], names[step.source])
        else:
            wide = step.pool or not layers_of_step(step).isdisjoint(keep_wide)
            part, steps = _conv(step, grids, names, precision, wide)
        coded.append(part)
        declared += steps
    return tuple(coded), tuple(declared)


def activation_name(step: ProgramStep) -> str:
    """Return the name of a step's result as `resnet.quant.network` has it."""
    if isinstance(step, Head):
        return "fc"
    if step.pool:
        return "maxpool"
    summed = step.residual is not None or step.shortcut is not None
    return f"{step.name.rpartition('.')[0]}.add" if summed else step.name


def layers_of_step(step: ProgramStep) -> set[str]:
    """Return the names of the model's layers with weights that a step computes."""
    if isinstance(step, Head):
        return {"fc"}
    learned = {f"{step.name.rpartition('.')[0]}.downsample.0"} if step.shortcut and step.shortcut.learned else set()
    return {"conv1" if step.pool else step.name, *learned}


def _conv(
    step: Conv, grids: Mapping[str, Grid], names: Mapping[str, str], precision: str, wide: bool
) -> tuple[CodedStep, list[Step]]:
    output, shortcut = grids[step.name], step.shortcut
    scales = [grids[step.source].scale if step.source in grids else 1.0]
    weights = [step.weight.detach().double()]
    if shortcut is not None:
        scales.append(grids[shortcut.source].scale)
        weights.append(shortcut.weight.detach().double())
    exact = shortcut is not None and not shortcut.learned
    codes, units = _codes(weights, scales, "fp16" if wide else precision, exact)
    residual = grids[step.residual].scale if step.residual else 0.0
    factors = torch.cat([units[0], torch.tensor([residual], dtype=torch.float64)]).div(output.scale).float()
    times = (units[-1] / units[0]).round()
    if precision == "int8" and shortcut is not None and not wide:
        factors = torch.cat([factors, times.float()])
    unit = factors[: len(times)].double() * output.scale  # as the kernel has it
    bias = _bias(step, shortcut, len(unit)).div(output.scale).float()
    weight2 = codes[1] if shortcut is not None else None
    part = CodedStep(step, codes[0], weight2, bias, factors, wide and not step.pool)

    name = "conv1" if step.pool else step.name
    terms = [Term(names[step.source], Weight(name, codes[0], unit / scales[0]), step.stride, step.padding)]
    if shortcut is not None and weight2 is not None:
        module = f"{step.name.rpartition('.')[0]}.downsample.0" if shortcut.learned else ""
        terms.append(Term(names[shortcut.source], Weight(module, weight2, unit * times / scales[1]), shortcut.stride))
    if step.residual is not None:
        terms.append(Term(names[step.residual]))
    pool: Literal["", "max"] = "max" if step.pool else ""
    return part, [Step(names[step.name], tuple(terms), output, bias.double() * output.scale, step.relu, pool)]


def _head(step: Head, source: Grid, name: str) -> tuple[CodedStep, list[Step]]:
    weight, bias = step.weight.detach().half(), step.bias.detach().float()
    part = CodedStep(step, weight, None, bias, torch.tensor([source.scale]), False)
    return part, [
        Step("avgpool", (Term(name),), None, pool="mean", dtype=torch.float16),
        Step("fc", (Term("avgpool", Weight.of_values("fc", weight)),), None, bias.double(), dtype=torch.float16),
    ]


def _codes(
    weights: list[Tensor], scales: list[float], precision: str, exact: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """Return codes of weights [K, ...] and the unit of each one's products [K], float64.

    `scales` are of the activations that they multiply. A second weight's unit is a whole multiple of the first's, and
    with `exact` divides that weight's largest value of a channel.
    """
    largest = LARGEST.get(precision, LARGEST_HALF)
    tops = [weight.abs().flatten(1).amax(1) * scale for weight, scale in zip(weights, scales, strict=True)]
    # a channel of zeros takes the other's unit
    others = [torch.where(top > 0, top, 1.0) for top in reversed(tops)]
    units = [torch.where(top > 0, top, other) / largest for top, other in zip(tops, others, strict=True)]
    if len(units) == 2:
        units = _matched(units[0], units[1], precision, exact)
    codes = []
    for weight, scale, unit in zip(weights, scales, units, strict=True):
        places = weight * scale / by_channel(unit, weight)
        codes.append((places.round() if precision == "int8" else places).to(CODES.get(precision, torch.float16)))
    return codes, units


def _matched(first: Tensor, second: Tensor, precision: str, exact: bool) -> list[Tensor]:
    """Return units [K] no finer than these, the second a multiple of the first: in e4m3 and fp16 by 1."""
    if precision == "int8":
        times = (second / first).clamp(max=MOST_TIMES)
        # the multiple for which the coarser of both changes grows least
        low, high = times.floor(), times.ceil()
        times = (low if exact else torch.where(high * low > times.square(), low, high)).clamp(min=1)
        if exact:
            parts = (second / first * LARGEST["int8"] + 1e-9).floor()
            fitted = torch.where(parts > 0, second * LARGEST["int8"] / parts, first)
            second = torch.where(second < first, fitted, second)
        first = torch.maximum(first, second / times)
        return [first, first * times]
    unit = torch.maximum(first, second)
    if exact:  # by a power of two, which is a code
        unit = second / (second / unit).log2().floor().exp2()
    return [unit, unit]


def _bias(step: Conv, shortcut: Shortcut | None, channels: int) -> Tensor:
    biases = [step.bias, None if shortcut is None else shortcut.bias]
    zeros = torch.zeros(channels, dtype=torch.float64)
    return sum((bias.detach().double() for bias in biases if bias is not None), zeros)
