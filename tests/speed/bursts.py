"""The real worker, with a job that prepares a case and times bursts of executions, for `tests.speed.starts`."""

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import bench.worker.__main__ as worker
from bench.runs.job import CaseJob, Notify
from bench.worker import forks
from bench.worker.runtime import use_threads


@contextmanager
def at_once() -> Iterator[None]:
    """Let no other work delay this process's threads, where this user may say so: a burst is short."""
    schedule(os.SCHED_FIFO, 1)
    yield
    schedule(os.SCHED_OTHER, 0)


def schedule(policy: int, priority: int) -> None:
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):  # no right to, or a thread that has just ended
            os.sched_setscheduler(int(thread), policy, os.sched_param(priority))


def take_bursts(data: dict[str, Any], notify: Notify, pause: Any) -> dict[str, Any]:
    """Prepare the case of a job as `bench.worker.case` does; a command's turn is a number of executions to time."""
    job = CaseJob.from_json(data)
    use_threads(job.settings.threads)
    from bench.worker.measure.clock import on_device
    from bench.worker.prepare import first_call, job_material

    with on_device(job.device) as clock:
        material = job_material(job)
        runner = material.prepare()
        inputs = [runner.place(batch) for batch in material.batches]
        material.release()
        first_call(runner, inputs, clock)
        used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        words: dict[str, Any] = {"cpu_s": sum(one.ru_utime + one.ru_stime for one in used)}
        while (count := pause(words).turn) is not None:
            times = list[int]()
            with at_once():
                for number in range(count):
                    start = time.perf_counter_ns()
                    runner(inputs[number % len(inputs)])
                    times.append(time.perf_counter_ns() - start)
            words = {"ns": times}
    return {"status": "ok"}


if __name__ == "__main__":
    descriptor, parent, *kind = sys.argv[1:]
    if kind:
        worker.exit_with(int(parent))
        descriptor = str(forks.serve(int(descriptor), *kind))
    worker.answer_job = take_bursts
    worker.main(int(descriptor), int(parent))
