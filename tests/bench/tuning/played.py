"""A tuner's child that is played, and layers for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.runs.process import Answer
from bench.tuning.gpus import PREDICTABLE
from bench.tuning.networks import Network, layer_from_json
from kernels.space.layer import Layer

GPU = PREDICTABLE["NVIDIA H200"]
VERSIONS = {"torch": "2.13.0", "triton": "3.7.1"}
LARGE = Layer(32, 56, 56, 64, 64, (3, 3), 1, 1)
MIDDLE = Layer(32, 28, 28, 128, 512, (1, 1), residual=True)
SMALL = Layer(32, 7, 7, 512, 512, (1, 1))
NETWORK = Network("resnet50", 32, "fp16", {SMALL: 1, MIDDLE: 6, LARGE: 5})
Verdict = Callable[[str, str], dict[str, Any] | Answer]


class FakeChild:
    """Answers like `worker/tune/search.py`, a second a candidate; a verdict that is an Answer is how it dies."""

    def __init__(self, verdict: Verdict | None = None) -> None:
        self.verdict = verdict or (lambda layer, config: {"status": "lost", "us": 9.0})
        self.time = 0.0
        self.jobs: list[dict[str, Any]] = []
        self.tried: list[tuple[str, str]] = []

    def now(self) -> float:
        return self.time

    def __call__(self, job: dict[str, Any], limit_s: float, hear: Callable[[str], None]) -> Answer:
        self.jobs.append(job)
        start = self.time
        for visit in job["visits"]:
            layer = layer_from_json(visit["layer"]).key
            for number, config in visit["challengers"]:
                if self.time - start >= job["seconds"]:
                    return Answer("ok", "", {}, 1.0)
                hear(f"try {number} running {config}")
                self.time += 1
                self.tried.append((layer, config))
                ended = self.verdict(layer, config)
                if isinstance(ended, Answer):
                    return ended
                hear(f"done {number} {json.dumps(ended)}")
        return Answer("ok", "", {}, 1.0)


def better(layer: str, config: str, seen: Counter[str] = Counter()) -> dict[str, Any]:  # noqa: B006 - remembers
    """Each candidate of a layer is faster than the one before."""
    seen[layer] += 1
    return {"status": "won", "us": 100.0 / seen[layer], "beside_us": 100.0}
