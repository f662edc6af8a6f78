"""The gate of 8 bits: a runner has to compute what it declares, step by step, and to declare the model.

Logits cannot tell: one code at the input moves them as far as a wrong kernel does. So each step is computed in float64
from the integers of the backend itself, whose next integers have to be that value, rounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from resnet.fold import fold
from resnet.quant.network import INPUT, run_steps
from resnet.quant.steps import CODES, Grid, Step, Taps, Term, Weight, by_channel

# The most that a code may be off the unrounded value, in steps of its grid; METHODOLOGY has how far honest ones are.
DISTANCE = 0.501
TIE = 0.5 + 1e-6  # beyond it a code is not the nearest: float64 itself puts exact ties off by less
# The share of values that may round to another code than the nearest. A backend that scales its sums in float32 is off
# by 1e-5 of a code, so that of 100,000 values about 2 lie where that decides; a kernel as far off as DISTANCE lets it
# be rounds 100 of them otherwise. Chance may add as many deviations, and so many where hardly one is expected.
FLIPS, DEVIATIONS, FEW = 1e-4, 5, 5
# Rounding of sums in float32, in units of the terms' summed magnitudes; tensor cores add 8-bit floats in fewer bits.
SUM_ROUNDING, TENSOR_CORE_SUM_ROUNDING = 2.0**-19, 2.0**-12
# Of the declaration: how far logits of its steps in float64 may be off the model's, relative; how far a weight may be
# off its rounded value, in steps; the share of a layer's weights that may be cut off at its largest code.
LOGITS_ERROR, WEIGHT_DISTANCE, CLIPPED = 1e-5, 0.501, 0.01
LEAST_CODE = 32  # that the largest of a layer's int8 weights may be: with 7 bits it is 64, with 4 it would be 7

Layers = Mapping[str, tuple[Tensor, Tensor]]  # weight and bias by name
KINDS = {"int8": ("uint8", "int8"), "fp8": ("e4m3",)}  # of grids; weights are int8 in both of the first


class Refused(ValueError):
    """A runner in 8 bits that is refused; the message says why."""


def check_declaration(
    steps: Sequence[Step], precision: str, wide: Collection[str], model: nn.Module, picture: Tensor, logits: Tensor
) -> dict[str, int]:
    """Hold declared steps against the model; return how many steps and layers are in 8 bits. Raises Refused.

    `model` answers `picture`, float32 [1, C, H, W], with `logits` [1, classes]. With the model's numbers for
    theirs, and nothing rounded, the steps have to answer that too: so no layer is missing, and no stride, padding, ReLU
    or source is another. `wide` names the layers that may be out of the 8 bits.
    """
    layers = _layers(model)
    _check_layers(steps, layers)
    grids = {step.name: step.output for step in steps if step.output is not None}
    for grid in grids.values():
        if grid.kind not in KINDS[precision]:
            raise Refused(f"it declares codes of {grid.kind} under the name of {precision}")
    narrow = [_check_weight(term, layers, grids, precision) for step in steps for term in step.terms]
    named = {name for name in narrow if name}
    if not named:
        raise Refused(f"no layer reads and multiplies 8-bit numbers: another precision is under the name {precision}")
    # a classifier that reads the mean of the pixels multiplies 8-bit weights with floats, which is no 8-bit layer
    weights = [weight for step in steps for weight in step.weights]
    means = {weight.module for weight in weights if not weight.wide and weight.codes.dim() == 2}
    if unlisted := [name for name in layers if name not in {*named, *means, *wide}]:
        raise Refused(f"{_some(unlisted)} not computed in 8 bits, and not listed as wide")
    for step in steps:
        _check_bias(step, layers, grids)
    exact = _run(tuple(_in_float(step, layers) for step in steps), picture.double())
    if exact.shape != logits.shape:
        raise Refused(f"its steps end in logits of shape {list(exact.shape)}, not {list(logits.shape)}")
    error = float(((exact - logits).square().mean() / logits.square().mean()).sqrt())
    if not error <= LOGITS_ERROR:
        raise Refused(
            f"its steps are not the model's: with the model's weights and nothing rounded they answer "
            f"{error:.2g} of the logits off (allowed: {LOGITS_ERROR:g})"
        )
    return {"steps": len(grids), "layers": len(named)}


def check_steps(steps: Sequence[Step], picture: Tensor, taps: Taps, row: int) -> dict[str, Any]:
    """Hold one row of a batch's `taps` against the exact values of `steps`, which start from that row's picture.

    `picture` is float32 [1, C, H, W]. A step without a grid that is not tapped goes on from its exact value. Returns
    what a record has: the farthest code, in steps of its grid, and where; and the share of flips, codes that are not
    the nearest, in the step that has most. Raises Refused.
    """
    values: dict[str, Tensor] = {INPUT: picture.double()}
    farthest, share, flips, total = (0.0, ""), 0.0, 0, 0
    for step in steps:
        tapped = taps.logits if step is steps[-1] else taps.activations.get(step.name)
        exact = step.value(values)
        if tapped is None and step.output is None:
            values[step.name] = exact
            continue
        if tapped is None:
            raise Refused(f"it shows no codes of {step.name}")
        result = tapped[row : row + 1].detach().to("cpu")
        if result.shape != exact.shape:
            raise Refused(f"{step.name} has shape {list(result.shape)}, not {list(exact.shape)}")
        slack = _sum_rounding(step, values, tapped.is_cuda)
        if step.output is None:
            _check_number(step, result, exact, slack)
            values[step.name] = result.double()
            continue
        distance, flipped = _check_codes(step, step.output, result, exact, slack)
        farthest, share = max(farthest, (distance, step.name)), max(share, len(flipped) / result.numel())
        flips, total = flips + len(flipped.unique()), total + result.numel()
        values[step.name] = step.output.values(result)
    if flips > _most_flips(total):
        raise Refused(f"{flips / total:.2g} of the codes of all steps are not the nearest (allowed: {FLIPS:g})")
    return {"code_distance": farthest[0], "code_worst": farthest[1], "code_flips": share}


def one_code(steps: Sequence[Step], pictures: Tensor) -> float:
    """Return how far the logits of the steps move, as an RMS, if every pixel moves by one code of 256, up or down."""
    code = float(pictures.max() - pictures.min()) / 255
    signs = torch.randint(0, 2, pictures.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    moved, still = (run_steps(steps, batch).logits for batch in (pictures + code * signs, pictures))
    return float((moved - still).double().square().mean().sqrt())


def _layers(model: nn.Module) -> Layers:
    """Return the weight and the bias, in float64 on the CPU, of each layer of a model whose norms are folded."""
    result: dict[str, tuple[Tensor, Tensor]] = {}
    for name, layer in fold(deepcopy(model).double()).cpu().named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.detach()
            bias = torch.zeros(len(weight)).double() if layer.bias is None else layer.bias.detach()
            result[name] = weight, bias
    return result


def _check_layers(steps: Sequence[Step], layers: Layers) -> None:
    """Raise Refused unless each layer of the model is in the steps, once."""
    counts = Counter(weight.module for step in steps for weight in step.weights if weight.module)
    if absent := [name for name in layers if name not in counts]:
        raise Refused(f"{_some(absent)} left out")
    if unknown := [name for name in counts if name not in layers]:
        raise Refused(f"{_some(unknown)} no layer of the model")
    if twice := [name for name, count in counts.items() if count > 1]:
        raise Refused(f"{_some(twice)} computed more than once")


def _check_weight(term: Term, layers: Layers, grids: Mapping[str, Grid], precision: str) -> str:
    """Return the name of a layer whose product is of 8 bits, else an empty string. Raises Refused for wrong weights."""
    weight = term.weight
    if weight is None or not weight.module:
        return ""
    exact, _ = layers[weight.module]
    if weight.codes.shape != exact.shape:
        raise Refused(f"the weight of {weight.module} has shape {list(weight.codes.shape)}, not {list(exact.shape)}")
    if weight.wide:
        format = torch.finfo(weight.codes.dtype)
        error = (weight.values() - exact).abs() - format.eps * exact.abs().clamp(min=format.tiny)
        if not bool((error <= 1e-12).all()):
            raise Refused(f"the weight of {weight.module} is not the model's, rounded to {_word(weight.codes.dtype)}")
        return ""
    if weight.codes.dtype != CODES[KINDS[precision][-1]][2]:
        raise Refused(f"{weight.module} has weights in {_word(weight.codes.dtype)} under the name of {precision}")
    codes, places = weight.codes.double(), exact / by_channel(weight.scale.double(), exact)
    largest = float(codes.abs().max())
    if weight.codes.dtype == torch.int8 and largest < LEAST_CODE and bool(exact.any()):
        raise Refused(f"the weights of {weight.module} are of fewer bits: their largest code is {largest:g}")
    clipped = (codes.abs() == largest) & (places * codes.sign() > largest)
    kind = Grid(KINDS[precision][-1], 1.0)  # type: ignore[arg-type]
    distance = ((codes - places).abs() / kind.steps(places)).where(~clipped, 0.0)
    if not float(distance.max()) <= WEIGHT_DISTANCE:
        channel = int(distance.flatten(1).amax(1).argmax())
        raise Refused(
            f"the weight of {weight.module} is not the model's: a code of channel {channel} times its scale is "
            f"{float(distance.max()):.3g} codes off (allowed: {WEIGHT_DISTANCE:g})"
        )
    share = float((clipped & (places.abs() > largest + 0.5)).double().mean())
    if share > CLIPPED:
        raise Refused(f"{share:.1%} of the weights of {weight.module} are cut off (allowed: {CLIPPED:.0%})")
    return weight.module if term.source in grids else ""


def _check_bias(step: Step, layers: Layers, grids: Mapping[str, Grid]) -> None:
    """Raise Refused unless a step's bias is that of its layers, to half a code of the products."""
    exact = _bias(step, layers)
    if exact is None:
        return
    declared = torch.zeros(()) if step.bias is None else step.bias.double()
    allowed = 1e-6 * exact.abs()
    for term in step.terms:
        weight, grid = term.weight, grids.get(term.source)
        if weight is None or not weight.module:
            continue
        if weight.wide:
            allowed = allowed + torch.finfo(weight.codes.dtype).eps * exact.abs()
        elif grid is None or grid.kind == "e4m3":
            allowed = allowed + torch.finfo(torch.bfloat16).eps * exact.abs()
        else:
            allowed = allowed + WEIGHT_DISTANCE * weight.scale.double() * grid.scale
    error = (declared - exact).abs()
    if not bool((error <= allowed).all()):
        worst = float((error / allowed.clamp(min=1e-300)).max())
        raise Refused(f"the bias of {step.name} is not the model's: {worst:.3g} times as far off as rounding it goes")


