"""The cost of a launch in a CUDA graph."""
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False

from __future__ import annotations

from statistics import median
from typing import Any

import triton
import triton.language as tl

from bench.worker.experiments.place import ARCH, Place, Run
from bench.worker.experiments.products import as_outcome
from kernels.launch import Launch

COUNTS = (50, 250)  # empty kernels in a graph: the difference has no cost of the graph itself
PAIRS = ((False, "launch_us"), (True, "launch_pdl_us"))


@triton.jit
def _empty(PDL: tl.constexpr):
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()


def empty(pdl: bool, programs: int) -> Launch:
    options = {"num_warps": 4} | ({"launch_pdl": True} if pdl else {})
    return Launch(_empty, {"PDL": pdl}, (programs,), options)


def launches(place: Place, name: str) -> dict[str, Any]:
    data: dict[str, Any] = {}
    constants = {}
    for pdl, constant in PAIRS:
        if pdl and not place.dry and place.arch < ARCH:
            continue
        launch = empty(pdl, place.sms or 1)
        if place.dry:
            place.compile_only([launch.compilation()])
        run: Run = (lambda: None) if place.dry else launch.enqueue
        run()
        times = {count: place.times(place.graph([run] * count)) for count in COUNTS}
        few, many = COUNTS
        us = (median(times[many]) - median(times[few])) / (many - few) / 1e3
        data[constant] = {"us": us, **{f"ns of {count}": ns for count, ns in times.items()}}
        how = f"empty kernels in a CUDA graph: what {many} take beyond {few}, each"
        constants[constant] = (us, "us", f"{how}, with programmatic dependent launch" if pdl else how)
    return as_outcome(place, data, **constants)
