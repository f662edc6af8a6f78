"""Weights of the networks that read digits: trained here, once, in a minute or so, and cached.

The recipe is seeded and runs on one thread of the CPU, so that the same machine makes the same weights; one with other
instructions may round otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from resnet.archs import Spec
from resnet.data import digits
from resnet.inputs import FIRST_LEARNT, find_source
from resnet.model import ResNet
from resnet.weights.synthetic import cached_resnet

RECIPE = 1  # part of the cache's key: raise it when what is below changes the weights
THREADS = 1  # more would wait for each other where the machine has other work


@dataclass(frozen=True)
class Recipe:
    """The length of a training: steps of `batch` pictures, each drawn once; and its largest learning rate."""

    steps: int = 600
    batch: int = 64
    rate: float = 0.01
    decay: float = 0.05
    smoothing: float = 0.05


USUAL = Recipe()


def trained(
    spec: Spec, *, seed: int = 0, recipe: Recipe | None = None, tell: Callable[[str], None] = lambda progress: None
) -> ResNet:
    """Return the network of a spec with a task, trained; `tell` is called with words where it is not in the cache.

    Raises ValueError where the digits' package is missing.
    """
    recipe, source = recipe or USUAL, find_source(spec.task)
    key = f"trained {RECIPE} {recipe} {spec.name} {seed} {source.description()} torch {torch.__version__}"
    return cached_resnet(f"{key} numpy {np.__version__}", spec, lambda: _train(spec, seed, recipe, tell))


def _train(spec: Spec, seed: int, recipe: Recipe, tell: Callable[[str], None]) -> ResNet:
    with _reproducible(seed), torch.enable_grad():
        model = ResNet(spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=recipe.decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, recipe.steps)
        loss = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
        for step, (pictures, classes) in enumerate(_batches(spec, seed, recipe)):
            if step % 20 == 0:
                tell(f"training {step * 100 // recipe.steps} %")
            optimizer.zero_grad()
            loss(model(pictures.contiguous(memory_format=torch.channels_last)), classes).backward()
            optimizer.step()
            schedule.step()
    return model.to(memory_format=torch.contiguous_format).eval()


def _batches(spec: Spec, seed: int, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pictures [batch, 1, image, image] and their classes, each of a digit drawn at random."""
    choice = np.random.default_rng([seed, FIRST_LEARNT])
    learnt = digits.FORMS[spec.task].learnt
    for step in range(recipe.steps):
        first = FIRST_LEARNT + step * recipe.batch * learnt  # a multiple of `learnt` apart: any digit, drawn once
        numbers = first + np.arange(recipe.batch) * learnt + choice.integers(learnt, size=recipe.batch)
        drawn = [digits.draw_digit(spec.task, spec.ends.image, seed, int(number), "learnt") for number in numbers]
        pictures, classes = zip(*drawn, strict=True)
        yield torch.from_numpy(np.stack(pictures)), torch.tensor(classes)


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Have torch count from a seed, on THREADS threads, until the end of this context."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(THREADS)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
