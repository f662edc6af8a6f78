"""This machine's ceilings: a child measures them once, and a file for each machine keeps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import kinds
from bench.commands import command_line
from bench.errors import WorkError
from bench.files import ANOTHER, read_json, reading, write_json
from bench.machine.environment import device, hardware
from bench.machine.facts import Environment
from bench.machine.provenance import unreadable
from bench.records.fields import at
from bench.records.same import CEILINGS
from bench.records.typed import reader
from bench.runs.job import CeilingsJob, MeasurementRow
from bench.runs.process import ask, request
from kernels.cards import places
from resnet.floors import Ceilings

_read_fields, _read_environment = reader(Ceilings), reader(Environment)
FOLDER = places.ceilings_folder()
SCHEMA = 1
LIMIT_S = 600.0
NOISE_LIMIT = 0.1  # relative: a median further below the ceiling, or more time taken by others, means a busy machine

# The fields of the environment that tell two machines' ceilings apart: paths into it, by device.
PREFIXES = {"cuda": "environment.gpu.", "cpu": "environment.cpu."}
IDENTITY_PATHS = {
    where: [row.paths[0].split(".")[1:] for row in CEILINGS if row.paths[0].startswith(prefix)]
    for where, prefix in PREFIXES.items()
}


def machine_name(facts: Environment) -> str:
    """Return the name of the GPU, or of the CPU with its number of cores."""
    cpu = facts["cpu"]
    return hardware(device(facts), facts["gpu"].get("name"), cpu.get("name"), cpu.get("cores"))


def path_of(facts: Environment, folder: Path = FOLDER) -> Path:
    """Return the file of a machine: its name, and a digest of what tells it apart from others of that name."""
    values = {path[-1]: at(facts, path) for path in IDENTITY_PATHS[device(facts)]}
    identity = json.dumps({key: None if unreadable(value) else value for key, value in values.items()}, sort_keys=True)
    return folder / f"{places.slug(machine_name(facts))}-{hashlib.sha256(identity.encode()).hexdigest()[:6]}.json"


def load_ceilings(facts: Environment, folder: Path = FOLDER) -> Ceilings | None:
    """Return the ceilings of the machine that `facts` (`bench.machine.environment`) describe; None if not measured.

    Raises StoreError for a file that is damaged or of a newer schema.
    """
    path = path_of(facts, folder)
    return read_ceilings(path) if path.exists() else None


def read_ceilings(path: Path) -> Ceilings:
    """Read the ceilings from a file. Raises StoreError for a file that is damaged or of a newer schema."""
    cure = f"measure again: {command_line('ceilings', '--force', '-o', path)}"
    with reading(path, kinds.CEILINGS, cure):
        data = read_json(path, SCHEMA)
        names = ("machine", "flops", "bandwidth", "l2", "launch_s", "source", "provenance", "cache")
        ceilings: Ceilings = _read_fields({name: data[name] for name in names})
        if environment := ceilings.provenance.get("environment"):
            reason_outdated(ceilings, _read_environment(environment))  # needs what names the machine
        return ceilings


def save_ceilings(ceilings: Ceilings, path: Path) -> None:
    """Write the file atomically. Raises StoreError where that fails."""
    write_json(path, {"schema": SCHEMA} | asdict(ceilings), ANOTHER)


def reason_outdated(ceilings: Ceilings, facts: Environment) -> str:
    """Return why the ceilings should be measured again on the machine of `facts`; empty if they need not be."""
    measured_on = ceilings.provenance.get("environment")
    if not measured_on:
        return "the file does not say on which machine it was measured"
    measured_torch, torch = (environment["packages"].get("torch") for environment in (measured_on, facts))
    if measured_torch != torch:
        return f"measured with torch {measured_torch}, and here is {torch}"
    if path_of(measured_on).name != path_of(facts).name:
        return f"measured on {ceilings.machine}, which is another machine than this"
    return ""


def measure_ceilings(
    facts: Environment, tell: Callable[[str], None] = lambda stage: None, quick: bool = False
) -> Ceilings:
    """Measure the ceilings of this machine in a child; `tell` receives the stages.

    `quick` takes seconds and only shows that measuring works: its numbers are too low. Raises WorkError.
    """
    where = device(facts)
    answer = request(CeilingsJob(where, facts["cpu"]["flags"], quick), LIMIT_S, tell, ask)
    if answer.status != "ok":
        raise WorkError(f"the ceilings could not be measured: {answer.status}: {answer.reason}")
    fastest = fastest_measurements(answer.data["measurements"])
    flops = {row["precision"]: row["rate"] for row in fastest if row["what"] == "matmul"}
    if where == "cpu":  # without fp16 arithmetic a CPU converts, and computes at the rate of fp32
        flops.setdefault("fp16", flops["fp32"])
    rates = {row["what"]: row["rate"] for row in fastest}
    launches_per_s = next((row["rate"] for row in fastest if (row["what"], row["how"]) == ("launch", "graph")), None)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    launch_s, provenance = 1 / launches_per_s if launches_per_s else 0.0, {"date": date, "environment": facts}
    measured = (flops, rates["copy"], rates["cached copy"], launch_s)
    return Ceilings(machine_name(facts), *measured, "measured", provenance | answer.data, answer.data["cache_bytes"])


def fastest_measurements(measurements: Iterable[MeasurementRow]) -> list[MeasurementRow]:
    """Return the fastest measurement of each precision's matmul, of copies, of cached copies and of each launch."""
    fastest: dict[tuple[str, str], MeasurementRow] = {}
    for row in measurements:
        key = (row["what"], row["how"] if row["what"] == "launch" else row["precision"])
        if key not in fastest or row["rate"] > fastest[key]["rate"]:
            fastest[key] = row
    return list(fastest.values())


def noise_warnings(ceilings: Ceilings) -> list[str]:
    """Return a sentence for each sign that the machine was busy while the ceilings were measured."""
    provenance = ceilings.provenance
    warnings = []
    for row in fastest_measurements(provenance["measurements"]):
        if row["spread"] > NOISE_LIMIT:
            name = f"{row['precision']} {row['what']}".strip()
            warnings.append(f"{name}: half of the samples were more than {row['spread']:.0%} below its ceiling")
    watch = provenance["watch"]
    for name, who in (("steal", "the hypervisor gave to others"), ("others", "other work here took")):
        if watch.get(name, 0) > NOISE_LIMIT:
            warnings.append(f"{watch[name]:.0%} of the processor time {who}")
    return warnings + [f"the GPU slowed itself down: {reason}" for reason in watch.get("reasons", {})]
