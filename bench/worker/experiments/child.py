"""The parts of a job, run one after the other; each imports what it needs. `bench.experiments.parts` reads outcomes."""

from __future__ import annotations

import faulthandler
import json
import time
from pkgutil import resolve_name
from typing import Any

from bench.runs.job import Empty, Notify, PartOutcome, PartsJob
from bench.worker.experiments.place import Place, Skip, open_place
from bench.worker.failure import Wrong
from bench.worker.tune.candidate import context_lost

# The function of each part, by job. It takes (place, name), and returns fields of the outcome, which may have a status
# and a reason; or raises Skip or Wrong.
HERE = "bench.worker.experiments"
PARTS = {
    "pieces": {
        "pdl-chain": f"{HERE}.pieces:pdl_chain",
        "pdl-graph": f"{HERE}.pieces:pdl_chain",
        "graph": f"{HERE}.pieces:graph",
    },
    "constants": {
        "launches": f"{HERE}.launches:launches",
        "prologue": f"{HERE}.prologue:prologue",
        "memory": f"{HERE}.products:memory",
        "products": f"{HERE}.products:products",
        "gluon-products": f"{HERE}.products:gluon_products",
        "gluon-agrees": f"{HERE}.agreement:gluon_agrees",
        "racecheck": f"{HERE}.agreement:racecheck",
        "overwrite": f"{HERE}.agreement:overwrite",
        "halves": f"{HERE}.networks:halves",
        "slices": f"{HERE}.networks:slices",
    },
}
LAYER = f"{HERE}.pieces:layer"  # of a name that is not listed


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
        fields = resolve_name(PARTS[job].get(name, LAYER))(place, name) or {}
        place.clock.wait()
        json.dumps(fields, allow_nan=False)
    except Skip as skip:
        status, reason = "skipped", str(skip)
    except Wrong as wrong:
        status, reason = "wrong", str(wrong)
    except Exception as error:
        from bench.worker.failure import describe_failure

        status, reason, fields = "error", describe_failure(error)["reason"], {}
    return {"status": status, "reason": reason, "seconds": round(time.perf_counter() - start, 3)} | fields
