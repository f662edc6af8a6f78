"""New kernels compared with pointer loads, bit for bit and many times."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.machine.environment import PYTHON, ROOT, child_variables
from bench.worker.experiments.place import ARCH, Place, Run, Skip
from bench.worker.experiments.products import gluon_run, hopper
from bench.worker.failure import Wrong
from bench.worker.truth import ROUNDOFF
from bench.worker.tune.candidate import describe_mismatch, draw, launcher, right_output, tolerance
from kernels.compiled.emit import emit
from kernels.launch import Operands, compilations, empty_output
from kernels.space.config import Config
from kernels.space.layer import Layer

REPEATS, MANY = 1_000, 10_000
PRODUCTS_IN_GRAPH = 100
POINTERS = "ptr-128x128x64-w4-s3-k1-g8"
# A box of more than one row needs a reshape, so x goes through registers before wgmma.
THROUGH_REGISTERS = ("tma-2.8.8x128x64-w8-s4-k1-g8", "tma-2.8.8x128x64-w4-s3-k1-g8", "tma-2.8.8x256x64-w8-s3-k1-g8")
SUMMARY = r"RACECHECK SUMMARY: (\d+) hazards? displayed.*"
TAIL = 400  # characters of the sanitizer's output


def _layers(place: Place) -> dict[str, tuple[Layer, tuple[int, int, int]]]:
    """Return the layers by title, each with a box for the Gluon kernel."""
    n, side = place.on((32, 14), (1, 4))
    return {
        "3x3": (Layer(n, side, side, 256, 256, (3, 3), 1, 1), (16, 2, 4)),
        "1x1": (Layer(n, side, side, 256, 256, (1, 1)), (1, 1, 128)),
        "residual": (Layer(n, side, side, 256, 256, (1, 1), residual=True), (1, 1, 128)),
    }


def mismatches(place: Place, run: Run, out: Tensor, expected: Tensor, repeats: int) -> tuple[int, int]:
    """Run `repeats` times on memory filled with NaN; return how many differ in a bit, and the most values in one.

    The device counts, so that nothing waits between the repeats.
    """
    bits, expected_bits = out.view(torch.int16), expected.view(torch.int16)
    count = torch.zeros((), dtype=torch.int64, device=place.device)
    most = torch.zeros_like(count)
    for _ in range(repeats):
        out.fill_(torch.nan)
        run()
        differing = (bits != expected_bits).sum()
        count += differing > 0
        torch.maximum(most, differing, out=most)
    place.clock.wait()
    return int(count), int(most)


def _pointers(place: Place, layer: Layer, operands: Operands) -> Tensor:
    """Return the output of the pointer kernel, checked against float64. Raises Wrong."""
    config = Config.parse(POINTERS)
    out = empty_output(layer, place.device)
    out.fill_(torch.nan)
    place.compile_only(compilations(layer, config))
    launcher(layer, config, operands, out)()
    place.clock.wait()
    if mismatch := _mismatch(layer, operands, out):
        raise Wrong(f"the pointer kernel itself is off: {mismatch}")
    return out


def _mismatch(layer: Layer, operands: Operands, out: Tensor) -> str:
    expected = right_output(layer, operands)
    return describe_mismatch(out, expected, ROUNDOFF[layer.dtype], tolerance(layer, float(expected.abs().max())))


def gluon_agrees(place: Place, name: str) -> dict[str, Any]:
    """Check the Gluon kernel: against float64, every repeat against the first, and against the pointer kernel.

    The first two must agree. Both kernels add products in the same order, so equal bits are expected of them too; but
    within an instruction of another width the hardware may add in another order, so values that differ are counted and
    are not wrong.
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
            first, mismatch = out.clone(), _mismatch(layer, operands, out)
            count, most = mismatches(place, run, out, first, place.on(REPEATS, 2))
            other_bits = int((first.view(torch.int16) != pointers.view(torch.int16)).sum())
            data[f"{title} {n}"] = {
                "off": mismatch, "repeats": place.on(REPEATS, 2), "mismatching_repeats": count, "most_values": most,
                "other_bits_than_pointers": other_bits, "values": out.numel(),
            }  # fmt: skip
            if mismatch or count:
                reason = mismatch or f"{count} repeats make other bits than the first"
                wrong.append(f"{title} by {Cut(box, n)}: {reason}")
    return {"data": data} | ({"status": "wrong", "reason": "; ".join(wrong)} if wrong else {})


def racecheck(place: Place, name: str) -> dict[str, Any]:
    """Launch the Gluon kernel once in a process under compute-sanitizer, which counts hazards."""
    hopper(place)
    tool = shutil.which("compute-sanitizer")
    if tool is None or place.dry:
        raise Skip("it needs a GPU" if place.dry else "compute-sanitizer is not on the PATH")
    code = "from bench.worker.experiments.agreement import launch_once; launch_once()"
    command = [tool, "--tool", "racecheck", "--print-limit", "3", *PYTHON, "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=child_variables())
    output_text = (process.stdout + process.stderr).strip()
    hazards = re.search(SUMMARY, output_text)
    if hazards is None:
        raise RuntimeError(f"racecheck ended with status {process.returncode} and no summary: {output_text[-TAIL:]}")
    data = {"hazards": int(hazards[1]), "said": output_text[-TAIL:]}
    return {"data": data} | ({"status": "wrong", "reason": f"racecheck: {hazards[0]}"} if data["hazards"] else {})


def launch_once() -> None:
    from bench.worker.experiments.place import open_place
    from kernels.experiments.gluon_conv import Cut

    with open_place("cuda") as place:
        layer = Layer(16, 14, 14, 256, 256, (3, 3), 1, 1)
        gluon_run(place, layer, Cut((16, 2, 4), 256), draw(layer, "cuda", 0), empty_output(layer, "cuda"))()
        place.clock.wait()


def overwrite(place: Place, name: str) -> dict[str, Any]:
    """Count repeats with other bits for bulk copies whose x goes through registers, which networks refuse to use.

    The operands are the same in all, so the kernel causes any difference. The repeats run alone, and then while another
    stream keeps the SMs busy, which changes when registers are read.
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
            for compilation in compilations(layer, config):
                emit(compilation, ARCH)
            config = Config.parse(POINTERS)
        run = launcher(layer, config, operands, out)
        repeats = place.on(MANY // 2, 1)
        alone = mismatches(place, run, out, pointers, repeats)
        beside = _beside_products(place, layer, partial(mismatches, place, run, out, pointers, repeats))
        data[text] = {
            "repeats": 2 * repeats, "mismatching_repeats": alone[0] + beside[0],
            "alone": alone[0], "beside_other_work": beside[0], "most_values": max(alone[1], beside[1]),
        }  # fmt: skip
    return {"data": data}


def _beside_products(place: Place, layer: Layer, work: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    """Return the result of `work`, done while another stream multiplies matrices."""
    if place.dry:
        return work()
    a = torch.randn(2048, 2048, device=place.device, dtype=torch.float16)
    product, stream = torch.empty_like(a), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        torch.mm(a, a, out=product)  # cuBLAS allocates its workspace outside the capture
        stream.synchronize()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            for _ in range(PRODUCTS_IN_GRAPH):
                torch.mm(a, a, out=product)
        # A stream queues about a thousand launches before the host waits, so the products are in graphs.
        for _ in range(MANY // PRODUCTS_IN_GRAPH):  # 20 us and more a product: about as long as the repeats take
            graph.replay()
    counts = work()
    stream.synchronize()
    return counts
