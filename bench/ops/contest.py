"""A user's convolution judged on layers by children: right or wrong, and how fast beside the library's and ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.errors import WorkError
from bench.machine.environment import device
from bench.machine.facts import Environment
from bench.ops.layers import ConvLayer, floors_us
from bench.roofline.ceilings import load_ceilings, machine_name
from bench.runs import process
from bench.runs.kernel_jobs import OpEnd, OpJob
from bench.runs.process import Ask, request
from bench.stats import median_interval

SCHEMA = 1
# Seconds for a child's imports, and for a layer beside its timing: packing, compiling a kernel, checking in float64.
START_LIMIT_S, LAYER_LIMIT_S = 120.0, 120.0
YOURS, LIBRARY, OURS = "yours", "library", "ours"

JsonObject = dict[str, Any]


@dataclass
class Contest:
    """A user's convolution on layers of a network; `judge` returns what docs/FORMAT.md describes."""

    code: str
    model: str
    batch: int
    image: int
    precision: str
    layers: Sequence[ConvLayer]
    env: Environment
    seconds: float = 1.0
    samples: int = 10
    seed: int = 0
    show: Callable[[str], None] = lambda text: None
    ask: Ask = process.ask
    ends: dict[int, OpEnd] = field(default_factory=dict)
    begun: int = -1

    def judge(self) -> JsonObject:
        """Judge all layers, in a new child after one that died; the layer at which it died is an error.

        Raises WorkError where a child fails before its first layer, as it does for code that cannot be loaded.
        """
        about: JsonObject = {}
        while left := [number for number in range(len(self.layers)) if number not in self.ends]:
            self.begun = -1
            answer = request(self._job(left), START_LIMIT_S + len(left) * self._limit_s, self._stage, self.ask)
            about = {**answer.data} or about
            if answer.status != "ok" and self.begun < 0:
                raise WorkError(f"{self.code}: {answer.status}: {answer.reason}")
            if answer.status != "ok":
                self.ends[self.begun] = {"status": answer.status, "reason": answer.reason}
        floors = floors_us(self.layers, self.model, self.image, load_ceilings(self.env))
        rows = [self._row(number, floor) for number, floor in enumerate(floors)]
        return {
            "op": SCHEMA,
            "code": about.get("code", {"name": self.code}),
            "case": {"model": self.model, "batch": self.batch, "image": self.image, "precision": self.precision},
            "device": device(self.env),
            "machine": machine_name(self.env),
            "environment": self.env,
            "runtime": about.get("runtime", {}),
            "rows": rows,
            "sum": total(rows),
        }

    @property
    def _limit_s(self) -> float:
        return LAYER_LIMIT_S + 10 * self.seconds

    def _job(self, numbers: Sequence[int]) -> OpJob:
        layers = [(number, asdict(self.layers[number].layer)) for number in numbers]
        return OpJob(self.code, layers, device(self.env), self.precision, self.seed, self.seconds, self.samples)

    def _stage(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        number, _, end = rest.partition(" ")
        if word == "layer":
            self.begun = int(number)
            self.show(f"{len(self.ends) + 1} of {len(self.layers)}: {self.layers[self.begun].key}")
        elif word == "done":
            self.ends[int(number)] = json.loads(end)

    def _row(self, number: int, floor_us: float | None) -> JsonObject:
        layer, end = self.layers[number], self.ends[number]
        ns = end.get("ns", {})
        times = {f"{name}_us": median(samples) / 1e3 for name, samples in ns.items()}
        ratios = [a / b for a, b in zip(ns.get(LIBRARY, ()), ns.get(YOURS, ()), strict=True)]
        interval = median_interval(ratios)
        return {
            "layer": layer.key,
            "names": list(layer.names),
            "count": len(layer.names),
            "status": end["status"],
            "reason": end["reason"],
            "error": end.get("error"),
            "largest_error": end.get("largest"),
            **{f"{name}_us": times.get(f"{name}_us") for name in (YOURS, LIBRARY, OURS)},
            "speedup": median(ratios) if ratios else None,
            "speedup_interval": list(interval) if interval else None,
            "turns": len(ratios),
            "floor_us": floor_us,
            "of_floor": floor_us / times["yours_us"] if floor_us and "yours_us" in times else None,
            "notes": end.get("notes", {}),
        }


def total(rows: Sequence[JsonObject]) -> JsonObject | None:
    """Return the microseconds of the layers, each as often as the network has it; None unless all were timed."""
    if not all(row["status"] == "ok" for row in rows):
        return None
    sums = {
        f"{name}_us": sum(row["count"] * row[f"{name}_us"] for row in rows)
        for name in (YOURS, LIBRARY, OURS)
        if all(row[f"{name}_us"] is not None for row in rows)
    }
    return {"count": sum(row["count"] for row in rows), **sums, "speedup": sums["library_us"] / sums["yours_us"]}
