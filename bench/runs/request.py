"""A job asked of a child, and its answer read: what comes of another kind than was agreed is a crash, told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from bench.runs import process
from bench.runs.process import Answer, Ask
from bench.runs.wire import A, Job, MessageError, answer_of


def request(
    job: Job[A],
    limit_s: float,
    stage: Callable[[str], None] = lambda name: None,
    by: Ask | None = None,
    **how: Any,
) -> Answer[A]:
    """Have `job` done in a fresh process, as `process.ask` does with `how`.

    An answer of another kind than agreed is a crash, with no data.
    `by` is used in place of it: one that runs another commit's code, say.
    """
    answer = (by or process.ask)(job.plain(), limit_s, stage, **how)
    try:
        data = answer_of(answer.data, job, whole=answer.status == "ok")
    except MessageError as error:
        return Answer("crash", f"what its process answered is not what was agreed: {error}", cast(A, {}), answer.wall_s)
    return Answer(answer.status, answer.reason, data, answer.wall_s)