def _check_codes(step: Step, grid: Grid, codes: Tensor, exact: Tensor, slack: Tensor | float) -> tuple[float, Tensor]:
    """Return the largest distance of codes from their unrounded values, and the values of flips. Raises Refused."""
    if codes.dtype != grid.dtype:
        raise Refused(f"the codes of {step.name} are {_word(codes.dtype)}, not {_word(grid.dtype)}")
    places = grid.places(exact)
    distances = ((codes.double() - places).abs() - slack / grid.scale) / grid.steps(places)
    distance, flipped = float(distances.max()), places[distances > TIE]
    share = len(flipped) / distances.numel()
    if not distance <= DISTANCE:
        channel = int(distances.transpose(0, 1).flatten(1).amax(1).argmax())
        raise Refused(
            f"{step.name} is wrong: a code of channel {channel} is {distance:.3g} codes from its exact value (allowed: "
            f"{DISTANCE:g}), and {share:.2g} of the codes are not the nearest"
        )
    # a value that comes many times, as of codes of zero, rounds alike each time, and is one
    if len(flipped.unique()) > _most_flips(distances.numel()):
        raise Refused(f"{step.name} is wrong: {share:.2g} of its codes are not the nearest (allowed: {FLIPS:g})")
    return max(distance, 0.0), flipped


