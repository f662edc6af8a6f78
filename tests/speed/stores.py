"""Made-up stores of records, from a seed: the lines of this checkout's quick sweep at other commits, with noise."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

SWEEP = Path(__file__).parents[2] / "results/cpu-quick/records.jsonl"
SAMPLES = ("latency_ns", "gpu_ns", "flushed_ns", "flushed_gpu_ns")
STEP = 1.08  # by which every fourth case gets slower, half way
UPGRADE = "2.14.0+cpu"  # torch from three quarters of the commits on
NOISE = 0.01  # standard deviation of a process's times, and of a sample's within it


@cache
def measured() -> list[dict[str, Any]]:
    """The records of the quick sweep that have a speed: 22 cases."""
    return [record for line in SWEEP.read_text().splitlines() if (record := json.loads(line))["status"] == "ok"]


def commit(number: int) -> str:
    """Return the full name of a made-up commit."""
    return hashlib.sha1(str(number).encode()).hexdigest()


def another(record: dict[str, Any], draw: np.random.Generator, slower: float, **changes: Any) -> dict[str, Any]:
    """Return a record of another process: its times are `slower` times as long, but for noise."""
    level = slower * np.exp(draw.normal(0, NOISE))
    made = record | changes
    for name in SAMPLES:
        samples = np.array(record[name]) * level * np.exp(draw.normal(0, NOISE, len(record[name])))
        made[name] = samples.astype(int).tolist()
    made["windows"] = [window | {"ns": int(window["ns"] * level)} for window in record["windows"]]
    made["throughput"] = record["throughput"] | {"ns": int(record["throughput"]["ns"] * level)}
    return made


def write_nightly(store: Path, commits: int, rounds: int = 1) -> int:
    """Write a folder a commit with the cases of the quick sweep, as nightly runs leave them; returns the records."""
    draw = np.random.default_rng(0)
    for number in range(commits):
        sweep = []
        for turn, (place, record) in product(range(rounds), enumerate(measured())):
            slower = STEP if place % 4 == 0 and number >= commits // 2 else 1.0
            started = datetime.fromisoformat(record["started"]) + timedelta(days=number, hours=turn)
            environment = record["environment"] | {"git": record["environment"]["git"] | {"sha": commit(number)}}
            if number >= commits * 3 // 4:
                environment["packages"] = environment["packages"] | {"torch": UPGRADE}
            changes = {"round": turn, "started": started.isoformat(), "environment": environment}
            sweep.append(another(record, draw, slower, **changes))
        _write(store / f"{number:04d}", sweep)
    return commits * rounds * len(measured())


def write_sweep(folder: Path, records: int, rounds: int = 5) -> int:
    """Write one folder of about so many records: models and batches times the ways of the quick sweep, in rounds."""
    draw = np.random.default_rng(0)
    models = [f"resnet{depth}{version}" for version in ("", "v1", "v2") for depth in (18, 34, 50, 101, 152)]
    one_batch = [record for record in measured() if "/b1/" in record["case"]]
    groups = list(product(models, (1, 2, 4, 8, 16, 32, 64, 128)))[: max(1, records // rounds // len(one_batch))]
    sweep = []
    for turn, (place, (model, batch)), record in product(range(rounds), enumerate(groups), one_batch):
        case = record["case"].replace("resnet50", model).replace("/b1/", f"/b{batch}/")
        started = datetime.fromisoformat(record["started"]) + timedelta(hours=turn, minutes=place)
        sweep.append(another(record, draw, 1 + place / 4, case=case, round=turn, started=started.isoformat()))
    _write(folder, sweep)
    return len(sweep)


def _write(folder: Path, records: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    lines = (json.dumps(record, separators=(",", ":")) + "\n" for record in records)
    (folder / "records.jsonl").write_text("".join(lines))
