"""`bench capacity --real`: real requests served here, compared with their simulation."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.console import read_records, spinner, stop
from bench.cli.tables import console_for, print_csv, print_json
from bench.errors import FAILED, CaseError
from bench.machine.environment import device, environment
from bench.plans.case import Case
from bench.plans.choose import check_case, check_input, resolve_build
from resnet.names import Build

if TYPE_CHECKING:
    from bench.runs.job import LoadJob

Recorded = dict[int, list[float]]  # latencies of a case's service, by batch


def load_job(
    name: str,
    folder: Path | None,
    rate: float | None,
    seconds: float,
    wait_ns: float,
    source: str,
    seed: int,
    to: Build,
) -> tuple[LoadJob, Recorded | None]:
    """Return the load that the options describe, and what `folder` has of it; end the command where it cannot run."""
    from bench.runs.job import LoadJob
    from bench.serving.check import default_batches
    from bench.serving.groups import measured_records
    from bench.serving.real_text import recorded_times

    case, env = Case.parse(name), environment()
    if case.largest:
        raise CaseError(f"--real serves batches up to one size: write b8, say, for bmax in {case.name}")
    check_case(case, env)
    check_input(source)
    records = measured_records(read_records([folder]), folder) if folder else []
    recorded = recorded_times(case, records, folder) if folder else None
    sizes = tuple(sorted(recorded)) if recorded else default_batches(case.batch)
    return LoadJob(case, sizes, rate, seconds, wait_ns, device(env), source, seed, build=resolve_build(to)), recorded


def serve(request: LoadJob, recorded: Recorded | None, as_json: bool, as_csv: bool, as_markdown: bool) -> None:
    """Serve the load, and print what was measured beside its predictions."""
    from bench.serving.check import serve_load
    from bench.serving.real_text import predictions_by_source, print_load

    with spinner("start") as status:
        answer = serve_load(request, lambda stage: status.update(f"{request.case.name}: {stage}"))
    if answer.status != "ok":
        stop(f"{request.case.name}: {answer.status}: {answer.reason}", FAILED)
    data = answer.data
    predictions = predictions_by_source(request, data, recorded)
    if as_json:
        rows = {name: [asdict(line) | {"error": line.error} for line in group] for name, group in predictions.items()}
        print_json({"case": request.case.name, "batches": request.sizes, "predicted": rows, **data})
    elif as_csv:
        print_csv(
            {"case": request.case.name, "predicted_from": name} | asdict(line) | {"error": line.error}
            for name, group in predictions.items()
            for line in group
        )
    else:
        print_load(console_for(as_markdown), request, data, predictions)
