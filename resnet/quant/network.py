"""A folded ResNet as steps: in float, which calibration looks at, and in 8 bits, on grids and with integer weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from resnet.calibration import Calibration
from resnet.model import Block, ResNet
from resnet.quant.steps import CODES, Grid, Step, Taps, Term, Weight, by_channel

INPUT, LOGITS = "input", "fc"  # names of the pictures and of the logits

Ranges = Mapping[str, tuple[float, float]]  # the least and largest value of each activation that 8 bits cover


@dataclass(frozen=True)
class Scheme:
    """The formats of a backend: codes of activations and weights, and the largest weight code where that is cut.

    Activations in uint8 have a zero point where they may be negative; in int8 and e4m3 none. `largest` is under 127
    where a CPU's 16-bit sums of products would overflow. With `mean` the mean over the pixels is rounded too, so that
    the classifier's product is one of integers.
    """

    activations: Literal["uint8", "int8", "e4m3"]
    weights: Literal["int8", "e4m3"] = "int8"
    largest: float = math.inf
    mean: bool = False


SCHEMES: Mapping[str, Scheme] = {
    "uint8": Scheme("uint8", mean=True),
    "int8": Scheme("int8"),
    "e4m3": Scheme("e4m3", "e4m3"),
}  # of the formats in `resnet.calibration.FORMATS`


def float_steps(folded: ResNet, merged: bool) -> tuple[Step, ...]:
    """Return the steps of a folded model (`resnet.fold`) in float, each rounding point of 8 bits the end of a step.

    With `merged` a block's last convolution and its sum are one step, which rounds once; otherwise each rounds. The
    activation of a step is named after the last of the modules that it computes: `layer1.0.conv1`, `layer1.0.add`.
    """
    return tuple(_steps(folded, merged))


def run_steps(steps: Sequence[Step], pictures: Tensor, results: Mapping[str, Tensor] | None = None) -> Taps:
    """Run steps on pictures [N, C, H, W], in their dtype, every result rounded to its grid if it has one.

    `activations` are values, not codes. In float32 it simulates a backend to within a code here and there, fast. Steps
    that have `results` already are not run.
    """
    values: dict[str, Tensor] = {INPUT: pictures, **(results or {})}
    for step in steps:
        if step.name in values:
            continue
        value = step.value(values)
        if step.output is not None:
            value = step.output.values(step.output.codes(value)).to(pictures)
        values[step.name] = value
    return Taps(values, values[steps[-1].name])


def quantize(steps: Sequence[Step], ranges: Ranges, scheme: Scheme, wide: Collection[str] = ()) -> tuple[Step, ...]:
    """Return float steps in 8 bits: pictures rounded first, every activation on the grid of its range.

    Layers in `wide` keep their weights in float; they read and write grids all the same, but a first layer in it reads
    the pictures, and a last one the mean, as they are. The mean over the pixels is in float, unless the scheme rounds
    it, and so are the logits. A maximum of codes is a code: a pool has the grid of what it reads, which is that of the
    pool's range, as no other value counts. Biases are rounded to the grid of the products, as int32 sums are. Raises
    ValueError for a name in `wide` that is no layer.
    """
    check_named(wide, layers_of(steps))
    pools = {step.reads[0]: step.name for step in steps if step.pool in ("max", "max_zeros")}
    grids = {name: grid(*ranges[pools.get(name, name)], scheme) for name in (INPUT, *(one.name for one in steps[:-1]))}
    if not scheme.mean or LOGITS in wide:
        del grids[steps[-1].reads[0]]
    codes = f"{INPUT}.codes"
    result = []
    if steps[0].weights[0].module in wide:
        codes = INPUT
    else:
        result.append(Step(codes, (Term(INPUT),), grids[INPUT]))
    for step in steps:
        terms = []
        for term in step.terms:
            weight = term.weight
            if weight is not None and weight.module not in wide:
                weight = _rounded(weight, scheme)
            terms.append(replace(term, source=codes if term.source == INPUT else term.source, weight=weight))
        bias = _bias(step, terms, grids)
        result.append(replace(step, terms=tuple(terms), output=grids.get(step.name), bias=bias))
    return tuple(result)


def layers_of(steps: Sequence[Step]) -> list[str]:
    """Return the convolutions and the classifier, in the order in which they run."""
    return [weight.module for step in steps for weight in step.weights]


def check_named(wide: Collection[str], layers: Collection[str]) -> None:
    """Raise ValueError for a name in `wide` that is none of the layers."""
    if unknown := sorted(set(wide) - set(layers)):
        raise ValueError(f"no layer is called {unknown[0]}; there are {', '.join(layers)}")


def facts(steps: Sequence[Step], calibration: Calibration, ranges: str) -> dict[str, Any]:
    """Return what a record says of a network in 8 bits whose layers are wide because a user named them.

    `ranges` is their digest. `disk_bytes` are those of codes, scales and biases (the last two in float32), with a scale
    and a zero point for each grid: what a file of them would hold. The gate adds what it counts of the steps. Raises
    ValueError where no layer is in 8 bits.
    """
    weights = [weight for step in steps for weight in step.weights]
    wide = [weight.module for weight in weights if weight.wide and weight.module]
    if all(weight.wide for weight in weights if weight.module):
        raise ValueError("no layer is in 8 bits: keep fewer wide, or take a precision of 16 bits")
    stored = [weight.codes.numel() * weight.codes.element_size() + 4 * len(weight.scale) for weight in weights]
    biases = [4 * len(step.bias) for step in steps if step.bias is not None]
    grids = sum(step.output is not None for step in steps)
    return {
        "calibrate": calibration.method,
        "pictures": len(calibration.pictures),
        "ranges": ranges,
        "wide": wide,
        "why_wide": dict.fromkeys(wide, "as asked"),
        "disk_bytes": sum(stored) + sum(biases) + 5 * grids,
    }


def grid(low: float, high: float, scheme: Scheme) -> Grid:
    """Return the grid that covers a range; zero is always one of its values."""
    low, high = min(low, 0.0), max(high, 0.0)
    least, largest, _ = CODES[scheme.activations]
    if scheme.activations != "uint8":
        return Grid(scheme.activations, max(-low, high) / largest or 1.0)
    scale = (high - low) / (largest - least) or 1.0
    return Grid(scheme.activations, scale, round(-low / scale))


def _steps(model: ResNet, merged: bool) -> Iterator[Step]:
    yield Step("conv1", (_conv(INPUT, "conv1", model.conv1),), None, _of(model.conv1), relu=not model.preact)
    yield Step("maxpool", (Term("conv1"),), None, pool="max_zeros" if model.preact else "max")
    x = "maxpool"
    for number, stage in enumerate((model.layer1, model.layer2, model.layer3, model.layer4), 1):
        for index, block in enumerate(stage):
            for step in _block(f"layer{number}.{index}", cast(Block, block), x, model.preact, merged):
                yield step
                x = step.name
    if model.preact and isinstance(model.post_bn, nn.BatchNorm2d):
        yield Step("post_bn", (_norm(x, model.post_bn),), None)
        x = "post_bn"
    yield Step("avgpool", (Term(x),), None, pool="mean")
    weight = Weight.of_values("fc", model.fc.weight.detach())
    yield Step(LOGITS, (Term("avgpool", weight),), None, model.fc.bias.detach().double())


def _block(name: str, block: Block, x: str, preact: bool, merged: bool) -> Iterator[Step]:
    """Yield the steps of a block that reads `x`; the last is its result."""
    entry = x
    if preact and isinstance(block.preact_bn, nn.BatchNorm2d):
        entry = f"{name}.preact_bn"
        yield Step(entry, (_norm(x, block.preact_bn),), None)
    y = entry
    *inner, (last_name, last) = [(f"{name}.{part}", conv) for part, conv in block.convs()]
    for part, conv in inner:
        yield Step(part, (_conv(y, part, conv),), None, _of(conv), relu=True)
        y = part
    added: Term | None = None
    shortcut = block.downsample
    projections = [m for m in shortcut.modules() if isinstance(m, nn.Conv2d)] if shortcut is not None else []
    if projections:
        part = f"{name}.downsample.0"
        source = entry if preact and block.projects else x
        yield Step(part, (_conv(source, part, projections[0]),), None, _of(projections[0]))
        added = Term(part)
    elif shortcut is not None:
        pools = [cast(int, m.stride) for m in shortcut.modules() if isinstance(m, nn.MaxPool2d)]
        pads = [m for m in shortcut.modules() if isinstance(m, nn.ZeroPad3d)]
        added = Term(x, stride=pools[0] if pools else 1, channels=last.out_channels if pads else 0)
    total, relu = f"{name}.add", not preact
    product = _conv(y, last_name, last)
    if added is None:  # without a sum the next norm is folded in too, and its ReLU follows
        yield Step(last_name, (product,), None, _of(last), relu=True)
    elif merged:
        yield Step(total, (product, added), None, _of(last), relu=relu)
    else:
        yield Step(last_name, (product,), None, _of(last))
        yield Step(total, (Term(last_name), added), None, relu=relu)


def _conv(source: str, name: str, conv: nn.Conv2d) -> Term:
    weight = Weight.of_values(name, conv.weight.detach())
    return Term(source, weight, conv.stride[0], cast("tuple[int, int]", conv.padding)[0], conv.groups)


def _of(conv: nn.Conv2d) -> Tensor | None:
    return None if conv.bias is None else conv.bias.detach().double()


def _norm(source: str, norm: nn.BatchNorm2d) -> Term:
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    scale = norm.weight.detach().double() / torch.sqrt(variance + norm.eps)
    return Term(source, scale=scale, shift=norm.bias.detach().double() - mean * scale, relu=True)


def _rounded(weight: Weight, scheme: Scheme) -> Weight:
    """Return a weight in the scheme's codes, each output channel scaled to its largest value."""
    values = weight.codes.double()
    _, most, dtype = CODES[scheme.weights]
    limit = min(scheme.largest, most)
    scale = values.abs().flatten(1).amax(1) / limit
    scale = torch.where(scale > 0, scale, 1.0)
    codes = values / by_channel(scale, values)
    return Weight(weight.module, (codes.round() if dtype == torch.int8 else codes).to(dtype), scale)


def _bias(step: Step, terms: Sequence[Term], grids: Mapping[str, Grid]) -> Tensor | None:
    """Return a step's bias, rounded to the grid of its one 8-bit product if it has one."""
    products = [term for term in terms if term.weight is not None and not term.weight.wide]
    source = INPUT if products and products[0].source == f"{INPUT}.codes" else products[0].source if products else ""
    if step.bias is None or len(products) != 1 or source not in grids or grids[source].kind == "e4m3":
        return step.bias
    weight = products[0].weight
    assert weight is not None
    unit = weight.scale * grids[source].scale
    return (step.bias / unit).round() * unit
