"""One part after the other, told as `bench.experiments.parts` hears it. What a part needs is imported by that part."""

from __future__ import annotations

import faulthandler
import json
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from bench.runs.job import ConstantsJob, Empty, PartOutcome, PartsJob, PiecesJob
from bench.worker.experiments.place import Place, Skip, lost, opened
from bench.worker.gate import Wrong

Tell = Callable[[str], None]

# Which function is a part, by job: of (place, name), it returns what it found, and raises Skip or Wrong.
PIECES = "bench.worker.experiments.pieces"
PARTS: dict[str, dict[str, tuple[str, str]]] = {
    "pieces": {
        "pdl-chain": (PIECES, "pdl_chain"),
        "pdl-graph": (PIECES, "pdl_chain"),
        "graph": (PIECES, "graph"),
    },
    "constants": {
        "launches": ("bench.worker.experiments.launches", "launches"),
        "memory": ("bench.worker.experiments.products", "memory"),
        "products": ("bench.worker.experiments.products", "products"),
        "gluon-products": ("bench.worker.experiments.products", "gluon_products"),
        "gluon-agrees": ("bench.worker.experiments.agreement", "gluon_agrees"),
        "racecheck": ("bench.worker.experiments.agreement", "racecheck"),
        "overwrite": ("bench.worker.experiments.agreement", "overwrite"),
        "halves": ("bench.worker.experiments.networks", "halves"),
        "slices": ("bench.worker.experiments.networks", "slices"),
    },
}
USUAL = {"pieces": (PIECES, "layer"), "constants": ("", "")}  # of a name that is not listed


def pieces(job: PiecesJob, tell: Tell) -> Empty:
    """Pieces of networks."""
    return run(job, tell)


def constants(job: ConstantsJob, tell: Tell) -> Empty:
    """Experiments on a card's constants."""
    return run(job, tell)


def run(job: PartsJob, tell: Tell) -> Empty:
    """The parts of a job; one that has lost this process its GPU is the last, and the parent starts another."""
    with opened(job.device) as place:
        for name, limit_s in job.parts:
            tell(f"try {name}")
            faulthandler.dump_traceback_later(limit_s, exit=True)
            outcome = _outcome(job.name, name, place)
            faulthandler.cancel_dump_traceback_later()
            tell(f"done {name} {json.dumps(outcome)}")
            if outcome["status"] == "error" and lost():
                break
    return {"status": "ok"}


def _outcome(job: str, name: str, place: Place) -> PartOutcome:
    start = time.perf_counter()
    found: dict[str, Any] = {}
    status, reason = "ok", ""
    try:
        module, function = PARTS[job].get(name, USUAL[job])
        found = getattr(import_module(module), function)(place, name) or {}
        place.clock.wait()
        json.dumps(found, allow_nan=False)
    except Skip as skip:
        status, reason = "skipped", str(skip)
    except Wrong as wrong:
        status, reason = "wrong", str(wrong)
        found = getattr(wrong, "found", {})
    except Exception as error:
        from bench.worker.failure import failure

        status, reason, found = "error", failure(error)["reason"], {}
    return {"status": status, "reason": reason, "seconds": round(time.perf_counter() - start, 3)} | found
