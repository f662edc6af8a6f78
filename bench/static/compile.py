"""All kernels of some networks, compiled by children at once for architectures that need not be here.

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
from bench.machine.environment import cpu
from bench.machine.provenance import this_commit
from bench.runs.kernel_jobs import KernelsAnswer, KernelsJob
from bench.runs.process import Answer
from bench.static.children import Told, work_through
from bench.static.kernels import POINTS, Accepted, Entry
from bench.tuning.gpus import TUNED

CHILDREN = 4  # at most: each holds torch and a compiler, half a gigabyte
PART_LIMIT_S = 3600.0
DEATHS = 20  # of compilers, before a part is given up

ARCHS = {f"sm_{arch}": arch for arch in POINTS}


@dataclass(frozen=True)
class Compiled:
    """`unknown`: cards that tables have configurations for and the table of cards does not know, which are left out."""

    record: Accepted
    unknown: list[str]


def archs_of(text: str) -> list[int]:
    """`sm_80,sm_90` as [80, 90]. Raises ArgumentError for an architecture that nothing is compiled for."""
    words = text.split(",")
    for word in words:
        if word not in ARCHS:
            raise ArgumentError(f"unknown architecture {word!r}; allowed: {', '.join(ARCHS)}")
    return [arch for name, arch in ARCHS.items() if name in words]


def tuned_tables() -> list[Path]:
    """The tables of measured configurations that this checkout has."""
    return sorted(TUNED.glob("*.json"))


def absolute(paths: Iterable[Path]) -> list[str]:
    """Files as a child is told them, which may run in another folder."""
    return [str(path.absolute()) for path in paths]


def compile_kernels(
    archs: Iterable[int],
    globs: Sequence[str] = (),
    tables: Iterable[Path] | None = None,
    told: Told = lambda done, total, name: None,
) -> Compiled:
    """Compile every kernel that the layers of the watched networks run.

    `archs` are compute capabilities as 90; of layers only those that match a glob, if there are any; configurations
    are those of `tables`, by default this checkout's. The record is empty if no layer matches. Raises UnableError where
    this machine cannot compile, WorkError where children fail as a whole, and KeyboardInterrupt once all are ended.
    """
    paths = tuned_tables() if tables is None else tables
    points = {str(arch): list(POINTS[arch]) for arch in archs}
    job = KernelsJob(points, list(globs), absolute(paths), parts=min(cpu()["cores"], CHILDREN))
    answers = _answers(job, told)
    for answer in answers:
        if answer.status == "skipped":
            raise UnableError(f"this machine cannot compile kernels: {answer.reason}; `pip install 'triton>=3.6'`")
        if answer.status != "ok":
            raise WorkError(f"the kernels could not be compiled: {answer.status}: {answer.reason}")
    # a part has every n-th kernel: in the order of the plan
    rows = [(place, part, row) for part, answer in enumerate(answers) for place, row in enumerate(answer.data["rows"])]
    entries = [Entry.of(row) for _, _, row in sorted(rows, key=lambda row: row[:2])]
    first = answers[0].data
    record = Accepted(entries, first["triton"], this_commit(), f"{datetime.now(UTC):%Y-%m-%d}")
    return Compiled(record, first["unknown"])


def _answers(job: KernelsJob, told: Told) -> list[Answer[KernelsAnswer]]:
    """What children answer at once, each of its part."""
    total, stop = _Total(job.parts, told), Event()

    def part(number: int) -> Answer[KernelsAnswer]:
        def mine(done: int, total_of_part: int, name: str) -> None:
            total.add(number, done, total_of_part, name)

        def of_part(broken: dict[str, str]) -> KernelsJob:
            return replace(job, part=number, broken=broken)

        return work_through(of_part, PART_LIMIT_S, DEATHS, mine, stop=stop)

    with ThreadPoolExecutor(job.parts) as pool:
        try:
            return list(pool.map(part, range(job.parts)))
        except BaseException:  # leaving the pool waits for the children
            stop.set()
            raise


class _Total:
    """How many kernels are compiled by all children together, once each has said how many it has."""

    def __init__(self, children: int, told: Told) -> None:
        self.children, self.told = children, told
        self.parts: dict[int, tuple[int, int]] = {}
        self.lock = Lock()

    def add(self, part: int, done: int, total: int, name: str) -> None:
        with self.lock:
            self.parts[part] = done, total
            if len(self.parts) == self.children:
                finished, planned = zip(*self.parts.values(), strict=True)
                self.told(sum(finished), sum(planned), name)
