"""Rates of this card: of a copy in memory, and of convolutions by pointer loads and by the Gluon kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod
from statistics import median
from typing import Any

import torch

from bench.experiments.arithmetic import Rates, Work, bottleneck, rates_between
from bench.worker.experiments.place import ARCH, Place, Run, Skip
from bench.worker.tune.candidate import draw, launcher
from kernels import conv
from kernels.cards.constants import SHARES
from kernels.launch import Call, Operands, compilations, empty_output
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.tiling import channel_tiles, depth_steps, row_tiles
from resnet.fused.launches import compile_together

COPY_BYTES = 1 << 30
LAUNCHES = 8  # in a graph
TILES = {"square": "ptr-128x128x64-w4-s3-k1-g8", "wide": "ptr-128x256x64-w8-s3-k1-g8"}
GLUON = {"square": 128, "wide": 256}  # channels of a tile; its rows are 128 pixels in one of the boxes below
BOXES = {"3x3": (16, 2, 4), "1x1": (1, 1, 128)}
SLOPE = "between depths of 2304 and 4608 in a graph"

Measured = dict[str, dict[str, Any]]


def layers(place: Place) -> Iterator[tuple[str, str, Layer]]:
    """Yield (form, depth, layer): the same matrix product as a 3x3 and as a 1x1, at two depths."""
    n, side, width = place.on((256, 14, 256), (1, 4, 64))
    for depth, times in (("short", 1), ("long", 2)):
        yield "3x3", depth, Layer(n, side, side, times * width, 256, (3, 3), 1, 1)
        yield "1x1", depth, Layer(n, side, side, 9 * times * width, 256, (1, 1))


def memory(place: Place, name: str) -> dict[str, Any]:
    """Measure the bytes that a copy reads and writes a second."""
    source = torch.zeros(place.on(COPY_BYTES, 1 << 16) // 4, device=place.device)
    target = torch.empty_like(source)
    ns = place.times(lambda: target.copy_(source))
    rate = 2 * source.nbytes / (median(ns) * 1e-9)
    data = {"bytes": 2 * source.nbytes, "ns": ns, "bytes_per_s": rate}
    machine = place.machine
    how = f"a copy of {source.nbytes} bytes at {rate / 1e12:.2f} TB/s, of {machine.card}'s {machine.memory / 1e12:.2f}"
    return as_outcome(place, data, memory_share=(rate / machine.memory, "1", how))


def products(place: Place, name: str) -> dict[str, Any]:
    """Measure pointer loads by two tiles, forms and depths; the 3x3 give L2's bandwidth and the tensor cores' share."""
    configs = {tile: Config.parse(text) for tile, text in TILES.items()}

    def run(tile: str, form: str, layer: Layer) -> tuple[Run, Work]:
        config = configs[tile]
        place.compile_only(compilations(layer, config))
        operands, out = draw(layer, place.device, 0), empty_output(layer, place.device)
        tiles = row_tiles(layer, config) * channel_tiles(layer, config)
        work = Work.of(tiles, depth_steps(layer, config)[0], config.block_m, config.block_n, config.block_k)
        return launcher(layer, config, operands, out), work

    def bind_without_memory(tile: str, form: str, layer: Layer) -> Iterable[Call]:
        return conv.calls(layer, configs[tile], Operands.empty(layer), empty_output(layer, "meta"))

    rows, slopes = measure_tiles(place, TILES, run, bind_without_memory)
    data: dict[str, Any] = {"configs": TILES, "measured": rows}
    square, wide = slopes.get("square 3x3"), slopes.get("wide 3x3")
    if square is None or wide is None:
        return as_outcome(place, data | {"bound": "unclear: twice the depth took no longer"})
    data["bound"] = bottleneck(square, wide)
    fetched, share = max(square.fetched, wide.fetched), peak_share(place, (square, wide))
    lower_bound = "" if data["bound"] == "L2" else f"at least: the kernels are bound by {data['bound']}; "
    l2_method = f"{lower_bound}a 3x3 by {' and '.join(TILES.values())}, bytes fetched a second {SLOPE}"
    lower_bound = "" if data["bound"] == "tensor cores" else f"at least: the kernels are bound by {data['bound']}; "
    share_method = f"{lower_bound}the faster of the same, operations a second {SLOPE}, of the datasheet's fp16"
    return as_outcome(
        place, data, l2_bytes_per_s=(fetched, "bytes/s", l2_method), tensor_share_ptr=(share, "1", share_method)
    )


def gluon_products(place: Place, name: str) -> dict[str, Any]:
    hopper(place)
    from kernels.experiments import gluon_conv

    cuts = {(tile, form): gluon_conv.Cut(BOXES[form], n) for tile, n in GLUON.items() for form in BOXES}

    def run(tile: str, form: str, layer: Layer) -> tuple[Run, Work]:
        cut = cuts[tile, form]
        operands, out = draw(layer, place.device, 0), empty_output(layer, place.device)
        depth = prod(layer.kernel) * (layer.c_in // cut.block_k)
        work = Work.of(gluon_conv.count_tiles(layer, cut), depth, prod(cut.box), cut.block_n, cut.block_k)
        return gluon_run(place, layer, cut, operands, out), work

    def bind_without_memory(tile: str, form: str, layer: Layer) -> Iterable[Call]:
        nothing = Operands.empty(layer), empty_output(layer, "meta")
        return [gluon_conv.bind_launch(layer, cuts[tile, form], *nothing, place.sms or 1)]

    rows, slopes = measure_tiles(place, GLUON, run, bind_without_memory)
    data: dict[str, Any] = {"configs": {" ".join(key): str(cut) for key, cut in cuts.items()}, "measured": rows}
    if not slopes:
        return as_outcome(place, data)
    if {"square 3x3", "wide 3x3"} <= slopes.keys():
        data["bound"] = bottleneck(slopes["square 3x3"], slopes["wide 3x3"])
    best = max(slopes, key=lambda key: slopes[key].operations)
    how = f"{best}, operations a second {SLOPE}, padding of boxes included, of the datasheet's fp16"
    return as_outcome(place, data, tensor_share_tma=(peak_share(place, slopes.values()), "1", how))


def hopper(place: Place) -> None:
    """Raise Skip on a card that is not sm_90."""
    if not place.dry and place.arch != ARCH:
        raise Skip(f"wgmma is for sm_{ARCH} alone, and this is sm_{place.arch}")


def gluon_run(place: Place, layer: Layer, cut: Any, operands: Any, out: Any) -> Run:
    """Return a launch of the Gluon kernel; on a CPU it is compiled, and aten computes the output."""
    from kernels.experiments import gluon_conv

    if place.dry:
        gluon_conv.compile_ahead(layer, cut, ARCH)
        return lambda: out.copy_(conv.reference(layer, operands, torch.float32))
    launch, arguments = gluon_conv.bind_launch(layer, cut, operands, out, place.sms or 1)
    return lambda: launch.enqueue(*arguments)


def measure_tiles(
    place: Place,
    tiles: Iterable[str],
    run: Callable[[str, str, Layer], tuple[Run, Work]],
    bind_without_memory: Callable[[str, str, Layer], Iterable[Call]],
) -> tuple[Measured, dict[str, Rates]]:
    """Return the times of every tile, form and depth, and the rates between the depths, by "tile form".

    `bind_without_memory` returns launches on operands without memory, by which all are compiled first, on all cores.
    """
    if not place.dry:
        compile_together(
            launch
            for form, _, layer in layers(place)
            for tile in tiles
            for launch in bind_without_memory(tile, form, layer)
        )
    rows: Measured = {}
    slopes: dict[str, Rates] = {}
    works: dict[str, tuple[Work, float]] = {}
    for form, depth, layer in layers(place):
        for tile in tiles:
            call, work = run(tile, form, layer)
            call()
            ns = [graph_ns // LAUNCHES for graph_ns in place.times(place.graph([call] * LAUNCHES))]
            key = f"{tile} {form}"
            seconds = median(ns) * 1e-9
            rows[f"{key} {depth}"] = {
                "layer": layer.key, "ns": ns, "fetched": work.fetched, "operations": work.operations,
                "fetched_per_s": work.fetched / seconds, "operations_per_s": work.operations / seconds,
            }  # fmt: skip
            if depth == "short":
                works[key] = (work, seconds)
            elif slope := rates_between(works[key][0], work, works[key][1], seconds):
                slopes[key] = slope
                rows[f"{key} slope"] = {"fetched_per_s": slope.fetched, "operations_per_s": slope.operations}
    return rows, slopes


def peak_share(place: Place, rates: Iterable[Rates]) -> float:
    """Return the highest rate as a share of the datasheet's fp16 rate."""
    return max(rate.operations for rate in rates) / place.machine.flops["fp16"]


def as_outcome(place: Place, data: dict[str, Any], **constants: tuple[float, str, str]) -> dict[str, Any]:
    """Return the fields of an outcome; `constants` are (value, unit, how), and there are none on a CPU."""
    if place.dry:
        return {"data": data}
    measured = {name: {"value": value, "unit": unit, "how": how} for name, (value, unit, how) in constants.items()}
    for name, (value, *_) in constants.items():
        if value <= 0 or (name in SHARES and value > 1):  # readers of the file would refuse all of it
            data[f"refused {name}"] = measured.pop(name)
    return {"data": data, "constants": measured}