def _most_flips(count: int) -> float:
    """Return how many of so many values may be flips."""
    expected = FLIPS * count
    return expected + DEVIATIONS * math.sqrt(expected) + FEW


def _check_number(step: Step, numbers: Tensor, exact: Tensor, slack: Tensor | float) -> None:
    """Raise Refused unless numbers that a step ends in are its exact ones, rounded to its dtype."""
    if numbers.dtype != step.dtype:
        raise Refused(f"{step.name} ends in {_word(numbers.dtype)}, not {_word(step.dtype)}")
    allowed = torch.finfo(step.dtype).eps * exact.abs().clamp(min=torch.finfo(step.dtype).tiny) + slack
    error = (numbers.double() - exact).abs()
    if not bool((error <= allowed).all()):
        worst = float((error / allowed.clamp(min=1e-300)).max())
        raise Refused(f"{step.name} is wrong: {worst:.3g} times as far off as {_word(step.dtype)} rounds")


def _sum_rounding(step: Step, values: Mapping[str, Tensor], on_gpu: bool) -> Tensor | float:
    """Return how far the order and rounding of a step's sums may move its value; 0 where integers are added.

    Integers end in integers, but so do products of floats, as those of a layer that is kept wide.
    """
    if step.output is not None and step.output.kind != "e4m3" and not any(weight.wide for weight in step.weights):
        return 0.0
    terms = tuple(
        replace(
            term,
            weight=term.weight and replace(term.weight, codes=term.weight.codes.double().abs()),
            scale=None if term.scale is None else term.scale.abs(),
            shift=None if term.shift is None else term.shift.abs(),
        )
        for term in step.terms
    )
    of_8_bits = any(not weight.wide for weight in step.weights)
    magnitude = replace(step, terms=terms, bias=None if step.bias is None else step.bias.abs())
    share = TENSOR_CORE_SUM_ROUNDING if on_gpu and of_8_bits else SUM_ROUNDING
    return share * magnitude.value({name: values[name].abs() for name in step.reads})


