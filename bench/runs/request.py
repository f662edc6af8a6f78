"""A typed job sent to a child, and its typed answer: an answer of another type is a crash, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from bench.runs import process
from bench.runs.process import Answer, Ask
from bench.runs.wire import A, Job, MessageError, parse_answer


def request(
    job: Job[A],
    limit_s: float,
    on_stage: Callable[[str], None] = lambda name: None,
    ask: Ask | None = None,
    **options: Any,
) -> Answer[A]:
    """Run `job` in a fresh process by `process.ask` with `options`, or by the `ask` given, and check its answer.

    An answer with a field of the wrong type becomes a crash, with no data.
    """
    answer = (ask or process.ask)(job.to_json(), limit_s, on_stage, **options)
    try:
        data = parse_answer(answer.data, job, whole=answer.status == "ok")
    except MessageError as error:
        return Answer("crash", f"its process answered with a wrong message: {error}", cast(A, {}), answer.wall_s)
    return Answer(answer.status, answer.reason, data, answer.wall_s)
