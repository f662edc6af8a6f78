"""`bench.worker` with parts that misbehave: what a test of `bench.experiments.parts` makes it run."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Any

import bench.worker.__main__
from bench.worker.experiments import child
from bench.worker.experiments.place import Skip
from bench.worker.failure import Wrong

HERE = "tests.bench.experiments.planted_parts"


def works(place: Any, name: str) -> dict[str, Any]:
    return {"data": {"pid": os.getpid()}}


def raises(place: Any, name: str) -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered\nand more")


def cannot_import(place: Any, name: str) -> None:
    import triton.no_such_module  # noqa: F401


def hangs(place: Any, name: str) -> None:
    time.sleep(600)


def dies(place: Any, name: str) -> None:
    ctypes.string_at(0)


def leaves(place: Any, name: str) -> None:
    os._exit(7)


def wrong(place: Any, name: str) -> None:
    raise Wrong("3 of 4 values are off")


def skips(place: Any, name: str) -> None:
    raise Skip("it needs a GPU")


def tells_nan(place: Any, name: str) -> dict[str, Any]:
    return {"data": {"us": float("nan")}}


NAMES = ("works", "raises", "cannot_import", "hangs", "dies", "leaves", "wrong", "skips", "tells_nan")
child.PARTS["pieces"] = {name: f"{HERE}:{name}" for name in NAMES} | {"also-works": f"{HERE}:works"}

if __name__ == "__main__":
    bench.worker.__main__.main(int(sys.argv[1]), int(sys.argv[2]))