def _run(steps: Sequence[Step], picture: Tensor) -> Tensor:
    """Return the logits of steps. Raises Refused where they do not fit together."""
    try:
        return run_steps(steps, picture).logits
    except KeyError as missing:
        raise Refused(f"a step reads {missing}, which no step before it makes") from None
    except RuntimeError as error:
        raise Refused(f"its steps do not fit together: {str(error).splitlines()[0]}") from None


def _in_float(step: Step, layers: Layers) -> Step:
    """Return a step with the model's weights and bias, which rounds nothing."""
    terms = []
    for term in step.terms:
        if term.weight is not None and term.weight.module:
            values, _ = layers[term.weight.module]
            term = replace(term, weight=Weight.of_values(term.weight.module, values))
        terms.append(term)
    exact = _bias(step, layers)
    return replace(step, terms=tuple(terms), output=None, bias=step.bias if exact is None else exact)


def _bias(step: Step, layers: Layers) -> Tensor | None:
    """Return the sum of the biases of a step's layers; None of a step without any."""
    biases = [layers[weight.module][1] for weight in step.weights if weight.module]
    return sum(biases[1:], biases[0]) if biases else None


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _some(names: Sequence[str]) -> str:
    """Return names with their verb: `fc is`, `conv1, fc are`, `conv1, layer1.0.conv1 and 12 others are`."""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"
