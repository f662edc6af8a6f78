"""`bench capacity --real`: a load served here, beside what its simulation says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.cli.console import FAILED, UNABLE, err, out, print_json, stop, tell
from bench.errors import CaseError
from bench.machine.environment import device, environment
from bench.plans.case import Case
from bench.plans.choose import not_an_input
from bench.plans.eligible import why_not
from bench.records.store import load as load_records

if TYPE_CHECKING:
    from bench.records.record import Record
    from bench.runs.job import LoadJob


def records(folder: Path) -> list[Record]:
    """The records of a folder; lines that could not be read are told."""
    sound, damage = load_records([folder])
    for line in damage:
        tell(f"bench: {line}")
    return sound


def asked(
    name: str, folder: Path | None, rate: float | None, seconds: float, wait_ns: float, source: str, seed: int
) -> LoadJob:
    """What is to be served, from the words of the command; ends it where this machine cannot."""
    from bench.runs.job import LoadJob
    from bench.serving.check import default_batches

    case, facts = Case.parse(name), environment()
    if case.largest:
        raise CaseError(f"--real serves batches up to one size: write b8, say, for bmax in {case.name}")
    if reason := why_not(case, facts):
        stop(f"this machine cannot run {case.name}: {reason}", UNABLE)
    if reason := not_an_input(source):
        raise typer.BadParameter(reason)
    sizes = tuple(sorted(_recorded(case, folder))) if folder else default_batches(case.batch)
    return LoadJob(case, sizes, rate, seconds, wait_ns, device(facts), source, seed)


def _recorded(case: Case, folder: Path) -> dict[int, list[float]]:
    from bench.serving.groups import matching_records
    from bench.serving.real_text import recorded_times

    return recorded_times(case, matching_records(records(folder), folder, None), folder)


def real(request: LoadJob, folder: Path | None, as_json: bool) -> None:
    """Serve the load and print it beside its predictions."""
    from bench.serving.check import serve_load
    from bench.serving.real_text import predictions_by_source, print_load

    with err.status("start") as status:
        answer = serve_load(request, lambda stage: status.update(f"{request.case.name}: {stage}"))
    if answer.status != "ok":
        stop(f"{request.case.name}: {answer.status}: {answer.reason}", FAILED)
    data = answer.data
    predictions = predictions_by_source(request, data, _recorded(request.case, folder) if folder else None)
    if as_json:
        plain = {
            name: [asdict(number) | {"error": number.error} for number in numbers]
            for name, numbers in predictions.items()
        }
        print_json({"case": request.case.name, "batches": request.sizes, "predicted": plain, **data})
        return
    print_load(out, request, data, predictions)
