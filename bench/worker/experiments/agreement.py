"""Kernels that nobody has run, against pointer loads, bit for bit and many times."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.machine.environment import ROOT, child_variables
from bench.worker.experiments.place import Place, Run, Skip
from bench.worker.experiments.products import ARCH, gluon_run, hopper
from bench.worker.gate import Wrong
from bench.worker.tune.candidate import ROUNDOFF, answer, compare, draw, launcher, slack
from kernels import conv_tma
from kernels.compiled.emit import emit
from kernels.launch import Operands, compilations, empty_output
from kernels.space.config import Config
from kernels.space.layer import Layer

REPEATS, MANY = 1_000, 10_000
BESIDE = 100  # products in a graph
POINTERS = "ptr-128x128x64-w4-s3-k1-g8"
# A box of more than a row: a reshape, so x goes through registers on its way to wgmma.
THROUGH_REGISTERS = ("tma-2.8.8x128x64-w8-s4-k1-g8", "tma-2.8.8x128x64-w4-s3-k1-g8", "tma-2.8.8x256x64-w8-s3-k1-g8")
SUMMARY = r"RACECHECK SUMMARY: (\d+) hazards? displayed.*"
WORDS = 400  # of the sanitizer's output


class _Wrong(Wrong):
    """With what was counted, which is the outcome."""

    def __init__(self, reason: str, found: dict[str, Any]) -> None:
        super().__init__(reason)
        self.found = found


def _layers(place: Place) -> dict[str, tuple[Layer, tuple[int, int, int]]]:
    """With a box of the Gluon kernel's for each."""
    n, side = place.on((32, 14), (1, 4))
    return {
        "3x3": (Layer(n, side, side, 256, 256, (3, 3), 1, 1), (16, 2, 4)),
        "1x1": (Layer(n, side, side, 256, 256, (1, 1)), (1, 1, 128)),
        "residual": (Layer(n, side, side, 256, 256, (1, 1), residual=True), (1, 1, 128)),
    }


def mismatches(place: Place, run: Run, out: Tensor, want: Tensor, repeats: int) -> tuple[int, int]:
    """In how many of so many repeats, on memory filled with NaN, any bit differs; the most values in one of them.

    Counted on the device: nothing waits between the repeats.
    """
    bits, right = out.view(torch.int16), want.view(torch.int16)
    count = torch.zeros((), dtype=torch.int64, device=place.device)
    most = torch.zeros_like(count)
    for _ in range(repeats):
        out.fill_(torch.nan)
        run()
        off = (bits != right).sum()
        count += off > 0
        torch.maximum(most, off, out=most)
    place.clock.wait()
    return int(count), int(most)


def _pointers(place: Place, layer: Layer, operands: Operands) -> Tensor:
    """What pointer loads make of it, checked against float64. Raises Wrong."""
    config = Config.parse(POINTERS)
    out = empty_output(layer, place.device)
    out.fill_(torch.nan)
    if place.dry:
        assert not any(emit(one, ARCH).spills for one in compilations(layer, config))
    launcher(layer, config, operands, out, None)()
    place.clock.wait()
    if off := _off(layer, operands, out):
        raise Wrong(f"the pointer kernel itself is off: {off}")
    return out


def _off(layer: Layer, operands: Operands, out: Tensor) -> str:
    want = answer(layer, operands)
    return compare(out, want, ROUNDOFF[layer.dtype], slack(layer, float(want.abs().max())))


def gluon_agrees(place: Place, name: str) -> dict[str, Any]:
    """The Gluon kernel: right, in every repeat the bits of the first, and in how many values other bits than pointers'.

    Both add products in the same order, so the same bits are expected. Where the hardware adds in another order within
    an instruction of another width they may differ in the last place, which is counted and is not wrong.
    """
    hopper(place)
    from kernels.experiments.gluon_conv import Cut

    data: dict[str, Any] = {}
    wrong = []
    for title, (layer, box) in _layers(place).items():
        for n in (256, 128):
            operands, out = draw(layer, place.device, 0), empty_output(layer, place.device)
            pointers = _pointers(place, layer, operands)
            run = gluon_run(place, layer, Cut(box, n), operands, out)
            out.fill_(torch.nan)
            run()
            place.clock.wait()
            first, off = out.clone(), _off(layer, operands, out)
            count, most = mismatches(place, run, out, first, place.on(REPEATS, 2))
            against = int((first.view(torch.int16) != pointers.view(torch.int16)).sum())
            found = {"off": off, "repeats": place.on(REPEATS, 2), "mismatching_repeats": count, "most_values": most}
            data[f"{title} {n}"] = found | {"other_bits_than_pointers": against, "values": out.numel()}
            if off or count:
                wrong.append(f"{title} by {Cut(box, n)}: " + (off or f"{count} repeats make other bits than the first"))
    if wrong:
        raise _Wrong("; ".join(wrong), {"data": data})
    return {"data": data}


