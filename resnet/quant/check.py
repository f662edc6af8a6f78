"""Whether a runner in 8 bits computes what it declares, step by step, and declares the model: each refusal a sentence.

Logits cannot tell: one code at the input moves them as far as a wrong kernel does. So each step is computed in float64
from the integers that the backend itself made, and the backend's next integers have to be that value, rounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from resnet.fold import fold
from resnet.quant.network import INPUT, run_steps
from resnet.quant.steps import CODES, Grid, Step, Taps, Term, Weight

# The most that a code may be off the unrounded value, in steps of its grid; and the share of a step's codes that may be
# off by more than half a step, of which a small tensor may have a few. METHODOLOGY has how far honest backends are.
DISTANCE, FLIPS, FEW = 0.501, 1e-4, 2
# Beyond this, a code is not the nearest: float64 itself puts exact ties off by less.
TIE = 0.5 + 1e-6
# Rounding of sums in float32, in units of the terms' summed magnitudes; tensor cores add 8-bit floats in fewer bits.
SUM_ROUNDING, TENSOR_CORE_SUM_ROUNDING = 2.0**-19, 2.0**-12
# Of the declaration: how far logits of its steps in float64 may be off the model's, relative; how far a weight may be
# off its rounded value, in steps; the share of a layer's weights that may be cut off at its largest code.
LOGITS_ERROR, WEIGHT_DISTANCE, CLIPPED = 1e-5, 0.501, 0.01

KINDS = {"int8": ("uint8", "int8"), "fp8": ("e4m3",)}  # of grids; weights are int8 in both of the first


class Refused(ValueError):
    """A runner in 8 bits that is refused; the message says why."""


@dataclass(frozen=True)
class Checked:
    """The farthest code of all steps, in steps of its grid, and in which; the share of flips in the worst step."""

    distance: float
    worst: str
    flips: float


def check_declaration(
    steps: Sequence[Step], precision: str, wide: Collection[str], model: nn.Module, picture: Tensor, logits: Tensor
) -> dict[str, int]:
    """Hold declared steps against the model; return how many steps and layers are in 8 bits. Raises Refused.

    `model` answers `picture`, float32 [1, C, H, W], with `logits` [1, classes]. With the model's own numbers for
    theirs, and nothing rounded, the steps have to answer that too: so no layer is missing, and no stride, padding, ReLU
    or source is another. `wide` names the layers that may be out of the 8 bits.
    """
    folded = fold(deepcopy(model).double())
    layers = {name: layer for name, layer in folded.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    _check_layers(steps, layers)
    grids = {step.name: step.output for step in steps if step.output is not None}
    for grid in grids.values():
        if grid.kind not in KINDS[precision]:
            raise Refused(f"it declares codes of {grid.kind} under the name of {precision}")
    narrow = [_check_weight(step, term, layers, grids, precision) for step in steps for term in step.terms]
    named = {name for name in narrow if name}
    # a classifier that reads the mean of the pixels multiplies 8-bit weights with floats, which is no 8-bit layer
    weighted = {weight.module for step in steps for weight in step.weights if not weight.wide}
    means = {name for name in weighted if isinstance(layers.get(name), nn.Linear)}
    outside = [name for name in layers if name not in named | means]
    if not named:
        raise Refused(
            f"no layer reads and multiplies 8-bit numbers: it is another precision under the name {precision}"
        )
    if unlisted := [name for name in outside if name not in wide]:
        raise Refused(f"{_some(unlisted)} not computed in 8 bits, and not listed as wide")
    for step in steps:
        _check_bias(step, layers, grids)
    exact = _run(tuple(_in_float(step, layers) for step in steps), picture.double())
    if exact.shape != logits.shape:
        raise Refused(f"its steps end in logits of shape {list(exact.shape)}, not {list(logits.shape)}")
    error = float((exact - logits).square().mean().sqrt() / logits.square().mean().sqrt())
    if not error <= LOGITS_ERROR:
        raise Refused(
            f"its steps are not the model's: with the model's own weights and nothing rounded they answer "
            f"{error:.2g} of the logits off (allowed: {LOGITS_ERROR:g})"
        )
    return {"steps": len(grids), "layers": len(named)}


def check_steps(steps: Sequence[Step], picture: Tensor, taps: Taps, row: int) -> Checked:
    """Hold one row of a batch's `taps` against the exact values of `steps`, which start from that row's own picture.

    `picture` is float32 [1, C, H, W]. A step without a grid that is not tapped goes on from its exact value. Raises
    Refused.
    """
    values: dict[str, Tensor] = {INPUT: picture.double()}
    farthest, flips = (0.0, ""), 0.0
    for step in steps:
        tapped = taps.logits if step is steps[-1] else taps.activations.get(step.name)
        exact = step.value(values)
        if tapped is None and step.output is None:
            values[step.name] = exact
            continue
        if tapped is None:
            raise Refused(f"it shows no codes of {step.name}")
        found = tapped[row : row + 1].detach().to("cpu")
        if found.shape != exact.shape:
            raise Refused(f"{step.name} has shape {list(found.shape)}, not {list(exact.shape)}")
        slack = _sum_rounding(step, values, tapped.is_cuda)
        if step.output is None:
            _check_number(step, found, exact, slack)
            values[step.name] = found.double()
            continue
        distance, share = _check_codes(step, step.output, found, exact, slack)
        farthest, flips = max(farthest, (distance, step.name)), max(flips, share)
        values[step.name] = step.output.values(found)
    return Checked(*farthest, flips)


def one_code(steps: Sequence[Step], pictures: Tensor) -> float:
    """Return how far the logits of the steps move, as an RMS, if every pixel moves by one code of 256, up or down."""
    code = float(pictures.max() - pictures.min()) / 255
    signs = torch.randint(0, 2, pictures.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    moved, still = (run_steps(steps, batch).logits for batch in (pictures + code * signs, pictures))
    return float((moved - still).double().square().mean().sqrt())


def _check_layers(steps: Sequence[Step], layers: Mapping[str, nn.Module]) -> None:
    """Raise Refused unless each layer of the model is in the steps, once."""
    found = Counter(weight.module for step in steps for weight in step.weights if weight.module)
    if absent := [name for name in layers if name not in found]:
        raise Refused(f"{_some(absent)} left out")
    if unknown := [name for name in found if name not in layers]:
        raise Refused(f"{_some(unknown)} no layer of the model")
    if twice := [name for name, count in found.items() if count > 1]:
        raise Refused(f"{_some(twice)} computed more than once")


def _check_weight(
    step: Step, term: Term, layers: Mapping[str, nn.Module], grids: Mapping[str, Grid], precision: str
) -> str:
    """Return the name of a layer whose product is of 8 bits, else an empty string. Raises Refused for wrong weights."""
    weight = term.weight
    if weight is None or not weight.module:
        return ""
    exact = _values(layers[weight.module])
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
    scale = weight.scale.double().reshape(-1, *[1] * (exact.dim() - 1))
    codes, places = weight.codes.double(), exact / scale
    largest = float(codes.abs().max())
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


def _check_bias(step: Step, layers: Mapping[str, nn.Module], grids: Mapping[str, Grid]) -> None:
    """Raise Refused unless a step's bias is that of its layers, to half a code of the products."""
    named = [term for term in step.terms if term.weight is not None and term.weight.module]
    if not named:
        return
    exact = sum((_bias(layers[term.weight.module]) for term in named if term.weight is not None), torch.zeros(()))
    found = torch.zeros(()) if step.bias is None else step.bias.double()
    allowed = 1e-6 * exact.abs()
    for term in named:
        assert term.weight is not None
        grid = grids.get(term.source)
        if term.weight.wide:
            allowed = allowed + torch.finfo(term.weight.codes.dtype).eps * exact.abs()
        elif grid is None or grid.kind == "e4m3":
            allowed = allowed + torch.finfo(torch.bfloat16).eps * exact.abs()
        else:
            allowed = allowed + WEIGHT_DISTANCE * term.weight.scale.double() * grid.scale
    if not bool(((found - exact).abs() <= allowed).all()):
        worst = float(((found - exact).abs() / allowed.clamp(min=1e-300)).max())
        raise Refused(f"the bias of {step.name} is not the model's: {worst:.3g} times as far off as rounding it goes")


