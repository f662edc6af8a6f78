"""All kernels of the watched networks, compiled by a child a core for architectures that this machine may lack.

record = compile_kernels([90], ["resnet50/fp16-n32-*"]).record
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock

from bench.errors import ArgumentError, UnableError, WorkError
from bench.files import owned_folder
from bench.machine.environment import cores
from bench.machine.limits import free_memory
from bench.machine.provenance import this_commit
from bench.runs.kernel_jobs import KernelsAnswer, KernelsJob
from bench.runs.process import Answer
from bench.runs.wire import Json
from bench.static.children import Progress, work_through
from bench.static.kernels import POINTS, Accepted, Entry
from bench.tuning.gpus import TUNED

CHILD_BYTES = 1 << 30  # of memory, that a child may take: it has torch and a compiler
LIMIT_S = 3600.0
DEATHS = 20  # of compilers in the place of one child; with one more, all is given up

ARCHS = {f"sm_{arch}": arch for arch in POINTS}


@dataclass(frozen=True)
class Compiled:
    """The compiled record, and `unknown`: cards with a tuned table and no entry among the cards, which are left out."""

    record: Accepted
    unknown: list[str]


def parse_archs(text: str) -> list[int]:
    """Parse `sm_80,sm_90` as [80, 90]. Raises ArgumentError for an architecture that nothing is compiled for."""
    words = text.split(",")
    for word in words:
        if word not in ARCHS:
            raise ArgumentError(f"unknown architecture {word!r}; allowed: {', '.join(ARCHS)}")
    return [arch for name, arch in ARCHS.items() if name in words]


def tuned_tables() -> list[Path]:
    return sorted(TUNED.glob("*.json"))


def absolute(paths: Iterable[Path]) -> list[str]:
    """Return absolute names of files, for a child that may run in another folder."""
    return [str(path.absolute()) for path in paths]


def compile_kernels(
    archs: Iterable[int],
    globs: Sequence[str] = (),
    tables: Iterable[Path] | None = None,
    progress: Progress = lambda done, total, name: None,
) -> Compiled:
    """Compile every kernel that the layers of the watched networks run.

    `archs` are compute capabilities, such as 90. With `globs`, only layers that match one are compiled. Configurations
    are those of `tables`, by default this checkout's. The record is empty if no layer matches. Raises UnableError where
    this machine cannot compile, WorkError where children fail as a whole, and KeyboardInterrupt once all have ended.
    """
    paths = tuned_tables() if tables is None else tables
    points = {str(arch): list(POINTS[arch]) for arch in archs}
    try:
        with owned_folder("kernels") as queue:
            job = KernelsJob(points, list(globs), absolute(paths), str(queue))
            answers = _answers(job, max(1, min(cores(), free_memory() // CHILD_BYTES)), progress)
    except OSError as error:
        raise UnableError(f"the children need a temporary folder: {error.strerror}; TMPDIR names one") from None
    for answer in answers:
        if answer.status == "skipped":
            raise UnableError(f"this machine cannot compile kernels: {answer.reason}; `pip install 'triton>=3.6'`")
        if answer.status != "ok":
            raise WorkError(f"the kernels could not be compiled: {answer.status}: {answer.reason}")
    layers = {int(place): kernels for answer in answers for place, kernels in answer.data["layers"].items()}
    outcomes = {key: row for answer in answers for key, row in answer.data["outcomes"].items()}
    rows: dict[str, Json] = {}  # in the order of the plan
    for kernel in (kernel for place in sorted(layers) for kernel in layers[place]):
        usual = {"arch": kernel["arch"], "kernel": kernel["kernel"], "uses": {}, **outcomes[kernel["key"]]}
        rows.setdefault(kernel["key"], usual)["uses"].setdefault(kernel["use"])
    entries = [Entry.from_json(row | {"uses": list(row["uses"])}) for row in rows.values()]
    first = answers[0].data
    record = Accepted(entries, first["triton"], this_commit(), f"{datetime.now(UTC):%Y-%m-%d}")
    return Compiled(record, first["unknown"])


def _answers(job: KernelsJob, children: int, progress: Progress) -> list[Answer[KernelsAnswer]]:
    done, lock, stop = [0] * children, Lock(), Event()

    def work(number: int) -> Answer[KernelsAnswer]:
        def child_progress(done_by_it: int, total: int, name: str) -> None:
            with lock:
                done[number] = done_by_it
                progress(sum(done), total, name)

        def child_job(broken: dict[str, str]) -> KernelsJob:
            return replace(job, number=number, broken=broken)

        return work_through(child_job, LIMIT_S, DEATHS, child_progress, stop=stop)

    with ThreadPoolExecutor(children) as pool:
        try:
            return list(pool.map(work, range(children)))
        except BaseException:  # leaving the pool waits for the children
            stop.set()
            raise
