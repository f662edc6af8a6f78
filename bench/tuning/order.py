"""Which candidate is tried when: of each layer the most promising first, of all layers what is worth most.

The next candidate is of the layer with the largest predicted share of its network's time for each that it has had
tried. So a short budget tries several of the layers that cost most, and none of those that cost nothing: a layer that
was never tried runs by the model's own choice, which is also the first that is tried, and gains nothing by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Any

from bench.tuning.gpus import Gpu, predicted, untuned
from bench.tuning.networks import Network
from bench.tuning.trials import Trial
from kernels.kinds import space_of
from kernels.space.layer import Layer
from kernels.space.machine import machine_of

# The model sees ties where the GPU will not (warps, stages, the shape of a box), and its best dozen are of one kind.
# Each further candidate with the same tile and the same way of copying waits behind others this much slower.
ALIKE = 0.1


@dataclass
class Target:
    """A layer to tune: its candidates, best first as the model sees them; what came of those that were tried."""

    layer: Layer
    share: float  # of its network's predicted time, all its launches; of the largest, if several networks have it
    candidates: list[str]
    tried: dict[str, Trial] = field(default_factory=dict)
    best: str | None = None

    @property
    def left(self) -> list[str]:
        return [config for config in self.candidates if config not in self.tried]

    @property
    def us(self) -> float | None:
        return self.tried[self.best].us if self.best else None

    def note(self, trial: Trial) -> None:
        self.tried[trial.config] = trial
        if trial.status == "won":
            self.best = trial.config
        elif trial.config == self.best:  # once right, now not
            won = [trial for trial in self.tried.values() if trial.status == "won"]
            self.best = min(won, key=lambda trial: trial.us or 0.0).config if won else None

    def count(self, status: str) -> int:
        return sum(trial.status == status for trial in self.tried.values())


def ordered(layer: Layer, gpu: Gpu) -> list[str]:
    """The search space as configurations' names, the model's own choice first, then the most promising."""
    machine = machine_of(gpu.arch, gpu.sms, gpu.name)
    alike: Counter[tuple[Any, ...]] = Counter()
    handicapped = {}
    for config in space_of(layer).candidates(layer, gpu.arch, gpu.sms, gpu.name):
        kind = (config.impl, config.block_m, config.block_n, config.split_k)
        handicapped[str(config)] = space_of(layer).predicted_us(layer, config, machine) * (1 + ALIKE * alike[kind])
        alike[kind] += 1
    return list(dict.fromkeys([untuned(layer, gpu), *sorted(handicapped, key=handicapped.__getitem__)]))


def shares(networks: Iterable[Network], gpu: Gpu) -> dict[Layer, float]:
    """Each layer's share of its network's predicted time, the largest first."""
    largest: dict[Layer, float] = {}
    for network in networks:
        us = {layer: count * predicted(layer, untuned(layer, gpu), gpu) for layer, count in network.layers.items()}
        for layer in us:
            largest[layer] = max(largest.get(layer, 0.0), us[layer] / sum(us.values()))
    return dict(sorted(largest.items(), key=lambda item: (-item[1], item[0].key)))


def turns(targets: list[Target]) -> Iterator[tuple[Target, str]]:
    """All that is left to try, what is worth most first.

    The best of n candidates gains by another about 1 / n of what it gained by the first, so a layer's turn comes by its
    share over the number it has had, as seats are given by d'Hondt's method.
    """
    left = {number: iter(target.left) for number, target in enumerate(targets)}
    queue = [
        (-target.share / (len(target.tried) + 1), number, len(target.tried)) for number, target in enumerate(targets)
    ]
    heapify(queue)
    while queue:
        _, number, had = queue[0]
        target = targets[number]
        config = next(left[number], None)
        if config is None:
            heappop(queue)
            continue
        heapreplace(queue, (-target.share / (had + 2), number, had + 1))
        yield target, config
