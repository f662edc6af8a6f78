"""A child that is played, and a small plan for it; and a machine of such children that take turns."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bench.plans.case import Case
from bench.plans.plan import parse_plan
from bench.runs.process import Answer

PLAN = parse_plan(
    """
why = "A test."
rounds = 3
[[group]]
why = "Cases that any machine runs, and one that a CPU does not."
model = "resnet18"
variant = "eager"
precision = ["fp32", "fp8"]
batch = [1, 2, 3, 4, 5, 6]
image = 64
""",
    "test",
    "test.toml",
)
GOOD: dict[str, Any] = {"latency_ns": [1, 2, 3], "throughput": {"images": 1, "ns": 1}}


class FakeChild:
    """Answers like a worker, as the test wants, and keeps what it was asked."""

    def __init__(self, answer: Callable[[dict[str, Any]], Answer] | None = None) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.answer = answer or (lambda job: Answer("ok", "", dict(GOOD), 1.0))

    def __call__(self, job: dict[str, Any], limit_s: float, stage: object) -> Answer:
        if job["job"] == "reference":
            return Answer("ok", "", {"paths": {"fp64": "x"}}, 1.0)
        self.jobs.append(job)
        return self.answer(job)


def names(child: FakeChild) -> list[str]:
    return [job["case"] for job in child.jobs]


def ok(**rest: Any) -> Answer:
    return Answer("ok", "", GOOD | rest, 1.0)


EAGER = Case("resnet18", "eager", "fp32", 1, 32, "stream")
FAST, SLOW, SAME = (replace(EAGER, variant=name) for name in ("onnxruntime", "library-fused", "channels-last-amp"))
LATE, LATER = (replace(EAGER, variant=name) for name in ("compile", "compile-max"))
NS = {
    "eager": 400,
    "onnxruntime": 100,
    "library-fused": 200,
    "channels-last-amp": 102,
    "compile": 50,
    "compile-max": 300,
}
MIB = 1 << 20


@dataclass
class Machine:
    """Played processes: a log of what they are told; windows last as NS says, and are disturbed as the test wants."""

    disturbed: Callable[[Case, int, int], bool] = lambda case, turn, take: False
    dies: dict[tuple[Case, int], str] = field(default_factory=dict)  # (case, turn) -> status; 0 as it prepares
    log: list[tuple[Case, int | None]] = field(default_factory=list)
    alive: set[Case] = field(default_factory=set)
    most_alive: int = 0
    noise: random.Random = field(default_factory=lambda: random.Random(1))

    @contextmanager
    def start(self, case: Case) -> Iterator[Any]:
        self.alive.add(case)
        self.most_alive = max(self.most_alive, len(self.alive))
        yield Played(case, self)
        self.alive.discard(case)

    def turns_of(self, case: Case) -> list[int]:
        return [turn for one, turn in self.log if one == case and turn is not None]


@dataclass
class Played:
    case: Case
    machine: Machine
    wall_s: float = 1.0
    status: str = ""
    windows: list[dict[str, Any]] = field(default_factory=list)

    def work(self, limit_s: float) -> dict[str, Any] | None:
        if self._dies(0):
            return None
        return self._words([])

    def go_on(self, command: dict[str, Any], limit_s: float) -> dict[str, Any] | None:
        turn = command["turn"]
        take = sum(window["turn"] == turn for window in self.windows)
        self.machine.log.append((self.case, turn))
        if turn is None:
            self.status = "ok"
            return None
        if self._dies(turn):
            return None
        ns = int(1e6 * NS[self.case.variant] * self.machine.noise.uniform(0.9, 1.1))
        window = {"turn": turn, "start_ns": len(self.machine.log), "images": 1000, "ns": ns}
        if self.machine.disturbed(self.case, turn, take):
            window["disturbed"] = "other work"
        self.windows.append(window)
        return self._words([window])

    def answer(self) -> Answer[Any]:
        self.machine.alive.discard(self.case)
        return Answer(self.status, "", self._words([])["so_far"], self.wall_s)

    def _words(self, windows: list[dict[str, Any]]) -> dict[str, Any]:
        ns = NS[self.case.variant]
        so_far = GOOD | {"latency_ns": [ns] * 9, "windows": list(self.windows)}
        so_far |= {"throughput": {"images": 1000, "ns": 1_000_000 * ns}} if self.windows else {}
        return {"p50_ns": float(ns), "resident_bytes": 100 * MIB, "windows": windows, "so_far": so_far}

    def _dies(self, turn: int) -> bool:
        self.status = self.machine.dies.pop((self.case, turn), self.status)
        return bool(self.status)
