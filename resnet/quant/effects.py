"""The cost of 8 bits, layer by layer: networks with some of their layers in 8 bits, beside the one in float.

All are simulated by `run_steps` in float32. A network that differs from another from some step on is run from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from resnet.cache import cached_file
from resnet.calibration import ALONE, FLOAT, Calibration
from resnet.fold import fold
from resnet.model import ResNet
from resnet.quant.network import INPUT, SCHEMES, float_steps, layers_of, quantize, run_steps
from resnet.quant.ranges import CHUNK, calibrate, describe_calibration, on_cores
from resnet.quant.steps import Step, Term, Weight

DEVICE_FORMATS = {"cpu": "uint8", "cuda": "int8"}  # of int8
RECIPE = 1  # raise it where the same layers rank in another order than before
RANKING_PICTURES = 16  # of a calibration, for the ranking behind a number of layers to keep wide


@dataclass(frozen=True)
class Effect:
    """Answers of a network: its class of each picture, and its logits' mean squared distance from those in float."""

    top: list[int]
    squares: list[float]


def one_quantized(steps: Sequence[Step], whole: Sequence[Step], layer: str) -> tuple[Step, ...]:
    """Return float steps with one layer in 8 bits as `whole` has it: its weights, and the activation that it reads."""
    by_name = {step.name: step for step in whole}
    grids = {step.name: step.output for step in whole} | {INPUT: whole[0].output}
    result: list[Step] = []
    for step in steps:
        terms = list(step.terms)
        for place, term in enumerate(terms):
            if term.weight is None or term.weight.module != layer:
                continue
            codes, rounded = f"{term.source}.alone", by_name[step.name]
            if grids[term.source] is not None:
                result.append(Step(codes, (Term(term.source),), grids[term.source]))
            source = codes if grids[term.source] is not None else term.source
            terms[place] = replace(rounded.terms[place], source=source)
            step = replace(step, terms=tuple(terms), bias=rounded.bias)
        result.append(step)
    return tuple(result)


def one_wide(steps: Sequence[Step], whole: Sequence[Step], layer: str) -> tuple[Step, ...]:
    """Return `whole` with one layer wide: what `quantize` makes of it, sharing the other steps."""
    by_name = {step.name: step for step in steps}
    result: list[Step] = []
    for step in whole:
        plain = by_name.get(step.name)
        if plain is None and layer == layers_of(steps)[0]:
            continue  # the pictures' codes
        if plain is not None and layer in layers_of([plain]):
            terms = zip(plain.terms, step.terms, strict=True)
            kept = (mine if mine.weight is not None and mine.weight.module == layer else other for mine, other in terms)
            step = replace(step, terms=tuple(kept), bias=plain.bias)
        elif step.output is not None and step.pool == "mean" and layer == layers_of(steps)[-1]:
            step = replace(step, output=None)
        result.append(step)
    return tuple(result)


def effects(
    steps: Sequence[Step], networks: Mapping[str, Sequence[Step]], pictures: Tensor, bases: Sequence[str] = ()
) -> dict[str, Effect]:
    """Return what each network makes of pictures [N, C, H, W]; FLOAT is the float `steps`, whose squares are of logits.

    Each network is run from where it parts from the float steps, or from one of those that `bases` names.
    """
    converted: dict[Step, Step] = {}
    ready = {name: _in_float32(network, converted) for name, network in {FLOAT: steps, **networks}.items()}

    def judge(chunk: Tensor) -> dict[str, tuple[list[int], list[float]]]:
        runs = {name: run_steps(ready[name], chunk).activations for name in (FLOAT, *bases)}
        exact, result = runs[FLOAT][steps[-1].name], {}
        for name, network in ready.items():
            base = max(runs, key=lambda other: _shared(network, ready[other]))
            shared = network[: _shared(network, ready[base])]
            logits = run_steps(network, chunk, {step.name: runs[base][step.name] for step in shared}).logits
            off = logits if name == FLOAT else logits - exact
            result[name] = logits.argmax(1).tolist(), off.double().square().mean(1).tolist()
        return result

    parts = on_cores(judge, pictures.split(CHUNK))
    return {
        name: Effect([top for part in parts for top in part[name][0]], [off for part in parts for off in part[name][1]])
        for name in ready
    }


def ranking(effects: Mapping[str, Effect]) -> list[str]:
    """Return the layers whose networks ALONE are among the effects, in the order of their error, the largest first."""
    errors = {name: sum(effect.squares) for name, effect in effects.items() if name.startswith(ALONE)}
    return [name.removeprefix(ALONE) for name in sorted(errors, key=errors.__getitem__, reverse=True)]


def name_wide(model: nn.Module, calibration: Calibration, precision: str, device: str) -> Calibration:
    """Return the calibration with names for a number of layers to keep wide: the most sensitive, on its pictures.

    They are read from the cache where it has them. Raises ValueError for more layers than the model has, and where
    the model is none of this project's ResNets, whose layers cannot be ranked.
    """
    if len(calibration.keep_wide) != 1 or not calibration.keep_wide[0].isdecimal():
        return calibration
    number, formats = int(calibration.keep_wide[0]), "e4m3" if precision == "fp8" else DEVICE_FORMATS[device]
    if not isinstance(model, ResNet):
        raise ValueError(f"the {number} most sensitive layers are ranked of this project's ResNets alone: name layers")
    steps, scheme = float_steps(cast(ResNet, fold(model)), merged=False), SCHEMES[formats]
    if number >= (count := len(layers_of(steps))):
        raise ValueError(f"{number} layers cannot be kept wide: the model has {count}, of which one is to be in 8 bits")

    def write(path: Path) -> None:
        whole = quantize(steps, calibrate(steps, calibration, scheme), scheme)
        alone = {f"{ALONE}{layer}": one_quantized(steps, whole, layer) for layer in layers_of(steps)}
        path.write_text(json.dumps(ranking(effects(steps, alone, calibration.pictures[:RANKING_PICTURES]))))

    key = f"sensitive {RECIPE} {describe_calibration(steps, calibration, scheme)}"
    ranked = json.loads(cached_file(key, ".json", write)[0].read_text())
    return replace(calibration, keep_wide=tuple(ranked[:number]))


def _shared(network: Sequence[Step], base: Sequence[Step]) -> int:
    """Return the number of steps with which both begin."""
    pairs = enumerate(zip(network, base, strict=False))
    return next((place for place, (mine, other) in pairs if mine is not other), min(len(network), len(base)))


def _in_float32(steps: Sequence[Step], converted: dict[Step, Step]) -> list[Step]:
    """Return steps whose weights are the float32 values that `run_steps` computes with, each `converted` once."""
    for step in steps:
        if step not in converted:
            terms = list(step.terms)
            for place, term in enumerate(terms):
                if (w := term.weight) is not None:
                    terms[place] = replace(term, weight=Weight.of_values(w.module, w.values(torch.float32)))
            converted[step] = replace(step, terms=tuple(terms))
    return [converted[step] for step in steps]
