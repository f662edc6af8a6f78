"""Synthetic weights for a module from outside, that behave like trained ones, where its initialiser's do not.

In eval mode batch norms that have seen no data do nothing, and an untrained residual network then amplifies every
rounding: its answers hardly depend on the picture, and no precision can be judged by them. Some initialisers also start
branches or the classifier at zero, and a wrong kernel in such a branch changes nothing. So, as this project's ResNets
have it (`resnet.weights.synthetic`): random scales and shifts, damped branches, the statistics of real pictures, a
classifier scaled and centred on the features of those pictures.

What has trained weights keeps them: batch norms with statistics, and whatever has neither batch norms nor dead scales.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet.cache import cached_file
from resnet.inputs import Source, as_channels, pictures
from resnet.outside.branches import branch_weights
from resnet.outside.wrapper import OutsideModel
from resnet.weights.synthetic import BRANCH_SCALE, CALIBRATION_PICTURES, LOGIT_SPREAD, save_weights

# Part of the cache's key: raise it when the recipe below changes the weights.
RECIPE = 2
# A scale that is the same small number in every channel is an initialiser's, not a trained one: timm's ConvNeXt has
# 1e-6, others start at 0.
DEAD = 0.01
# The mean shift of norms. At 0 a ReLU cuts off half, and in deep networks without shortcuts the features of all
# pictures then become alike: the norms amplify the little in which they differ, and every rounding with it. bf16's
# logits were 26 % off for GoogLeNet, 101 % for Inception v3, 126 % for MobileOne, at 0.5 11, 21 and 12 % (2026-11-28).
SHIFT = 0.7


def synthesize_outside(model: OutsideModel, seed: int, source: Source, image: int) -> None:
    """Give `model` synthetic weights, cached on disk, or leave it as it is; `model.weights` says which.

    They are equal for equal models, seeds, image sizes and pictures.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_var is not None]
    norms = [norm for norm in norms if not isinstance(norm, nn.SyncBatchNorm)]  # which run on no CPU in training mode
    dead = dead_scales(model)
    if any(map(_has_seen_data, norms)) or not (norms or dead or _silent(model)):
        return
    shapes = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in model.state_dict().items()]
    structure = hashlib.sha256(str(shapes).encode()).hexdigest()[:16]
    made_by = f"{model.name} {model.origin} {model.code} {structure}"
    key = f"outside {RECIPE} {made_by} {seed} i{image} {source.description()} torch {torch.__version__}"

    def save(path: Path) -> None:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            batch = as_channels(pictures(CALIBRATION_PICTURES, image, seed=seed, source=source), model.channels)
            _calibrate(model, norms, dead, batch)
        save_weights(model, path)

    path, _ = cached_file(key, ".pt", save)
    model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    model.weights = "synthetic"


def _has_seen_data(norm: _BatchNorm) -> bool:
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    return bool(mean.any() or (variance - 1).any())


def dead_scales(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that scale channels and are the same number near zero in each."""
    return [
        parameter
        for name, parameter in model.named_parameters()
        if not any(word in name.rpartition(".")[2] for word in ("bias", "beta", "token", "embed"))
        and parameter.numel() > 1
        and parameter.numel() == max(parameter.shape)  # a vector, of any shape
        and bool((parameter == parameter.flatten()[0]).all())
        and bool(parameter.flatten()[0].abs() < DEAD)
    ]


def _silent(model: OutsideModel) -> bool:
    """Return whether the last weights of a model are all zero, so that its answer is the same for every picture."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    return bool(weights) and not bool(weights[-1].any())


def _calibrate(model: OutsideModel, norms: list[_BatchNorm], dead: list[nn.Parameter], batch: Tensor) -> None:
    """Set the weights by passes of `batch` [N, C, H, W], of `norms` without statistics and of `dead` scales."""
    for parameter in dead:
        nn.init.uniform_(parameter, 0.5 * BRANCH_SCALE, 1.5 * BRANCH_SCALE)
    if norms:
        _randomise(model)
        for parameter in branch_weights(model, batch[:1]):
            parameter.mul_(BRANCH_SCALE)
        _fit(model, norms, batch)
    if norms or _silent(model):
        _calibrate_classifier(model, batch)


def _randomise(model: nn.Module) -> None:
    """Set the scales and shifts of all norms as trained ones have them: none is 1 or 0."""
    for module in model.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(weight, nn.Parameter) and weight.ndim == 1:
            nn.init.uniform_(weight, 0.5, 1.5)
            if isinstance(bias, nn.Parameter):
                nn.init.normal_(bias, SHIFT, 0.1)


def _fit(model: nn.Module, norms: list[_BatchNorm], batch: Tensor) -> None:
    """Give the norms the statistics of `batch`: each normalises by it, so that one pass serves every layer."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.training, norm.momentum = True, 1.0
    try:
        model(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.training, norm.momentum = False, momentum


def _calibrate_classifier(model: OutsideModel, batch: Tensor) -> None:
    """Scale and centre the layer whose output the logits are, if there is one, on the features of `batch`."""
    layer, features = _classifier(model, batch)
    if layer is None or features is None:
        return
    mean = features.mean(0)
    weight = torch.randn(layer.weight.flatten(1).shape, dtype=torch.float64)
    # Without their component along the mean feature no large common term cancels against the bias.
    if float(mean.dot(mean)) > 0:
        weight -= torch.outer(weight @ mean, mean) / mean.dot(mean)
    spread = float((weight @ (features - mean).T).std())
    if not spread > 0:
        return
    weight *= LOGIT_SPREAD / spread
    layer.weight.copy_(weight.view_as(layer.weight))
    if layer.bias is not None:
        shift = 0.1 * torch.randn(len(weight), dtype=torch.float64)
        layer.bias.copy_(shift - weight @ mean)


def _classifier(model: OutsideModel, batch: Tensor) -> tuple[nn.Linear | nn.Conv2d | None, Tensor | None]:
    """Return the last linear layer or 1x1 convolution whose output is the logits, and its input as [N, features]."""
    calls: list[tuple[nn.Linear | nn.Conv2d, Tensor, Tensor]] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear | nn.Conv2d) and output.numel() == len(batch) * model.classes:
            calls.append((layer, inputs[0], output))

    handles = [module.register_forward_hook(keep) for module in model.modules()]
    logits = model(batch)
    for handle in handles:
        handle.remove()
    for layer, x, output in reversed(calls):
        groups = getattr(layer, "groups", 1)
        if x.numel() == len(batch) * layer.weight[0].numel() and groups == 1 and torch.equal(output.flatten(1), logits):
            return layer, x.flatten(1).double()
    return None, None
