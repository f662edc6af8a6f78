"""Rates of this card: a copy in memory; a product by pointer loads and by the Gluon kernel, as a 3x3 and as a 1x1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import prod
from statistics import median
from typing import Any

import torch

from bench.experiments.arithmetic import Rates, Work, bound, rates
from bench.worker.experiments.place import Place, Run, Skip
from bench.worker.tune.candidate import draw, launcher
from kernels import conv
from kernels.cards.constants import SHARES
from kernels.compiled.emit import emit
from kernels.launch import Call, Operands, compilations, empty_output
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.tiling import channel_tiles, depth_steps, row_tiles
from resnet.fused.launches import compile_together

ARCH = 90  # what is compiled ahead of time for where there is no card
COPY_BYTES = 1 << 30
LAUNCHES = 8  # in a graph
TILES = {"square": "ptr-128x128x64-w4-s3-k1-g8", "wide": "ptr-128x256x64-w8-s3-k1-g8"}
GLUON = {"square": 128, "wide": 256}  # channels of a tile; its rows are 128 pixels, as a box that is given below
BOXES = {"3x3": (16, 2, 4), "1x1": (1, 1, 128)}
SLOPE = "between depths of 2304 and 4608 in a graph"

Measured = dict[str, dict[str, Any]]


def layers(place: Place) -> Iterator[tuple[str, str, Layer]]:
    """(form, depth, layer): the same product as a 3x3 and as a 1x1, at two depths."""
    n, side, width = place.on((256, 14, 256), (1, 4, 64))
    for depth, times in (("short", 1), ("long", 2)):
        yield "3x3", depth, Layer(n, side, side, times * width, 256, (3, 3), 1, 1)
        yield "1x1", depth, Layer(n, side, side, 9 * times * width, 256, (1, 1))


def memory(place: Place, name: str) -> dict[str, Any]:
    """Bytes of a copy, read and written, a second."""
    source = torch.zeros(place.on(COPY_BYTES, 1 << 16) // 4, device=place.device)
    target = torch.empty_like(source)
    ns = place.times(lambda: target.copy_(source))
    rate = 2 * source.nbytes / (median(ns) * 1e-9)
    data = {"bytes": 2 * source.nbytes, "ns": ns, "bytes_per_s": rate}
    sheet = place.machine.memory
    how = f"a copy of {source.nbytes} bytes at {rate / 1e12:.2f} TB/s, of {place.machine.card}'s {sheet / 1e12:.2f}"
    return told(place, data, memory_share=(rate / sheet, "1", how))


def products(place: Place, name: str) -> dict[str, Any]:
    """Pointer loads: two tiles, two forms, two depths; L2's bandwidth and the tensor cores' share from the 3x3."""
    configs = {tile: Config.parse(text) for tile, text in TILES.items()}

    def run(tile: str, form: str, layer: Layer) -> tuple[Run, Work]:
        config = configs[tile]
        if place.dry:
            for compilation in compilations(layer, config):
                assert not emit(compilation, ARCH).spills
        operands, out = draw(layer, place.device, 0), empty_output(layer, place.device)
        tiles = row_tiles(layer, config) * channel_tiles(layer, config)
        work = Work.of(tiles, depth_steps(layer, config)[0], config.block_m, config.block_n, config.block_k)
        return launcher(layer, config, operands, out, None), work

    def bound_to_nothing(tile: str, form: str, layer: Layer) -> Iterable[Call]:
        return conv.calls(layer, configs[tile], Operands.empty(layer), empty_output(layer, "meta"))

    found, slopes = measured(place, TILES, run, bound_to_nothing)
    data: dict[str, Any] = {"configs": TILES, "measured": found}
    square, wide = slopes.get("square 3x3"), slopes.get("wide 3x3")
    if square is None or wide is None:
        return told(place, data | {"bound": "not known: twice the depth took no longer"})
    data["bound"] = bound(square, wide)
    fetched, share = max(square.fetched, wide.fetched), peak(place, (square, wide))
    least = "" if data["bound"] == "L2" else f"at least: the kernels are bound by {data['bound']}; "
    told_l2 = f"{least}a 3x3 by {' and '.join(TILES.values())}, bytes fetched a second {SLOPE}"
    least = "" if data["bound"] == "tensor cores" else f"at least: the kernels are bound by {data['bound']}; "
    told_share = f"{least}the faster of the same, operations a second {SLOPE}, of the datasheet's fp16"
    return told(place, data, l2_bytes_per_s=(fetched, "bytes/s", told_l2), tensor_share_ptr=(share, "1", told_share))


def gluon_products(place: Place, name: str) -> dict[str, Any]:
    """The same by the Gluon kernel."""
    hopper(place)
    from kernels.experiments import gluon_conv

    cuts = {(tile, form): gluon_conv.Cut(BOXES[form], n) for tile, n in GLUON.items() for form in BOXES}

    def run(tile: str, form: str, layer: Layer) -> tuple[Run, Work]:
        cut = cuts[tile, form]
        operands, out = draw(layer, place.device, 0), empty_output(layer, place.device)
        depth = prod(layer.kernel) * (layer.c_in // cut.block_k)
        work = Work.of(gluon_conv.count_tiles(layer, cut), depth, prod(cut.box), cut.block_n, cut.block_k)
        return gluon_run(place, layer, cut, operands, out), work

    def bound_to_nothing(tile: str, form: str, layer: Layer) -> Iterable[Call]:
        nothing = Operands.empty(layer), empty_output(layer, "meta")
        return [gluon_conv.bind_launch(layer, cuts[tile, form], *nothing, place.sms or 1)]

    found, slopes = measured(place, GLUON, run, bound_to_nothing)
    data: dict[str, Any] = {"configs": {" ".join(key): str(cut) for key, cut in cuts.items()}, "measured": found}
    if not slopes:
        return told(place, data)
    if {"square 3x3", "wide 3x3"} <= slopes.keys():
        data["bound"] = bound(slopes["square 3x3"], slopes["wide 3x3"])
    best = max(slopes, key=lambda key: slopes[key].operations)
    how = f"{best}, operations a second {SLOPE}, padding of boxes included, of the datasheet's fp16"
    return told(place, data, tensor_share_tma=(peak(place, slopes.values()), "1", how))


def hopper(place: Place) -> None:
    """Raises Skip on another card than sm_90."""
    if not place.dry and place.arch != ARCH:
        raise Skip(f"wgmma is for sm_{ARCH} alone, and this is sm_{place.arch}")


def gluon_run(place: Place, layer: Layer, cut: Any, operands: Any, out: Any) -> Run:
    """A launch of the Gluon kernel; on a CPU it is compiled, and aten computes."""
    from kernels.experiments import gluon_conv

    if place.dry:
        gluon_conv.compile_ahead(layer, cut, ARCH)
        return lambda: out.copy_(conv.reference(layer, operands, torch.float32))
    launch, arguments = gluon_conv.bind_launch(layer, cut, operands, out, place.sms or 1)
    return lambda: launch.enqueue(*arguments)


def measured(
    place: Place,
    tiles: Iterable[str],
    run: Callable[[str, str, Layer], tuple[Run, Work]],
    bound_to_nothing: Callable[[str, str, Layer], Iterable[Call]],
) -> tuple[Measured, dict[str, Rates]]:
    """Times of every tile, form and depth; and what is a second between the depths, by "tile form".

    `bound_to_nothing` gives the launches of one on operands without memory: all are compiled before, on all cores.
    """
    if not place.dry:
        compile_together(
            one for form, _, layer in layers(place) for tile in tiles for one in bound_to_nothing(tile, form, layer)
        )
    found: Measured = {}
    slopes: dict[str, Rates] = {}
    works: dict[str, tuple[Work, float]] = {}
    for form, depth, layer in layers(place):
        for tile in tiles:
            call, work = run(tile, form, layer)
            call()
            ns = [each // LAUNCHES for each in place.times(place.graph([call] * LAUNCHES))]
            key = f"{tile} {form}"
            seconds = median(ns) * 1e-9
            found[f"{key} {depth}"] = {
                "layer": layer.key, "ns": ns, "fetched": work.fetched, "operations": work.operations,
                "fetched_per_s": work.fetched / seconds, "operations_per_s": work.operations / seconds,
            }  # fmt: skip
            if depth == "short":
                works[key] = (work, seconds)
            elif slope := rates(works[key][0], work, works[key][1], seconds):
                slopes[key] = slope
                found[f"{key} slope"] = {"fetched_per_s": slope.fetched, "operations_per_s": slope.operations}
    return found, slopes


def peak(place: Place, found: Iterable[Rates]) -> float:
    """Of the datasheet's fp16 rate, the most that was reached."""
    return max(one.operations for one in found) / place.machine.flops["fp16"]


def told(place: Place, data: dict[str, Any], **constants: tuple[float, str, str]) -> dict[str, Any]:
    """What an experiment answers; of a CPU there are no constants."""
    if place.dry:
        return {"data": data}
    found = {name: {"value": value, "unit": unit, "how": how} for name, (value, unit, how) in constants.items()}
    for name, (value, *_) in constants.items():
        if value <= 0 or (name in SHARES and value > 1):  # who reads the file would refuse all of it
            data[f"refused {name}"] = found.pop(name)
    return {"data": data, "constants": found}
