"""All kernels of the watched networks, compiled by parallel children for architectures that this machine may lack.

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
from bench.machine.environment import cores
from bench.machine.provenance import this_commit
from bench.runs.kernel_jobs import KernelsAnswer, KernelsJob
from bench.runs.process import Answer
from bench.static.children import Progress, work_through
from bench.static.kernels import POINTS, Accepted, Entry
from bench.tuning.gpus import TUNED

CHILDREN = 4  # at most: each has torch and a compiler in memory, half a gigabyte
PART_LIMIT_S = 3600.0
DEATHS = 20  # of compilers; with one more, a part is given up

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
    job = KernelsJob(points, list(globs), absolute(paths), parts=min(cores(), CHILDREN))
    answers = _answers(job, progress)
    for answer in answers:
        if answer.status == "skipped":
            raise UnableError(f"this machine cannot compile kernels: {answer.reason}; `pip install 'triton>=3.6'`")
        if answer.status != "ok":
            raise WorkError(f"the kernels could not be compiled: {answer.status}: {answer.reason}")
    # a part has every n-th kernel; this restores the order of the plan
    rows = [(place, part, row) for part, answer in enumerate(answers) for place, row in enumerate(answer.data["rows"])]
    entries = [Entry.from_json(row) for _, _, row in sorted(rows, key=lambda row: row[:2])]
    first = answers[0].data
    record = Accepted(entries, first["triton"], this_commit(), f"{datetime.now(UTC):%Y-%m-%d}")
    return Compiled(record, first["unknown"])


def _answers(job: KernelsJob, progress: Progress) -> list[Answer[KernelsAnswer]]:
    parts: dict[int, tuple[int, int]] = {}  # number -> kernels done and in all
    lock, stop = Lock(), Event()

    def part(number: int) -> Answer[KernelsAnswer]:
        def part_progress(done: int, total: int, name: str) -> None:
            with lock:
                parts[number] = done, total
                if len(parts) == job.parts:  # before, the total is open
                    progress(sum(part[0] for part in parts.values()), sum(part[1] for part in parts.values()), name)

        def part_job(broken: dict[str, str]) -> KernelsJob:
            return replace(job, part=number, broken=broken)

        return work_through(part_job, PART_LIMIT_S, DEATHS, part_progress, stop=stop)

    with ThreadPoolExecutor(job.parts) as pool:
        try:
            return list(pool.map(part, range(job.parts)))
        except BaseException:  # leaving the pool waits for the children
            stop.set()
            raise
