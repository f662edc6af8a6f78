"""The child process: one job from stdin, answers on a pipe of its own, one case, and out.

A case: build -> prepare -> gate -> warm up and measure -> gate -> answer. Nothing is measured in the parent, and no two
cases share a process.
"""

from __future__ import annotations

import time

_started = time.perf_counter()  # before the heavy imports: their time is part of a cold start

import ctypes  # noqa: E402
import faulthandler  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Callable  # noqa: E402
from contextlib import AbstractContextManager, nullcontext  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from bench.case import Case  # noqa: E402
from bench.plan import Settings  # noqa: E402

PR_SET_PDEATHSIG = 1
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """What a case's process is told."""

    case: Case
    settings: Settings
    device: str
    seed: int
    source: str
    reference: dict[str, str]

    @classmethod
    def read(cls, data: dict[str, Any]) -> Job:
        case, settings = Case.parse(data["case"]), Settings(**data["settings"])
        return cls(case, settings, data["device"], data["seed"], data["source"], data["reference"])


def run_case(
    job: Job, tell: Tell = lambda stage: None, around: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> dict[str, Any]:
    """Build, check, measure and check one case in this process; a record's fields, with its status.

    `around` makes the context that the measurement runs in (a profiler's range).
    """
    tell("import")
    import torch

    import resnet
    from bench import memory
    from bench.clock import on_device
    from bench.gate import Wrong, check, judge, poison
    from bench.measure import measure
    from resnet.inputs import find, pictures
    from resnet.synthetic import digest

    cold = {"import_s": time.perf_counter() - _started}
    case, settings = job.case, job.settings

    tell("build")
    watch = _Watch()
    source = find(job.source)
    model = resnet.build(case.model, seed=job.seed, source=source)
    drawn = pictures((settings.buffers + 1) * case.batch, case.image, seed=job.seed, source=source)
    *batches, fresh = drawn.split(case.batch)
    cold["build_s"] = watch.lap()
    told: dict[str, Any] = {"cold": cold, "input": source.described(), "weights": digest(model)}
    truth = _truth(job)

    with on_device(job.device) as clock:
        tell("prepare")
        watch = _Watch()
        example = batches[0].to(job.device)
        run = resnet.prepare(case.variant, model, example, case.precision, case.launch)
        del model, example
        cold["prepare_s"] = watch.lap()
        tell("first call")
        inputs = [run.place(batch) for batch in batches]
        cold["place_s"] = watch.lap()
        first = run(inputs[0])
        clock.wait()
        cold["first_call_s"] = watch.lap()
        poison(first, clock)
        told["details"] = dict(run.details, threads=torch.get_num_threads())
        numbers = list(range(len(inputs)))
        try:
            when = "before timing"
            tell("gate")
            gate = {"before": check(run, inputs, numbers, truth, clock)}
            memory.reset()
            tell("measure")
            with around():
                measured = measure(run, inputs, clock, settings)
            used = memory.numbers(run.details.get("weights_bytes"), job.device)
            tell("gate")
            when = "while timing"
            gate["during"] = judge(measured.witnesses, truth)
            when = "after timing"
            # an unseen batch where a seen one was: an answer remembered by address is the wrong one
            with torch.inference_mode():
                inputs[0].copy_(run.place(fresh))
            gate["after"] = check(run, inputs, [len(inputs), *numbers[1:]], truth, clock)
        except Wrong as wrong:
            return told | {"status": "wrong", "reason": f"{when}: {wrong}"}
    kept = {key: value for key, value in vars(measured).items() if key != "witnesses"}
    return told | kept | {"status": "ok", "memory": used, "gate": gate}


class _Watch:
    """Seconds since it was made, or since the last lap."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        spent, self.start = now - self.start, now
        return spent


def _truth(job: Job) -> Any:
    import numpy as np

    from bench.gate import Truth
    from bench.reference import EXACT

    rows = (job.settings.buffers + 1) * job.case.batch
    exact = np.load(job.reference[EXACT])[:rows]
    plain = np.load(job.reference[job.case.precision]).astype(np.float64)[:rows]
    return Truth(job.case.precision, job.case.batch, exact, plain)


def run_reference(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Make the reference files a sweep needs; see `bench.reference`."""
    tell("reference")
    from bench.reference import references

    told = {key: value for key, value in data.items() if key != "job"}
    return {"status": "ok", "paths": references(**told)}


def main(descriptor: int, parent: int) -> None:
    """Do the job on stdin and answer on `descriptor`, for as long as the process `parent` lives."""
    _die_with(parent)
    faulthandler.register(signal.SIGUSR1)  # the parent's last question to a child that hangs
    pipe = os.fdopen(descriptor, "w", buffering=1)

    def say(message: dict[str, Any]) -> None:
        pipe.write(json.dumps(_finite(message)) + "\n")

    def tell(stage: str) -> None:
        say({"stage": stage})

    data = json.load(sys.stdin)
    try:
        answer = run_reference(data, tell) if data["job"] == "reference" else run_case(Job.read(data), tell)
    except Exception as error:
        answer = failure(error)
    say(answer)
    pipe.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Compile workers, CUDA graphs and provider threads may hang or crash on the way out; the answer is given.
    os._exit(0)


def failure(error: Exception) -> dict[str, Any]:
    """A record's status and reason for an exception."""
    name = type(error).__name__
    text = str(error) or name
    short = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(short.filename).name}:{short.lineno}"
    lack = isinstance(error, MemoryError) or name == "OutOfMemoryError" or "out of memory" in text.lower()
    lines = [line for line in text.splitlines() if line.strip()]
    brief = "\n".join(lines[:12])
    return {"status": "memory" if lack else "error", "reason": f"{name}: {brief} ({where})"}


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
