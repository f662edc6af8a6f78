"""The facts of cases, counted by a child that sees no GPU."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from bench.errors import UnableError, WorkError
from bench.files import owned_folder
from bench.machine.provenance import this_commit
from bench.plans.case import Case
from bench.runs.job import MODELS_OWN
from bench.runs.kernel_jobs import FactsJob
from bench.runs.process import Home
from bench.static.cases import Counted, Facts
from bench.static.children import Progress, work_through
from resnet.names import Build

LIMIT_S = 1800.0
DEATHS = 5  # of children; with one more, the rest is given up


def count_cases(
    cases: Iterable[Case],
    progress: Progress = lambda done, total, name: None,
    module: str = "bench.worker",
    build: Build = MODELS_OWN,
) -> Facts:
    """Count the facts of cases, whose models have the classes and channels of `build`.

    A case that kills the child fails, and a new child goes on.
    Raises UnableError where this machine cannot count, WorkError where the child fails as a whole.
    """
    names = [case.name for case in cases]
    with owned_folder("counts") as exports:
        home = Home(variables={"CUDA_VISIBLE_DEVICES": "", "RESNET_COMPILED": str(exports)})
        answer = work_through(lambda broken: FactsJob(names, broken, build), LIMIT_S, DEATHS, progress, module, home)
    if answer.status == "skipped":
        raise UnableError(f"this machine cannot count: {answer.reason}")
    if answer.status != "ok":
        raise WorkError(f"nothing could be counted: {answer.status}: {answer.reason}")
    counted = {name: Counted.from_json(data) for name, data in answer.data["cases"].items()}
    return Facts(counted, answer.data["environment"], this_commit(), f"{datetime.now(UTC):%Y-%m-%d}")
