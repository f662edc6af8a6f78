"""A model from outside, built by its name: float32, on the CPU, in eval mode, without gradients."""

from __future__ import annotations

import copy
import inspect
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from resnet.code import CodeError, blame, load_code
from resnet.inputs import Source, as_channels, find_source, pictures
from resnet.names import outside_parts
from resnet.outside.calibrate import synthesize_outside
from resnet.outside.identity import code_digest
from resnet.outside.packages import package_builder
from resnet.outside.sources import PACKAGES, ModelError, arguments_of
from resnet.outside.wrapper import OutsideModel, first_line

# The names that builders have for the two counts, the most usual first.
CLASSES, CHANNELS = ("num_classes",), ("in_channels", "in_chans")
PACKAGE_CHANNELS = {"timm": ("in_chans",), "torchvision": ()}
EXAMPLES = 2  # pictures that show how a model answers: one would not show that it loses the batch's dimension


def build_outside(
    name: str,
    *,
    seed: int = 0,
    num_classes: int | None = None,
    in_channels: int | None = None,
    weights: str | Path | None = None,
    source: Source | str = "photos",
    image: int = 224,
) -> OutsideModel:
    """Build the model `SOURCE:NAME[@k=v,...]`, for pictures of `image` pixels a side.

    `weights` is a checkpoint's path. Without one, a model whose weights are as an initialiser leaves them gets
    synthetic ones where its answers could not be judged else (`resnet.outside.calibrate`), and any other keeps what its
    builder gave it. Raises ModelError, with a sentence, for what cannot be built or does not take pictures alone.
    """
    images = find_source(source) if isinstance(source, str) else source

    def make(classes: int, channels: int) -> OutsideModel:
        counts = {"num_classes": classes or None, "in_channels": channels or None}
        return bare_outside(name, seed=seed, image=image, **counts)

    if weights is not None:
        from resnet.weights.checkpoint import build_from

        model, choice = build_from(weights, make, num_classes or 0, in_channels or 0, lambda model: model.net)
        model.weights, model.choice = "file", choice
    else:
        model = make(num_classes or 0, in_channels or 0)
        synthesize_outside(model, seed, images, image)
    return model.requires_grad_(False)


def bare_outside(
    name: str, *, seed: int = 0, num_classes: int | None = None, in_channels: int | None = None, image: int = 224
) -> OutsideModel:
    """Build the same with whatever weights its builder gives it. Raises ModelError as `build_outside` does."""
    source, within, _ = outside_parts(name)
    theirs = source in PACKAGES  # built before the seed: only the first import of a file draws its random numbers
    builder, origin = package_builder(source, within, name) if theirs else (_user_builder(name), source)
    with _seeded(seed):
        net = _net(builder, name, num_classes, in_channels)
        channels = in_channels or _channels(net, arguments_of(name))
        example = as_channels(pictures(EXAMPLES, image, seed=seed, source="noise"), channels)
        model = OutsideModel(net, name, example).eval()
    model.origin, model.code = origin, code_digest(net, () if theirs else (source,))
    return model.requires_grad_(False)


def _net(builder: Callable[..., Any], name: str, num_classes: int | None, in_channels: int | None) -> nn.Module:
    """Return the module of a name, ready to run."""
    keywords: dict[str, Any] = dict(arguments_of(name))
    for value, words, option in (
        (num_classes, CLASSES, "--num-classes"),
        (in_channels, PACKAGE_CHANNELS.get(outside_parts(name)[0], CHANNELS), "--in-channels"),
    ):
        if value is not None:
            keywords[_parameter(builder, words, name, option)] = value
    try:
        net = builder(**keywords)
    except Exception as error:  # whatever the builder's own code raises
        where = blame(error)
        raise ModelError(f"{name} cannot be built: {first_line(error)}{f' ({where})' if where else ''}") from error
    return _ready(net, name)


def _user_builder(name: str) -> Callable[..., Any]:
    """Return what a name `mymodule:build` means: a function, a class, or a module that is there already."""
    try:
        target = load_code(name).function
    except CodeError:
        raise
    except (Exception, SystemExit) as error:  # whatever the file raises; a script without a main guard exits
        where = blame(error)
        raise ModelError(f"{name} cannot be imported: {first_line(error)}{f' ({where})' if where else ''}") from error
    return partial(copy.deepcopy, target) if isinstance(target, nn.Module) else target


def _parameter(builder: Callable[..., Any], words: tuple[str, ...], name: str, option: str) -> str:
    """Return the parameter of `builder` for a count. Raises ModelError where it has none."""
    try:
        parameters = dict(inspect.signature(builder).parameters)
    except (TypeError, ValueError):  # a builder of compiled code
        parameters = {}
    taken = [word for word in words if word in parameters]
    if not taken and any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        taken = list(words[:1])
    if not taken:
        raise ModelError(
            f"{name} has no parameter for {option}: its builder takes {', '.join(parameters) or 'nothing'}"
        )
    return taken[0]


def _ready(net: Any, name: str) -> nn.Module:
    """Return what a builder returned as a float32 module on the CPU in eval mode. Raises ModelError."""
    if not isinstance(net, nn.Module):
        raise ModelError(f"{name} returns a {type(net).__name__}, not a torch.nn.Module")
    if any(tensor.is_complex() for tensor in net.state_dict().values()):
        raise ModelError(f"{name} has complex weights, which no variant here runs")
    try:
        return net.to("cpu", torch.float32).eval()
    except Exception as error:  # weights that are on the meta device, a `train` or `_apply` of the model's own
        raise ModelError(
            f"{name} cannot be brought to the CPU in float32 and eval mode: {first_line(error)}"
        ) from error


def _channels(net: nn.Module, arguments: dict[str, Any]) -> int:
    """Return the channels that a model takes: an argument's, else those of its first convolution, else 3."""
    named = next((value for word in CHANNELS if isinstance(value := arguments.get(word), int)), 0)
    convolutions = (module.in_channels for module in net.modules() if isinstance(module, nn.Conv2d))
    return named or next(convolutions, 0) or 3


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed every generator that an initialiser may draw from, and leave them as they were."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of others' code
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