def racecheck(place: Place, name: str) -> dict[str, Any]:
    """One launch of the Gluon kernel in a process that the sanitizer watches. Raises Wrong for hazards."""
    hopper(place)
    tool = shutil.which("compute-sanitizer")
    if tool is None or place.dry:
        raise Skip("it needs a GPU" if place.dry else "compute-sanitizer is not on the PATH")
    code = "from bench.worker.experiments.agreement import launch_once; launch_once()"
    command = [tool, "--tool", "racecheck", "--print-limit", "3", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=child_variables())
    said = (done.stdout + done.stderr).strip()
    hazards = re.search(SUMMARY, said)
    if hazards is None:
        raise RuntimeError(f"racecheck ended with status {done.returncode} and no summary: {said[-WORDS:]}")
    data = {"hazards": int(hazards[1]), "said": said[-WORDS:]}
    if data["hazards"]:
        raise _Wrong(f"racecheck: {hazards[0]}", {"data": data})
    return {"data": data}


def launch_once() -> None:
    """One launch of the Gluon kernel on a few images: what the sanitizer watches."""
    from bench.worker.experiments.place import opened
    from kernels.experiments.gluon_conv import Cut

    with opened("cuda") as place:
        layer = Layer(16, 14, 14, 256, 256, (3, 3), 1, 1)
        gluon_run(place, layer, Cut((16, 2, 4), 256), draw(layer, "cuda", 0), empty_output(layer, "cuda"))()
        place.clock.wait()


def overwrite(place: Place, name: str) -> dict[str, Any]:
    """Bulk copies whose x goes through registers, on purpose past what refuses them: repeats with other bits.

    The operands are the same in all, so any difference is the kernel's. Once alone, and once while another stream keeps
    the SMs busy, which moves the moments at which registers are read.
    """
    hopper(place)
    layer, _ = _layers(place)["3x3"]
    operands = draw(layer, place.device, 0)
    pointers = _pointers(place, layer, operands)
    data: dict[str, Any] = {"layer": layer.key, "pointers": POINTERS}
    for text in THROUGH_REGISTERS:
        config = Config.parse(text)
        out = empty_output(layer, place.device)
        if place.dry:
            for one in compilations(layer, config):
                emit(one, ARCH)
            run: Run = launcher(layer, Config.parse(POINTERS), operands, out, None)
        else:
            run = partial(
                _all, [(one.enqueue, arguments) for one, arguments in conv_tma.calls(layer, config, operands, out)]
            )
        repeats = place.on(MANY // 2, 1)
        alone = mismatches(place, run, out, pointers, repeats)
        beside = _beside(place, layer, partial(mismatches, place, run, out, pointers, repeats))
        data[text] = {
            "repeats": 2 * repeats, "mismatching_repeats": alone[0] + beside[0],
            "alone": alone[0], "beside_other_work": beside[0], "most_values": max(alone[1], beside[1]),
        }  # fmt: skip
    return {"data": data}


def _all(bound: list[tuple[Callable[..., Any], list[Any]]]) -> None:
    for call, arguments in bound:
        call(*arguments)


def _beside(place: Place, layer: Layer, work: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    """`work` while another stream multiplies matrices."""
    if place.dry:
        return work()
    a = torch.randn(2048, 2048, device=place.device, dtype=torch.float16)
    product, side = torch.empty_like(a), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(side):
        torch.mm(a, a, out=product)  # cuBLAS makes its workspace outside the capture
        side.synchronize()
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            for _ in range(BESIDE):
                torch.mm(a, a, out=product)
        # A stream holds about a thousand launches before the host waits: so many graphs, each of many.
        for _ in range(MANY // BESIDE):  # 20 us and more a product: for longer than the repeats, or nearly
            graph.replay()
    found = work()
    side.synchronize()
    return found
