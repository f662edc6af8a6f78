"""Predictions of the time of a network's layers, kept as they were before the measurement, and their outcomes.

A prediction is the model's choice for a layer and its microseconds (`kernels.kinds`), never a measurement. Its
outcome is the measured entry of a tuned table (`bench tune`), where there is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, cast

from bench.commands import command_line
from bench.files import read_json, reading, write_json
from bench.kinds import PREDICTION
from bench.machine.provenance import this_commit
from bench.records.typed import reader
from bench.tuning.gpus import PREDICTABLE, Gpu, predict_us, untuned_config
from bench.tuning.networks import Network, read_networks
from kernels.cards.constants import install_measured
from kernels.space.layer import Layer
from kernels.table import Table

SCHEMA = 1
MODEL, PRECISION, BATCHES, GPU = "resnet50", "fp16", (1, 32, 128, 256), PREDICTABLE["NVIDIA H200"]
# images/s, by batch: beyond what inductor reaches on an H200, and beyond every stack whose figures are public
GOALS = {128: 39_000, 256: 48_000}


class _Command(TypedDict):
    command: str
    date: str
    commit: str


class Provenance(_Command, total=False):
    """The command, the day and the commit of a prediction; `constants` says which of the model's were measured."""

    constants: str


class PredictedLayer(TypedDict):
    """A layer of a prediction: the microseconds of one launch, and the number of launches."""

    layer: str
    group: str
    count: int
    config: str
    us: float


class PredictedNetwork(TypedDict):
    """The network at one batch, with its layers in the order they first run."""

    batch: int
    layers: list[PredictedLayer]


class Prediction(TypedDict):
    """A file of predictions, as JSON."""

    schema: int
    gpu: str
    model: str
    precision: str
    made: Provenance
    networks: list[PredictedNetwork]


@dataclass(frozen=True)
class Row:
    """A group of layers at one batch: its launches, and the predicted and the measured microseconds of all of them."""

    group: str
    launches: int
    us: float
    measured: float | None


def group_of(layer: Layer) -> str:
    """Name the group of layers that differ only in their input: `3x3, 64 to 64`, `1x1 to 256 and shortcut`."""
    if layer.kind != "conv":
        return layer.kind
    kernel = "x".join(map(str, layer.kernel))
    if layer.kernel != (1, 1):
        return f"{kernel}, {layer.c_in} to {layer.c_out}"
    more = " and shortcut" if layer.second else " and sum" if layer.residual else ""
    return f"{kernel} to {layer.c_out}{more}"


def _predicted(network: Network, gpu: Gpu) -> PredictedNetwork:
    """Return every layer by the model's configuration, in the order they first run."""
    layers: list[PredictedLayer] = []
    for layer, count in network.layers.items():
        config = untuned_config(layer, gpu)
        us = round(predict_us(layer, config, gpu), 2)
        layers.append({"layer": layer.key, "group": group_of(layer), "count": count, "config": config, "us": us})
    return {"batch": network.batch, "layers": layers}


def write_prediction(path: Path, gpu: Gpu, precision: str = PRECISION) -> Prediction:
    """Write the prediction of the documents for a GPU and a precision; a child reads the networks.

    Raises ConstantsError where measured constants cannot be read, WorkError where the child fails, and StoreError.
    """
    constants = install_measured(gpu.name)
    networks = read_networks([MODEL], BATCHES, [precision], what="the network").networks
    command = f"bench kernels --predict {path}" + (f" --precision {precision}" if precision != PRECISION else "")
    command += f" --gpu '{gpu.name}'" if gpu != GPU else ""
    provenance: Provenance = {"command": command, "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": this_commit()}
    return save_prediction(path, networks, provenance | {"constants": constants}, gpu, precision)


def save_prediction(
    path: Path, networks: Iterable[Network], provenance: Provenance, gpu: Gpu = GPU, precision: str = PRECISION
) -> Prediction:
    """Write a prediction to a file. Raises StoreError where it cannot."""
    prediction: Prediction = {
        "schema": SCHEMA,
        "gpu": gpu.name,
        "model": MODEL,
        "precision": precision,
        "made": provenance,
        "networks": [_predicted(network, gpu) for network in networks],
    }
    write_json(path, prediction)
    return prediction


def read_prediction(path: Path) -> Prediction:
    """Read a file of `bench kernels --predict`. Raises StoreError for one that is missing or has other contents."""
    with reading(path, PREDICTION, f"`{command_line('kernels', '--predict', path)}` writes one"):
        return cast(Prediction, reader(Prediction)(read_json(path, SCHEMA)))


def rows_by_batch(prediction: Prediction, measured: Table) -> dict[int, list[Row]]:
    """Return the rows of each batch; a group has an outcome once all of its layers are measured."""
    gpu = prediction["gpu"]
    times = {entry.layer: entry.us for entry in measured if entry.gpu == gpu and entry.chosen == "measured"}
    return {network["batch"]: _groups(network["layers"], times) for network in prediction["networks"]}


def _groups(layers: list[PredictedLayer], times: Mapping[str, float | None]) -> list[Row]:
    launches: Counter[str] = Counter()
    us: dict[str, float] = {}
    outcome: dict[str, float | None] = {}
    for layer in layers:
        group, count = layer["group"], layer["count"]
        launches[group] += count
        us[group] = us.get(group, 0.0) + count * layer["us"]
        time, so_far = times.get(layer["layer"]), outcome.get(group, 0.0)
        outcome[group] = None if time is None or so_far is None else so_far + count * time
    return [Row(group, launches[group], us[group], outcome[group]) for group in launches]
