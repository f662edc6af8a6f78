"""The child process: it reads one job from stdin, does it, answers on a separate pipe, and exits.

Nothing is measured in the parent, and no two cases share a process.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from bench.runs import job as jobs
from bench.runs import kernel_jobs
from bench.runs.wire import Command, Job, Json, Pause, Paused, parse_message
from bench.worker.failure import describe_failure
from bench.worker.forks import serve
from bench.worker.runtime import settle_folders, use_threads
from resnet import cache
from resnet.code import OURS

PR_SET_PDEATHSIG = 1
AnswerJob = Callable[..., Mapping[str, Any]]  # (job, notify); of a job in turns also `pause`


@dataclass(frozen=True)
class Row:
    """A job and the function that does it, as `module:function`, which is imported when the job comes.

    `stage` is the stage meanwhile. A job that `compiles` is skipped where torch or triton cannot be imported.
    """

    job: type[Job[Any]]
    function: str
    stage: str = "import"
    compiles: bool = False


ROWS = (
    Row(jobs.CaseJob, "bench.worker.case:measure_case"),
    Row(jobs.AheadJob, "bench.worker.prepare:compile_ahead"),
    Row(jobs.FitJob, "bench.worker.fits:probe_batch"),
    Row(jobs.ReferenceJob, "bench.worker.reference:write_references", "reference"),
    Row(jobs.NetworkJob, "bench.worker.models:count_network", "count"),
    Row(jobs.NullJob, "bench.worker.measure.overhead:measure_overhead", "null"),
    Row(jobs.CeilingsJob, "bench.worker.ceilings:measure_ceilings"),
    Row(jobs.LayersJob, "bench.worker.layers.times:time_layers"),
    Row(jobs.LoadJob, "bench.worker.serve:serve_load"),
    Row(kernel_jobs.NetworksJob, "bench.worker.tune.search:read_networks"),
    Row(kernel_jobs.TryJob, "bench.worker.tune.search:try_candidates"),
    Row(kernel_jobs.KernelsJob, "bench.worker.static.compile_kernels:compile_claimed", compiles=True),
    Row(kernel_jobs.FactsJob, "bench.worker.static.count:count_facts", compiles=True),
    Row(kernel_jobs.MakerJob, "bench.worker.tune.bundle:read_maker", compiles=True),
    Row(kernel_jobs.BundleJob, "bench.worker.tune.bundle:compile_candidates", compiles=True),
    Row(kernel_jobs.OpJob, "bench.worker.ops.contest:judge_convolution"),
    Row(kernel_jobs.SensitivityJob, "bench.worker.sensitivity:measure_sensitivity"),
    Row(jobs.PiecesJob, "bench.worker.experiments.child:run_parts"),
    Row(jobs.ConstantsJob, "bench.worker.experiments.child:run_parts"),
)
JOBS = {(row.job.name, row.job.what): row for row in ROWS}


def answer_job(data: Json, notify: jobs.Notify, pause: Pause | None = None) -> Mapping[str, Any]:
    """Do the job that `data` describes and return its answer; one in turns has `pause` between them.

    Raises KeyError for an unknown job, MessageError for fields that do not fit it, and whatever the job raises.
    """
    row = JOBS[data["job"], data.get("what", "")]
    notify(row.stage)
    job = row.job.from_json(data)
    settle_folders()
    use_threads(getattr(getattr(job, "settings", None), "threads", 0))  # before torch is imported
    if row.compiles:
        os.environ.pop("TRITON_INTERPRET", None)  # else Triton would interpret its kernels and compile none
    try:
        function: AnswerJob = resolve_name(row.function)
    except ImportError as error:
        if not row.compiles or (error.name or "").partition(".")[0] not in ("torch", "triton"):
            raise
        return {"status": "skipped", "reason": f"{error}"}
    return function(job, notify, pause=pause) if getattr(job, "in_turns", False) else function(job, notify)


def main(descriptor: int, parent: int) -> None:
    """Do the job on stdin and answer on `descriptor`, for as long as the process `parent` lives."""
    exit_with(parent)
    faulthandler.register(signal.SIGUSR1)  # the parent asks a child that hangs for its stack
    pipe = os.fdopen(descriptor, "w", buffering=1)

    def send(message: Mapping[str, Any]) -> None:
        pipe.write(json.dumps(_finite(message)) + "\n")

    def notify(stage: str) -> None:
        send({"stage": stage})

    def pause(words: Paused) -> Command:
        send({"paused": words})
        return parse_message(Command, json.loads(sys.stdin.readline()))

    send({"stage": "start", "root": str(OURS)})
    data = json.loads(sys.stdin.readline())
    try:
        answer = answer_job(data, notify, pause)
    except Exception as error:
        answer = describe_failure(error)
    send({**answer, "notes": cache.notes} if cache.notes else answer)
    pipe.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # The answer is out, and compile workers, CUDA graphs and provider threads may hang or crash in a regular exit.
    os._exit(0)


def _finite(value: Any) -> Any:
    """Return `value` with None for NaN and infinities, which JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def exit_with(parent: int) -> None:
    """Have the kernel kill this process when the process `parent` dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)


if __name__ == "__main__":
    descriptor, parent, *kind = sys.argv[1:]
    if kind:  # a server, whose children go on below
        exit_with(int(parent))
        descriptor = str(serve(int(descriptor), *kind))
    main(int(descriptor), int(parent))
