"""The results of a tuner's run, as rows for a program and as tables for a reader.

A row is a layer or a network; microseconds are of one launch of a layer, or of all launches of a network. The tables
fit 80 columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from math import inf
from typing import TypedDict

from rich.table import Table as Grid

from bench.lines import Line, verbatim
from bench.text import WORDS, grid
from bench.tuning.gpus import predict_us, untuned_config
from bench.tuning.networks import Network
from bench.tuning.order import Target
from bench.tuning.trials import STATUSES
from bench.tuning.tuner import Tuner
from kernels.space.config import Config
from kernels.space.layer import Layer

LEGEND = (
    "us: measured, of a layer; of a network: all its layers. model: predicted by the model of the GPU for the best; "
    "ratio: us over that; best: the fastest right configuration; tried: candidates timed. untuned: the model's "
    "choices, measured. +r: adds a residual, +d: adds a second convolution, +p: activates its input, pool: with the "
    f"pool behind it, mean: with the average before it. {WORDS}"
)


class LayerRow(TypedDict):
    """A layer's share of its network's predicted time, its best, and its candidates by status (`STATUSES`)."""

    layer: str
    share: float
    config: str | None
    predicted_us: float | None
    us: float | None
    ratio: float | None
    tried: int
    left: int
    won: int
    lost: int
    wrong: int
    refused: int
    failed: int


class NetworkRow(TypedDict):
    """A network's launches and times, None unless every layer has a best; `first_us` is of the model's choices."""

    model: str
    batch: int
    precision: str
    layers: int
    predicted_us: float | None
    us: float | None
    first_us: float | None


def layer_rows(tuner: Tuner) -> list[LayerRow]:
    return [_layer_row(target, tuner) for target in tuner.targets]


def _layer_row(target: Target, tuner: Tuner) -> LayerRow:
    model = predict_us(target.layer, target.best, tuner.gpu) if target.best else None
    return {
        "layer": target.layer.key,
        "share": target.share,
        "config": target.best,
        "predicted_us": model,
        "us": target.us,
        "ratio": target.us / model if target.us and model else None,
        "tried": len(target.tried),
        "left": len(target.left),
        "won": target.count("won"),
        "lost": target.count("lost"),
        "wrong": target.count("wrong"),
        "refused": target.count("refused"),
        "failed": target.count("failed"),
    }


def network_rows(tuner: Tuner) -> list[NetworkRow]:
    by_layer = {target.layer: target for target in tuner.targets}
    return [_network_row(network, by_layer, tuner) for network in tuner.networks]


def _network_row(network: Network, by_layer: dict[Layer, Target], tuner: Tuner) -> NetworkRow:
    times = []
    for layer, count in network.layers.items():
        target = by_layer[layer]
        first = target.tried.get(untuned_config(layer, tuner.gpu))
        if target.best and target.us:
            model = predict_us(layer, target.best, tuner.gpu)
            times.append((count * model, count * target.us, count * ((first.us if first else None) or inf)))
    whole = len(times) == len(network.layers)
    model_us, us, first_us = [sum(column) for column in zip(*times, strict=True)] if times and whole else [None] * 3
    return {
        "model": network.model,
        "batch": network.batch,
        "precision": network.precision,
        "layers": sum(network.layers.values()),
        "predicted_us": model_us,
        "us": us,
        "first_us": None if first_us == inf else first_us,
    }


def as_json(tuner: Tuner) -> dict[str, object]:
    """Return what `bench tune --json` prints; `left` are candidates that were not tried."""
    head = {"gpu": asdict(tuner.gpu), "file": str(tuner.store.path), "left": candidates_left(tuner)}
    return head | {"layers": layer_rows(tuner), "networks": network_rows(tuner)}


def candidates_left(tuner: Tuner) -> int:
    return sum(len(target.left) for target in tuner.targets)


def _counts(tuner: Tuner) -> str:
    """Return a sentence on how many candidates were tried and how they ended."""
    tried = sum(len(target.tried) for target in tuner.targets)
    words = ", ".join(f"{sum(target.count(status) for target in tuner.targets)} {status}" for status in STATUSES)
    return f"Tried {tried}: {words}. {candidates_left(tuner)} left."


def summary_lines(tuner: Tuner, out_of_time: bool) -> Iterator[Line]:
    """Yield the tables and the counts; `out_of_time` says that the budget is why candidates are left."""
    for title, table in _layer_grids(tuner):
        yield Line(f"\n[bold]{title}[/]")
        yield Line(table)
    yield Line()
    yield Line(_network_grid(tuner))
    yield Line(LEGEND, "dim")
    yield Line(_counts(tuner), markup=False)
    if candidates_left(tuner) and out_of_time:
        yield Line("Out of time: the same command goes on.", markup=False)
    yield verbatim(f"Table: {tuner.store.path}")


def _layer_grids(tuner: Tuner) -> Iterator[tuple[str, Grid]]:
    groups: dict[tuple[str, int], list[tuple[Layer, LayerRow]]] = {}
    for target, row in zip(tuner.targets, layer_rows(tuner), strict=True):
        groups.setdefault((target.layer.dtype, target.layer.n), []).append((target.layer, row))
    for (dtype, batch), pairs in sorted(groups.items()):
        yield f"{dtype}, batch {batch}", _layer_grid(pairs)


def _layer_grid(pairs: Iterable[tuple[Layer, LayerRow]]) -> Grid:
    table = grid("layer", "model", "us", "ratio", "best", "tried", text=("layer", "best"))
    for layer, row in pairs:
        times = (_number(row["predicted_us"]), _number(row["us"]), _number(row["ratio"], 2))
        config = describe_config(Config.parse(row["config"])) if row["config"] else "none"
        table.add_row(describe_layer(layer), *times, config, str(row["tried"]))
    return table


def _network_grid(tuner: Tuner) -> Grid:
    table = grid("network", "precision", "batch", "model", "us", "ratio", "untuned")
    for row in network_rows(tuner):
        model, us = row["predicted_us"], row["us"]
        ratio = us / model if us and model else None
        times = (_number(model), _number(us), _number(ratio, 2), _number(row["first_us"]))
        table.add_row(row["model"], row["precision"], str(row["batch"]), *times)
    return table


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def describe_layer(layer: Layer) -> str:
    """Name a layer without batch and precision: `56x56x64 1x1 256 +r`; r: residual, d: second operand, p: prologue.

    A stem and a head end in the operation that their kernel has beside the product.
    """
    stride = f"/{layer.stride}" if layer.stride > 1 else ""
    extras = (("r", layer.residual), ("d", layer.second), ("p", layer.prologue))
    more = "".join(letter for letter, present in extras if present)
    kernel = "x".join(map(str, layer.kernel))
    fused = {"conv": "", "stem": " pool", "head": " mean"}[layer.kind]
    return f"{layer.h}x{layer.w}x{layer.c_in} {kernel}{stride} {layer.c_out}" + (f" +{more}" if more else "") + fused


def describe_config(config: Config) -> str:
    """Name a configuration without the parts that most have: `tma-2.8.8x64x64-w8-s4`."""
    return str(config).replace("-pdl", "").replace("-g8", "").replace("-k1", "" if config.split_k == 1 else "-k1")
