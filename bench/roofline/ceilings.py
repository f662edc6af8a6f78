"""This machine's ceilings: measured once by a child, kept in a file of the machine's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import WorkError
from bench.files import ANOTHER, read_json, reading, write_json
from bench.machine.environment import device, hardware
from bench.machine.facts import Environment
from bench.records.fields import at
from bench.records.same import CEILINGS
from bench.runs.job import CeilingsJob, MeasurementRow
from bench.runs.process import ask
from bench.runs.request import request
from kernels.cards import places
from resnet.floors import Ceilings

FOLDER = places.ceilings_folder()
SCHEMA = 1
LIMIT_S = 600.0
NOISY = 0.1  # a median so far below the rate that is told: something else was running

# What of the environment makes two machines' ceilings different: paths into it, by where cases run.
PARTS = {"cuda": "environment.gpu.", "cpu": "environment.cpu."}
IDENTITY = {
    where: [row.paths[0].split(".")[1:] for row in CEILINGS if row.paths[0].startswith(part)]
    for where, part in PARTS.items()
}


def machine_name(facts: Environment) -> str:
    """A GPU's name, or a CPU's with its cores."""
    cpu = facts["cpu"]
    return hardware(device(facts), facts["gpu"].get("name"), cpu.get("name"), cpu.get("cores"))


def path_of(facts: Environment, folder: Path = FOLDER) -> Path:
    """The file of a machine: its name, and a digest of what tells it from others of that name."""
    identity = json.dumps({path[-1]: at(facts, path) for path in IDENTITY[device(facts)]}, sort_keys=True)
    return folder / f"{places.slug(machine_name(facts))}-{hashlib.sha256(identity.encode()).hexdigest()[:6]}.json"


def load_ceilings(facts: Environment, folder: Path = FOLDER) -> Ceilings | None:
    """The ceilings measured on the machine that `facts` (`bench.machine.environment`) describe; None if they never
    were.

    Raises StoreError for a file that is damaged or of a newer schema.
    """
    path = path_of(facts, folder)
    return read(path) if path.exists() else None


def read(path: Path) -> Ceilings:
    """Raises StoreError."""
    cure = "remove it, or measure again: bench ceilings --force"
    with reading(path, "file of ceilings", cure):
        data = read_json(path, SCHEMA)
        names = ("machine", "flops", "bandwidth", "l2", "launch_s", "source", "provenance", "cache")
        return Ceilings(**{name: data[name] for name in names})


def save(ceilings: Ceilings, path: Path) -> None:
    """Whole or not at all. Raises StoreError where it cannot be written."""
    write_json(path, {"schema": SCHEMA} | asdict(ceilings), ANOTHER)


def outdated(ceilings: Ceilings, facts: Environment) -> str:
    """Why they should be measured again on the machine of `facts`; empty if they need not be."""
    was, now = (told["packages"].get("torch") for told in (ceilings.provenance["environment"], facts))
    if was != now:
        return f"measured with torch {was}, and here is {now}"
    if path_of(ceilings.provenance["environment"]).name != path_of(facts).name:
        return f"measured on {ceilings.machine}, which is another machine than this"
    return ""


def measure(facts: Environment, tell: Callable[[str], None] = lambda stage: None, quick: bool = False) -> Ceilings:
    """Measure them here, in a child; `quick` tells no more than that it works, in seconds. Raises WorkError."""
    where = device(facts)
    answer = request(CeilingsJob(where, facts["cpu"]["flags"], quick), LIMIT_S, tell, ask)
    if answer.status != "ok":
        raise WorkError(f"the ceilings could not be measured: {answer.status}: {answer.reason}")
    told = answer.data
    found = told["measurements"]
    flops = {one["precision"]: one["rate"] for one in best(found) if one["what"] == "matmul"}
    # What a CPU has no arithmetic for it converts, and computes at the rate of fp32.
    flops |= {name: flops["fp32"] for name in ("fp16",) if where == "cpu" and name not in flops}
    rates = {(one["what"], one["how"]): one["rate"] for one in best(found)}
    by_what = {what: rate for (what, _), rate in rates.items()}
    launch = next((rate for (what, how), rate in rates.items() if (what, how) == ("launch", "graph")), None)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Ceilings(
        machine_name(facts),
        flops,
        by_what["copy"],
        by_what["cached copy"],
        1 / launch if launch else 0.0,
        "measured",
        {"date": date, "environment": facts, **told},
        told["cache_bytes"],
    )


def best(measurements: Iterable[MeasurementRow]) -> list[MeasurementRow]:
    """The best measurement of each precision's products, of copies, of cached copies; both of launches."""
    found: dict[tuple[str, str], MeasurementRow] = {}
    for one in measurements:
        key = (one["what"], one["how"] if one["what"] == "launch" else one["precision"])
        if key not in found or one["rate"] > found[key]["rate"]:
            found[key] = one
    return list(found.values())


def noisy(ceilings: Ceilings) -> list[str]:
    """What says that the machine was not quiet while they were measured, a sentence each."""
    provenance = ceilings.provenance
    found = []
    for one in best(provenance["measurements"]):
        if one["spread"] > NOISY:
            name = f"{one['precision']} {one['what']}".strip()
            found.append(f"{name}: half of the samples were more than {one['spread']:.0%} below its ceiling")
    watch = provenance["watch"]
    for name, who in (("steal", "the hypervisor gave to others"), ("others", "other work here took")):
        if watch.get(name, 0) > NOISY:
            found.append(f"{watch[name]:.0%} of the processor time {who}")
    found += [f"the GPU slowed itself down: {reason}" for reason in watch.get("reasons", {})]
    return found
