"""Records as docs/FORMAT.md has them, written line by line: what a sweep of the simulated machine would have left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from tests.noise.machine import Floats, Shape, Sweep

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
MILLISECOND = 1_000_000
MACHINE = {"cpu": {"name": "Simulated", "cores": 2}, "gpu": {"none": "a simulation has none"}}
SHAS = ("b" * 40, "c" * 40)
"""Commits of base and head that no checkout has."""


def name(case: int) -> str:
    """Return the name of the case with this number, from 0 on."""
    return f"resnet18/eager/fp32/b{case + 1}/i64/stream"


def record(
    case: str, turn: int, start_s: float, latency_ns: Iterable[float], images_per_s: Iterable[float], sha: str
) -> dict[str, Any]:
    """Return an `ok` record of a process that started `start_s` seconds after the simulation's epoch.

    `turn` is its round, `images_per_s` are the rates of its throughput windows of 1000 images each.
    """
    rates = sorted(images_per_s)
    windows = [
        {"turn": 0, "start_ns": int((start_s + i) * 1e9), "images": 1000, "ns": round(1e12 / rate)}
        for i, rate in enumerate(rates)
    ]
    return {
        "schema": 6,
        "case": case,
        "round": turn,
        "status": "ok",
        "order": 0,
        "device": "cpu",
        "started": (BEGIN + timedelta(seconds=start_s)).isoformat(timespec="seconds"),
        "wall_s": 15.0,
        "latency_ns": [round(sample) for sample in latency_ns],
        "throughput": {key: windows[(len(windows) - 1) // 2][key] for key in ("images", "ns")} if windows else {},
        "windows": windows,
        "throttled": {},
        "environment": {**MACHINE, "git": {"sha": sha, "dirty": False}},
    }


def throttle(one: dict[str, Any], share: float, marked: bool) -> dict[str, Any]:
    """Return a record of which each throughput window was throttled for `share` of its time, at 60 % of the speed then.

    Latency was sampled before, on a machine that did not throttle. With `marked` each window says so; else the sum of
    the seconds alone does.
    """
    slower = 1 + share * (1 / 0.6 - 1)
    for window in one["windows"]:
        window["ns"] = round(window["ns"] * slower)
        if marked:
            window["disturbed"] = "thermal"
    one["throughput"]["ns"] = round(one["throughput"]["ns"] * slower)
    one["throttled"] = {"throughput_s": share * sum(window["ns"] for window in one["windows"]) / 1e9}
    return one


def sides(rng: Generator, shape: Shape, ran: Sweep, effect: Floats | None = None) -> Iterator[list[dict[str, Any]]]:
    """Yield the records of base, then of head, in the order in which they ran.

    Seven latency samples differ by 0.2 % within a process, and three windows by 0.1 %. `effect`, of shape [case], is
    the log time that head's code adds.
    """
    _, _, rounds, cases = ran.slow.shape
    base_ns = MILLISECOND * (1 + np.arange(cases) % 7)  # cases differ in what they take
    slow = ran.slow.copy()
    if effect is not None:
        slow[:, 1] += effect
    samples = base_ns[:, None] * np.exp(slow[0, ..., None] + 0.002 * rng.standard_normal((2, rounds, cases, 7)))
    rates = 1e9 / base_ns[:, None] * np.exp(-slow[1, ..., None] + 0.001 * rng.standard_normal((2, rounds, cases, 3)))
    for side in range(2):
        lines = []
        for at in np.argsort(ran.starts[side], axis=None):
            turn, case = divmod(int(at), cases)
            start = float(ran.starts[side, turn, case])
            one = record(name(case), turn, start, samples[side, turn, case], rates[side, turn, case], SHAS[side])
            lines.append(throttle(one, shape.throttled, shape.marked) if side and shape.throttled else one)
        yield lines


def write(folder: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """Write a results folder, which is made, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (folder / "records.jsonl").write_text(text)
    return folder