def _check_codes(step: Step, grid: Grid, found: Tensor, exact: Tensor, slack: Tensor | float) -> tuple[float, float]:
    """Return the largest distance of codes from their unrounded values, and the share of flips. Raises Refused."""
    if found.dtype != grid.dtype:
        raise Refused(f"the codes of {step.name} are {_word(found.dtype)}, not {_word(grid.dtype)}")
    places = grid.places(exact)
    distances = ((found.double() - places).abs() - slack / grid.scale) / grid.steps(places)
    distance, flips = float(distances.max()), int((distances > TIE).sum())
    share = flips / distances.numel()
    if not distance <= DISTANCE:
        channel = int(distances.transpose(0, 1).flatten(1).amax(1).argmax())
        raise Refused(
            f"{step.name} is wrong: a code of channel {channel} is {distance:.3g} codes from its exact value (allowed: "
            f"{DISTANCE:g}), and {share:.2g} of the codes are not the nearest"
        )
    if flips > max(FEW, math.ceil(FLIPS * distances.numel())):
        raise Refused(f"{step.name} is wrong: {share:.2g} of its codes are not the nearest (allowed: {FLIPS:g})")
    return max(distance, 0.0), share


def _check_number(step: Step, found: Tensor, exact: Tensor, slack: Tensor | float) -> None:
    """Raise Refused unless numbers that a step ends in are its exact ones, rounded to its dtype."""
    if found.dtype != step.dtype:
        raise Refused(f"{step.name} ends in {_word(found.dtype)}, not {_word(step.dtype)}")
    allowed = torch.finfo(step.dtype).eps * exact.abs().clamp(min=torch.finfo(step.dtype).tiny) + slack
    error = (found.double() - exact).abs()
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


def _in_float(step: Step, layers: Mapping[str, nn.Module]) -> Step:
    """Return a step with the model's weights and bias, which rounds nothing."""
    named = [weight.module for weight in step.weights if weight.module]
    terms = tuple(
        replace(term, weight=Weight(term.weight.module, exact, torch.ones(len(exact), dtype=exact.dtype)))
        if term.weight is not None and term.weight.module and (exact := _values(layers[term.weight.module])) is not None
        else term
        for term in step.terms
    )
    bias = sum((_bias(layers[name]) for name in named), torch.zeros(())) if named else step.bias
    return replace(step, terms=terms, output=None, bias=bias if bias is None or bias.dim() else None)


def _values(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    return layer.weight.detach().cpu()


def _bias(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    return torch.zeros(len(layer.weight), dtype=torch.float64) if layer.bias is None else layer.bias.detach().cpu()


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _some(names: Sequence[str]) -> str:
    """Return names with their verb: `fc is`, `conv1, fc are`, `conv1, layer1.0.conv1 and 12 others are`."""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"
