"""The parts of a job, run one after the other; each imports what it needs. `bench.experiments.parts` reads outcomes."""

from __future__ import annotations

import faulthandler
import json
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from bench.runs.job import Empty, PartOutcome, PartsJob
from bench.worker.experiments.place import Place, Skip, context_lost, open_place
from bench.worker.gate import Wrong

Notify = Callable[[str], None]

# The function of each part, by job. It takes (place, name), returns fields of the outcome, and raises Skip or Wrong.
PIECES = "bench.worker.experiments.pieces"
PARTS: dict[str, dict[str, tuple[str, str]]] = {
    "pieces": {
        "pdl-chain": (PIECES, "pdl_chain"),
        "pdl-graph": (PIECES, "pdl_chain"),
        "graph": (PIECES, "graph"),
    },
    "constants": {
        "launches": ("bench.worker.experiments.launches", "launches"),
        "prologue": ("bench.worker.experiments.launches", "prologue"),
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
DEFAULT_PARTS = {"pieces": (PIECES, "layer"), "constants": ("", "")}  # for a name that is not listed


def run_parts(job: PartsJob, notify: Notify) -> Empty:
    """Run the parts of a job. After one that loses the GPU it stops, and the parent starts another process."""
    with open_place(job.device) as place:
        for name, limit_s in job.parts:
            notify(f"try {name}")
            faulthandler.dump_traceback_later(limit_s, exit=True)
            outcome = _outcome(job.name, name, place)
            faulthandler.cancel_dump_traceback_later()
            notify(f"done {name} {json.dumps(outcome)}")
            if outcome["status"] == "error" and context_lost():
                break
    return {"status": "ok"}


def _outcome(job: str, name: str, place: Place) -> PartOutcome:
    start = time.perf_counter()
    fields: dict[str, Any] = {}
    status, reason = "ok", ""
    try:
        module, function = PARTS[job].get(name, DEFAULT_PARTS[job])
        fields = getattr(import_module(module), function)(place, name) or {}
        place.clock.wait()
        json.dumps(fields, allow_nan=False)
    except Skip as skip:
        status, reason = "skipped", str(skip)
    except Wrong as wrong:
        status, reason = "wrong", str(wrong)
        fields = getattr(wrong, "fields", {})
    except Exception as error:
        from bench.worker.failure import describe_failure

        status, reason, fields = "error", describe_failure(error)["reason"], {}
    return {"status": status, "reason": reason, "seconds": round(time.perf_counter() - start, 3)} | fields
