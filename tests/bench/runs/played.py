"""A child that is played, and a small plan for it."""

from collections.abc import Callable
from typing import Any

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
