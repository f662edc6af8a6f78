"""The table of jobs: each row's function does the job that the row reads, and answers what the job says."""

from __future__ import annotations

import os
from pkgutil import resolve_name
from typing import Any, get_args, get_type_hints

import pytest

from bench.runs.process import ask
from bench.runs.wire import Job
from bench.worker.__main__ import JOBS, ROWS, Row, answer_job

pytest.importorskip("triton")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.job.name} {row.job.what}".strip())
def test_a_row_s_function_is_the_job_s(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", os.environ.get("TRITON_INTERPRET", "0"))
    hints = get_type_hints(resolve_name(row.function), globalns=None)
    assert issubclass(row.job, hints["job"])
    assert hints["job"] is not Job
    returned = hints["return"]
    assert row.job.answer in (get_args(returned) or (returned,))


def test_no_job_has_two_rows() -> None:
    assert len(JOBS) == len(ROWS)


def test_what_is_no_job_is_told() -> None:
    stages: list[str] = []
    with pytest.raises(ValueError, match="model_name"):
        answer_job({"job": "reference"}, stages.append)
    assert stages == ["reference"]


def test_a_job_as_earlier_commits_write_it_is_done() -> None:
    """`bench ab` has this worker run by another commit's parent."""
    stages: list[str] = []
    made: dict[str, Any] = {"model_name": "resnet18", "image": 32, "count": 2, "precisions": ["fp32"]}
    made |= {"job": "reference", "device": "cpu", "seed": 0, "source": "noise"}
    answer = ask(made, 300, stages.append)
    assert (answer.status, sorted(answer.data["paths"])) == ("ok", ["fp32", "fp64", "layers"])
    settings = {"warmup_s": 0.0, "warmup_limit_s": 0.0, "latency_s": 0.0, "latency_limit_s": 0.0, "samples": 3}
    settings |= {"throughput_s": 0.0, "buffers": 2}
    case = {"job": "case", "case": "resnet18/eager/fp32/b1/i32/stream", "settings": settings, "device": "cpu"}
    case |= {"seed": 0, "source": "noise", "reference": answer.data["paths"], "caches": ""}
    count = {"count": 3}
    answer = ask(made | count, 300)
    stages.clear()
    answer = ask(case | {"reference": answer.data["paths"]}, 300, stages.append)
    assert answer.status == "ok", answer.reason
    assert stages == ["import", "build", "prepare", "first call", "gate", "measure", "gate", "score"]
    assert len(answer.data["latency_ns"]) >= 3
    cold = answer.data["cold"]
    assert set(cold) == {"import_s", "build_s", "prepare_s", "place_s", "first_call_s", "artefact", "caches"}
    assert cold["artefact"]["kind"] == "state dict"
    assert cold["artefact"]["bytes"] > answer.data["details"]["weights_bytes"]
    assert cold["artefact"]["load_s"] > cold["prepare_s"]
