"""What came of a tuner's run, as rows for a program and as tables for a person.

A row is a layer that was to be tried, or a network; microseconds are of one launch of a layer, of all launches of a
network. The tables fit 80 columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from math import inf
from typing import TypedDict

from rich.table import Table as Grid

from bench.lines import Line, verbatim
from bench.text import WORDS, grid
from bench.tuning.gpus import predicted, untuned
from bench.tuning.networks import Network
from bench.tuning.order import Target
from bench.tuning.trials import STATUSES
from bench.tuning.tuner import Tuner
from kernels.space.config import Config
from kernels.space.layer import Layer

LEGEND = (
    "us: measured, of a layer; of a network: all its layers. model: predicted by the model of the GPU for the best; "
    "ratio: us over that; best: the fastest right configuration; tried: candidates timed. untuned: the model's own "
    "choices, measured. +r: adds a residual, +d: adds a second convolution, +p: activates its input, pool: with the "
    f"pool behind it, mean: with the average before it. {WORDS}"
)


class LayerRow(TypedDict):
    """`share`: of its network's predicted time; `won` and the others: how many candidates ended so (`STATUSES`)."""

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
    """`layers`: how many launches. Times are None unless every layer has a best; `first_us`: of the model's choices."""

    model: str
    batch: int
    precision: str
    layers: int
    predicted_us: float | None
    us: float | None
    first_us: float | None


def layer_rows(tuner: Tuner) -> list[LayerRow]:
    """A row a layer, in the order of their shares."""
    return [_layer_row(target, tuner) for target in tuner.targets]


def _layer_row(target: Target, tuner: Tuner) -> LayerRow:
    model = predicted(target.layer, target.best, tuner.gpu) if target.best else None
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
    """A row a network."""
    by_layer = {target.layer: target for target in tuner.targets}
    return [_network_row(network, by_layer, tuner) for network in tuner.networks]


def _network_row(network: Network, by_layer: dict[Layer, Target], tuner: Tuner) -> NetworkRow:
    times = []
    for layer, count in network.layers.items():
        target = by_layer[layer]
        first = target.tried.get(untuned(layer, tuner.gpu))
        if target.best and target.us:
            model = predicted(layer, target.best, tuner.gpu)
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
    """What `bench tune --json` prints. `left`: candidates that were not tried."""
    about = {"gpu": asdict(tuner.gpu), "file": str(tuner.kept.path), "left": left(tuner)}
    return about | {"layers": layer_rows(tuner), "networks": network_rows(tuner)}


def left(tuner: Tuner) -> int:
    """Candidates of all layers that were not tried."""
    return sum(len(target.left) for target in tuner.targets)


def _counts(tuner: Tuner) -> str:
    """How many candidates were tried and how they ended, in a sentence."""
    ends = {status: sum(target.count(status) for target in tuner.targets) for status in STATUSES}
    tried = sum(len(target.tried) for target in tuner.targets)
    words = ", ".join(f"{number} {status}" for status, number in ends.items())
    return f"Tried {tried}: {words}. {left(tuner)} left."


def lines(tuner: Tuner, out_of_time: bool) -> Iterator[Line]:
    """The tables and what came of it all; `out_of_time`: whether what is left was not tried for want of time."""
    for title, table in _layer_grids(tuner):
        yield Line(f"\n[bold]{title}[/]")
        yield Line(table)
    yield Line()
    yield Line(_network_grid(tuner))
    yield Line(LEGEND, "dim")
    yield Line(_counts(tuner), markup=False)
    if left(tuner) and out_of_time:
        yield Line("Out of time: the same command goes on.", markup=False)
    yield verbatim(f"Table: {tuner.kept.path}")


def _layer_grids(tuner: Tuner) -> Iterator[tuple[str, Grid]]:
    """A title and a table for each precision and batch."""
    by_kind: dict[tuple[str, int], list[tuple[Layer, LayerRow]]] = {}
    for target, row in zip(tuner.targets, layer_rows(tuner), strict=True):
        by_kind.setdefault((target.layer.dtype, target.layer.n), []).append((target.layer, row))
    for (dtype, batch), pairs in sorted(by_kind.items()):
        yield f"{dtype}, batch {batch}", _layer_grid(pairs)


def _layer_grid(pairs: Iterable[tuple[Layer, LayerRow]]) -> Grid:
    table = grid("layer", "model", "us", "ratio", "best", "tried", text=("layer", "best"))
    for layer, row in pairs:
        times = (_number(row["predicted_us"]), _number(row["us"]), _number(row["ratio"], 2))
        config = short(Config.parse(row["config"])) if row["config"] else "none"
        table.add_row(brief(layer), *times, config, str(row["tried"]))
    return table


def _network_grid(tuner: Tuner) -> Grid:
    """All networks in one table."""
    table = grid("network", "precision", "batch", "model", "us", "ratio", "untuned")
    for row in network_rows(tuner):
        model, us = row["predicted_us"], row["us"]
        ratio = us / model if us and model else None
        times = (_number(model), _number(us), _number(ratio, 2), _number(row["first_us"]))
        table.add_row(row["model"], row["precision"], str(row["batch"]), *times)
    return table


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def brief(layer: Layer) -> str:
    """A layer without batch and precision: `56x56x64 1x1 256 +r`; r: residual, d: second operand, p: prologue.

    A stem and a head are told by what is in their kernel beside the product.
    """
    stride = f"/{layer.stride}" if layer.stride > 1 else ""
    more = "".join(
        letter for letter, there in (("r", layer.residual), ("d", layer.second), ("p", layer.prologue)) if there
    )
    kernel = "x".join(map(str, layer.kernel))
    joined = {"conv": "", "stem": " pool", "head": " mean"}[layer.kind]
    return f"{layer.h}x{layer.w}x{layer.c_in} {kernel}{stride} {layer.c_out}" + (f" +{more}" if more else "") + joined


def short(config: Config) -> str:
    """A configuration without what most have: `tma-2.8.8x64x64-w8-s4`."""
    return str(config).replace("-pdl", "").replace("-g8", "").replace("-k1", "" if config.split_k == 1 else "-k1")
