"""The order in which candidates are tried: the most promising of each layer first, the costliest layers most often.

The next candidate is of the layer with the largest predicted share of its network's time divided by the number of its
trials. So a short budget tries several candidates of the costliest layers and none of the cheap ones. A layer without a
trial runs the model's choice. That is also its first candidate, so a single trial would gain nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Any

from bench.tuning.gpus import Gpu, predict_us, untuned_config
from bench.tuning.networks import Network
from bench.tuning.trials import Trial
from kernels.kinds import space_of
from kernels.space.layer import Layer
from kernels.space.machine import machine_of

# The model sees ties where the GPU will not (warps, stages, the shape of a box), and its best dozen are of one kind.
# Each further candidate with the same tile and the same kind of copies is ranked as if it were this much slower.
SIMILARITY_PENALTY = 0.1


@dataclass
class Target:
    """A layer to tune: its candidates, best first by the model, and the trials so far."""

    layer: Layer
    share: float  # of all its launches in its network's predicted time; the largest share if several networks have it
    candidates: list[str]
    tried: dict[str, Trial] = field(default_factory=dict)
    best: str | None = None

    @property
    def left(self) -> list[str]:
        return [config for config in self.candidates if config not in self.tried]

    @property
    def us(self) -> float | None:
        return self.tried[self.best].us if self.best else None

    def add(self, trial: Trial) -> None:
        self.tried[trial.config] = trial
        if trial.status == "won":
            self.best = trial.config
        elif trial.config == self.best:  # it won before, and now it is wrong
            won = [trial for trial in self.tried.values() if trial.status == "won"]
            self.best = min(won, key=lambda trial: trial.us or 0.0).config if won else None

    def count(self, status: str) -> int:
        return sum(trial.status == status for trial in self.tried.values())


def order_candidates(layer: Layer, gpu: Gpu) -> list[str]:
    """Return the names of all configurations of a layer: the model's choice, then the most promising first."""
    machine, space = machine_of(gpu.arch, gpu.sms, gpu.name), space_of(layer)
    similar: Counter[tuple[Any, ...]] = Counter()
    ranks = {}
    for config in space.candidates(layer, gpu.arch, gpu.sms, gpu.name):
        shape = (config.impl, config.block_m, config.block_n, config.split_k)
        ranks[str(config)] = space.predicted_us(layer, config, machine) * (1 + SIMILARITY_PENALTY * similar[shape])
        similar[shape] += 1
    return list(dict.fromkeys([untuned_config(layer, gpu), *sorted(ranks, key=ranks.__getitem__)]))


def time_shares(networks: Iterable[Network], gpu: Gpu) -> dict[Layer, float]:
    """Return each layer's share of its network's predicted time, the largest first."""
    largest: dict[Layer, float] = {}
    for network in networks:
        us = {layer: n * predict_us(layer, untuned_config(layer, gpu), gpu) for layer, n in network.layers.items()}
        for layer in us:
            largest[layer] = max(largest.get(layer, 0.0), us[layer] / sum(us.values()))
    return dict(sorted(largest.items(), key=lambda item: (-item[1], item[0].key)))


def take_turns(targets: list[Target]) -> Iterator[tuple[Target, str]]:
    """Yield all candidates that are left, the most valuable first.

    One more candidate gains about 1 / n of what the first gained, where n were tried. So a layer's rank is its share
    over the number of its trials, as seats are allotted by d'Hondt's method.
    """
    left = {number: iter(target.left) for number, target in enumerate(targets)}
    tried_of = [len(target.tried) for target in targets]
    queue = [(-targets[n].share / (tried + 1), n, tried) for n, tried in enumerate(tried_of)]
    heapify(queue)
    while queue:
        _, number, tried = queue[0]
        target = targets[number]
        config = next(left[number], None)
        if config is None:
            heappop(queue)
            continue
        heapreplace(queue, (-target.share / (tried + 2), number, tried + 1))
        yield target, config
