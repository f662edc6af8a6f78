"""The child process: one job from stdin, answers on a pipe of its own, one case, and out.

Nothing is measured in the parent, and no two cases share a process.
"""

from __future__ import annotations

import bench.worker.start  # noqa: F401 - first: it notes the time

# isort: split
import ctypes
import faulthandler
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from bench.runs.job import (
    CaseJob,
    CeilingsJob,
    ConstantsJob,
    FitJob,
    LayersJob,
    LoadJob,
    NullJob,
    PiecesJob,
    ReferenceJob,
)
from bench.runs.kernel_jobs import BundleJob, FactsJob, KernelsJob, MakerJob, NetworksJob, TryJob
from bench.runs.wire import Job, Json
from bench.worker.failure import failure

PR_SET_PDEATHSIG = 1
Tell = Callable[[str], None]
Run = Callable[[Any, Tell], Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """A job, and the function that does it: `module:function`, imported when it is asked for.

    `stage` is told while that is imported. `compiles`: where torch or triton cannot be imported it is skipped.
    """

    job: type[Job[Any]]
    place: str
    stage: str = "import"
    compiles: bool = False

    def load(self) -> Run:
        module, _, function = self.place.partition(":")
        return cast(Run, getattr(import_module(module), function))


ROWS = (
    Row(CaseJob, "bench.worker.case:run_case"),
    Row(FitJob, "bench.worker.fits:fit"),
    Row(ReferenceJob, "bench.worker.reference:run", "reference"),
    Row(NullJob, "bench.worker.measure.overhead:run", "null"),
    Row(CeilingsJob, "bench.worker.ceilings:run"),
    Row(LayersJob, "bench.worker.layers.times:run"),
    Row(LoadJob, "bench.worker.serve:load"),
    Row(NetworksJob, "bench.worker.tune.search:networks"),
    Row(TryJob, "bench.worker.tune.search:candidates"),
    Row(KernelsJob, "bench.worker.static.compile_kernels:run", compiles=True),
    Row(FactsJob, "bench.worker.static.count:run", compiles=True),
    Row(MakerJob, "bench.worker.tune.bundle:make", compiles=True),
    Row(BundleJob, "bench.worker.tune.bundle:run", compiles=True),
    Row(PiecesJob, "bench.worker.experiments.child:pieces"),
    Row(ConstantsJob, "bench.worker.experiments.child:constants"),
)
JOBS = {(row.job.name, row.job.what): row for row in ROWS}


def do(data: Json, tell: Tell) -> Mapping[str, Any]:
    """The answer to a job as it came. Raises MessageError for one that is none, and whatever the job raises."""
    row = JOBS[data["job"], data.get("what", "")]
    if row.stage:
        tell(row.stage)
    job = row.job.from_json(data)
    if row.compiles:
        os.environ.pop("TRITON_INTERPRET", None)  # interpreted kernels are neither compiled nor launched as others are
    try:
        run = row.load()
    except ImportError as error:
        if not row.compiles or (error.name or "").partition(".")[0] not in ("torch", "triton"):
            raise
        return {"status": "skipped", "reason": f"{error}"}
    return run(job, tell)


def main(descriptor: int, parent: int) -> None:
    """Do the job on stdin and answer on `descriptor`, for as long as the process `parent` lives."""
    _die_with(parent)
    faulthandler.register(signal.SIGUSR1)  # the parent's last question to a child that hangs
    pipe = os.fdopen(descriptor, "w", buffering=1)

    def say(message: Mapping[str, Any]) -> None:
        pipe.write(json.dumps(_finite(message)) + "\n")

    def tell(stage: str) -> None:
        say({"stage": stage})

    data = json.load(sys.stdin)
    try:
        answer = do(data, tell)
    except Exception as error:
        answer = failure(error)
    say(answer)
    pipe.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Compile workers, CUDA graphs and provider threads may hang or crash on the way out; the answer is given.
    os._exit(0)


def _finite(value: Any) -> Any:
    """JSON has no NaN: as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when the parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
