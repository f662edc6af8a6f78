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

from bench.machine.watch import Watch  # noqa: E402
from bench.plans.case import Case  # noqa: E402
from bench.plans.plan import Settings  # noqa: E402
from bench.worker.runtime import cache_state, fresh_caches, runtime  # noqa: E402

PR_SET_PDEATHSIG = 1
Tell = Callable[[str], None]
Run = Callable[[dict[str, Any], Tell], dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """What a case's process is told."""

    case: Case
    settings: Settings
    device: str
    seed: int
    source: str
    reference: dict[str, str]
    caches: str = ""  # a folder for compile caches of its own, empty; none: the usual ones

    @classmethod
    def read(cls, data: dict[str, Any]) -> Job:
        case, settings = Case.parse(data["case"]), Settings(**data["settings"])
        names = ("device", "seed", "source", "reference", "caches")
        return cls(case, settings, **{name: data[name] for name in names})


def run_case(
    job: Job, tell: Tell = lambda stage: None, around: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> dict[str, Any]:
    """Build, check, measure and check one case in this process; a record's fields, with its status.

    `around` makes the context that the measurement runs in (a profiler's range).
    """
    tell("import")
    if job.caches:
        os.environ |= fresh_caches(job.caches)  # before the import, which reads some of them
    import resnet
    from bench.worker.gate import poison
    from bench.worker.measure.clock import on_device
    from resnet.inputs import find, pictures
    from resnet.weights.synthetic import digest

    cold: dict[str, Any] = {"import_s": time.perf_counter() - _started}
    case = job.case
    with Watch() as watch, on_device(job.device) as clock:
        tell("build")
        lap = _Laps()
        source = find(job.source)
        model = resnet.build(case.model, seed=job.seed, source=source)
        drawn = pictures((job.settings.buffers + 1) * case.batch, case.image, seed=job.seed, source=source)
        *batches, last = drawn.split(case.batch)
        fresh = last.clone()
        cold["build_s"] = lap()
        told: dict[str, Any] = {"cold": cold, "input": source.described(), "weights": digest(model)}
        truth = truth_of(job)

        tell("prepare")
        lap = _Laps()
        example = batches[0].to(job.device)
        run = resnet.prepare(case.variant, model, example, case.precision, case.launch)
        cold["prepare_s"] = lap()
        tell("first call")
        inputs = [run.place(batch) for batch in batches]
        cold["place_s"] = lap()
        # what is not needed any more would stand in the memory numbers
        del model, example, drawn, batches, last
        lap = _Laps()
        first = run(inputs[0])
        clock.wait()
        cold["first_call_s"] = lap()
        cold["caches"] = "fresh" if job.caches else cache_state(run.details)
        poison(first, clock)
        told |= {"details": run.details, "runtime": runtime(job.device)}
        return told | _measured(job, run, inputs, fresh, truth, clock, watch, tell, around)


def _measured(
    job: Job,
    run: Any,
    inputs: list[Any],
    fresh: Any,
    truth: Any,
    clock: Any,
    watch: Watch,
    tell: Tell,
    around: Callable[[], AbstractContextManager[Any]],
) -> dict[str, Any]:
    """Gate, times, memory, energy, gate: of a runner whose inputs are placed; `fresh` is a batch it has not seen."""
    from bench.worker.gate import Wrong, check, judge, overwrite, unremembered
    from bench.worker.measure import memory
    from bench.worker.measure.energy import energy
    from bench.worker.measure.measure import measure, measure_flushed

    settings, numbers = job.settings, list(range(len(inputs)))
    try:
        when = "before timing"
        tell("gate")
        gate = {"before": check(run, inputs, numbers, truth, clock)}
        memory.reset()
        tell("measure")
        with around():
            measured = measure(run, inputs, clock, settings)
        used = memory.numbers(run.details.get("weights_bytes"), job.device)
        joules = energy(run, inputs, clock, settings.energy_s, job.device, measured.p50_ns)
        measure_flushed(run, inputs, clock, settings, measured)
        tell("gate")
        when = "while timing"
        gate["during"] = judge(measured.witnesses, truth)
        when = "after timing"
        overwrite(inputs[0], run.place(fresh))
        gate["after"] = check(run, inputs, [len(inputs), *numbers[1:]], truth, clock)
        gate["after"]["unseen_ratio"] = unremembered(run, inputs[0], clock)
    except Wrong as wrong:
        return {"status": "wrong", "reason": f"{when}: {wrong}"}
    told = measured.fields(watch.so_far(), settings.steal)
    return told | {"status": "ok", "memory": used, "gate": gate, "energy": joules}


class _Laps:
    """Seconds since it was made, or since the last call."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def __call__(self) -> float:
        now = time.perf_counter()
        spent, self.start = now - self.start, now
        return spent


def truth_of(job: Job) -> Any:
    """What a case's answers are held against, from the files of its references (`bench.worker.gate.Truth`)."""
    import numpy as np

    from bench.worker.gate import Truth
    from bench.worker.reference import EXACT

    rows = (job.settings.buffers + 1) * job.case.batch
    exact = np.load(job.reference[EXACT])[:rows]
    plain = np.load(job.reference[job.case.precision]).astype(np.float64)[:rows]
    return Truth(job.case.precision, job.case.batch, exact, plain)


def run_reference(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Make the reference files a sweep needs; see `bench.worker.reference`."""
    tell("reference")
    from bench.worker.reference import references

    told = {key: value for key, value in data.items() if key != "job"}
    return {"status": "ok", "paths": references(**told)}


def run_fit(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Whether a batch fits; see `bench.worker.fits`."""
    tell("import")
    from bench.worker.fits import fit

    return fit(Job.read(data), tell)


def run_null(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What the harness itself costs on this device; see `bench.worker.measure.overhead`."""
    tell("null")
    from bench.worker.measure.overhead import overhead

    return {"status": "ok", "overhead": overhead(data["device"])}


def run_ceilings(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What this machine can do; see `bench.worker.ceilings`."""
    tell("import")
    from bench.worker.ceilings import roof

    return {"status": "ok"} | roof(data["device"], data["flags"], tell, data["quick"])


def run_layers(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Where a case's time goes; see `bench.worker.layers.times`."""
    tell("import")
    from bench.worker.layers.times import layer_times

    job = Job.read(data)
    return layer_times(job, truth_of(job), data["executions"], data["trace"], tell)


def run_kernels(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What the compiler emits; see `bench.worker.static.compile_kernels`."""

    def load() -> Run:
        from bench.worker.static.compile_kernels import run

        return run

    return _compiling(load, data, tell)


def run_bundle(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Kernels compiled beforehand; see `bench.worker.tune.bundle`."""

    def load() -> Run:
        from bench.worker.tune.bundle import run

        return run

    return _compiling(load, data, tell)


def run_facts(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What cases do, counted and not timed; see `bench.worker.static.count`."""

    def load() -> Run:
        from bench.worker.static.count import run

        return run

    return _compiling(load, data, tell)


def _compiling(load: Callable[[], Run], data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What the function that `load` imports answers; `skipped` where torch or triton cannot be imported."""
    tell("import")
    os.environ.pop("TRITON_INTERPRET", None)  # interpreted kernels are neither compiled nor launched as compiled ones
    try:
        run = load()
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("torch", "triton"):
            raise
        return {"status": "skipped", "reason": f"{error}"}
    return run(data, tell)


def run_tune(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What networks are made of, or some candidates for it; see `bench.worker.tune.search`."""
    tell("import")
    from bench.worker.tune.search import tune

    return tune(data, tell)


def run_parts(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Pieces of networks, or experiments on constants; see `bench.experiments`."""
    tell("import")
    from bench.worker.experiments.child import run

    return run(data, tell)


def run_load(data: dict[str, Any], tell: Tell) -> dict[str, Any]:
    from bench.worker.serve import load

    return load(data, tell)


JOBS: dict[str, Callable[[dict[str, Any], Tell], dict[str, Any]]] = {
    "case": lambda data, tell: run_case(Job.read(data), tell),
    "fit": run_fit,
    "reference": run_reference,
    "null": run_null,
    "ceilings": run_ceilings,
    "layers": run_layers,
    "tune": run_tune,
    "kernels": run_kernels,
    "bundle": run_bundle,
    "facts": run_facts,
    "load": run_load,
    "pieces": run_parts,
    "constants": run_parts,
}


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
        answer = JOBS[data["job"]](data, tell)
    except Exception as error:
        answer = failure(error)
    say(answer)
    pipe.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Compile workers, CUDA graphs and provider threads may hang or crash on the way out; the answer is given.
    os._exit(0)


# What the libraries say for want of memory, in lower case: CUDA, cuDNN and cuBLAS; torch on a CPU, C++, ONNX Runtime,
# and Python (`OutOfMemoryError` is torch's), also inside one of torch.compile's errors.
LACKS = (
    "out of memory",
    "alloc_failed",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "memoryerror",
)


def failure(error: Exception) -> dict[str, Any]:
    """A record's status and reason for an exception."""
    name = type(error).__name__
    text = str(error) or name
    short = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(short.filename).name}:{short.lineno}"
    lack = False
    cause: BaseException | None = error
    while cause and not lack:  # what ends a graph's capture hides what broke it
        said = f"{type(cause).__name__} {cause}".lower()
        lack, cause = any(sign in said for sign in LACKS), cause.__cause__ or cause.__context__
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
