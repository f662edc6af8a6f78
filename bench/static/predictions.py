"""What the model says of a network's layers before they are measured, kept as it was said, and what came of it.

A prediction is the model's choice for a layer and its microseconds (`kernels.space.choose`), never a measurement. Its
outcome is the entry of a tuned table that was measured (`bench tune`), where there is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import StoreError
from bench.files import read_json, reading, write_json
from bench.tuning.tuner import KNOWN, Gpu, Network, predicted
from kernels.config import Layer
from kernels.space.choose import default
from kernels.table import Table

SCHEMA = 1
MODEL, PRECISION, BATCHES, GPU = "resnet50", "fp16", (1, 32, 128, 256), KNOWN["NVIDIA H200"]
# images/s, by batch: beyond what inductor reaches on an H200, and beyond every stack whose figures are public
GOALS = {128: 39_000, 256: 48_000}


@dataclass(frozen=True)
class Row:
    """A group of layers at one batch: how many launches, the model's microseconds for all, and the measured ones."""

    group: str
    launches: int
    us: float
    measured: float | None


def group_of(layer: Layer) -> str:
    """Layers that differ in their input alone: `3x3, 64 to 64`, `1x1 to 256 and shortcut`."""
    if layer.pool:
        return "stem"
    if layer.mean:
        return "head"
    kernel = "x".join(map(str, layer.kernel))
    if layer.kernel != (1, 1):
        return f"{kernel}, {layer.c_in} to {layer.c_out}"
    more = " and shortcut" if layer.second else " and sum" if layer.residual else ""
    return f"{kernel} to {layer.c_out}{more}"


def predict(networks: Iterable[Network], gpu: Gpu) -> list[dict[str, Any]]:
    """Every layer of some networks as the model would cut it, in the order they first run."""
    found = []
    for network in networks:
        layers = []
        for layer, count in network.layers.items():
            config = str(default(layer, gpu.arch, gpu.sms, gpu.name))
            us = round(predicted(layer, config, gpu), 2)
            layers.append({"layer": layer.key, "group": group_of(layer), "count": count, "config": config, "us": us})
        found.append({"batch": network.batch, "layers": layers})
    return found


def save(path: Path, networks: Iterable[Network], made: dict[str, str], gpu: Gpu = GPU) -> dict[str, Any]:
    """Writes a prediction; `made`: its command, date, commit, and which constants were measured.

    Raises StoreError where it cannot.
    """
    told = {"schema": SCHEMA, "gpu": gpu.name, "model": MODEL, "precision": PRECISION, "made": made}
    told["networks"] = predict(networks, gpu)
    write_json(path, told)
    return told


def read(path: Path) -> dict[str, Any]:
    """What `bench kernels --predict` wrote. Raises StoreError for a file that is missing, or is another's."""
    with reading(path, "JSON object", "make it anew"):
        found = read_json(path, SCHEMA)
    if found["schema"] != SCHEMA or "networks" not in found:
        raise StoreError(f"{path} is not what this version's bench kernels --predict writes: make it anew")
    return found


def rows(found: dict[str, Any], measured: Table) -> dict[int, list[Row]]:
    """By batch; a group has an outcome once all of its layers are measured."""
    times = {entry.layer: entry.us for entry in measured if entry.gpu == found["gpu"] and entry.chosen == "measured"}
    told: dict[int, list[Row]] = {}
    for network in found["networks"]:
        launches: Counter[str] = Counter()
        us: Counter[str] = Counter()
        outcome: dict[str, float | None] = {}
        for layer in network["layers"]:
            group, count = layer["group"], layer["count"]
            launches[group] += count
            us[group] += count * layer["us"]
            here, so_far = times.get(layer["layer"]), outcome.get(group, 0.0)
            outcome[group] = None if here is None or so_far is None else so_far + count * here
        told[network["batch"]] = [Row(group, launches[group], us[group], outcome[group]) for group in launches]
    return told
