"""Variants from outside through a real sweep: each ends as a record, which can be read where the code is not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.machine.environment import environment
from bench.plans.case import Case
from bench.plans.plan import ONCE, Settings, parse_plan
from bench.records.record import Record
from bench.records.store import Store
from bench.report.page.document import render_page
from bench.runs.process import Answer
from bench.runs.sweep import Sweep
from bench.worker.__main__ import answer_job
from bench.worker.failure import describe_failure
from bench.worker.static.count import count_case
from resnet.code import CodeError, Unserved

CODE = """
def prepare(module, example):
    return module

def rounds(module, example):
    return lambda x: module(x).bfloat16().float()

def tuple_(module, example):
    return lambda x: (module(x),)

def fails(module, example):
    return lambda x: module(x[:, :2])

def only_bf16(module, example):
    raise AssertionError("never called")

only_bf16.precisions = ["bf16"]
"""


def here(job: dict[str, Any], limit_s: float, stage: Callable[[str], None], **_: object) -> Answer[Any]:
    """The child's work in this process, which has torch imported anyway."""
    try:
        data = dict(answer_job(job, stage))
    except Exception as error:
        data = dict(describe_failure(error))
    return Answer(data.pop("status"), data.pop("reason", ""), data, 0.0)


NAMES = ("prepare", "rounds", "tuple_", "fails", "only_bf16")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The records of a sweep over the functions above, from the folder that has them; by their names."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "swept.py").write_text(CODE)
    sys.modules.pop("swept", None)
    names = [f"swept:{name}" for name in NAMES] + ["absent:prepare"]
    text = f"""
why = "Code from outside."
[[group]]
why = "Each ends in another way."
model = "resnet18"
variant = {json.dumps(names)}
precision = "fp32"
batch = 1
image = 32
"""
    settings = Settings(**(ONCE | {"samples": 6, "throughput_s": 0.01, "steal": 1.0}))  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        plan = replace(parse_plan(text, "outside", "outside"), settings=settings)
        patch.setattr(sys, "path", list(sys.path))
        sweep = Sweep(plan, Store(folder / "out"), environment(), source="noise", ask=here)
        return {record.case.variant.removeprefix("swept:"): record for record in sweep.run()}


def test_a_right_one_is_measured_and_its_code_is_on_record(records: dict[str, Record]) -> None:
    record = records["prepare"]
    assert record.status == "ok", record.reason
    assert record.latency_ns
    assert record.case.name == "resnet18/swept:prepare/fp32/b1/i32/stream"
    assert (record.details["code_file"], len(record.details["code"])) == ("swept.py", 64)


@pytest.mark.parametrize(
    ("name", "status", "sentence"),
    [
        ("rounds", "wrong", "times that of plain torch"),
        ("tuple_", "error", "swept.py: a call returned a tuple, and not a tensor of logits [N, classes]"),
        ("fails", "error", f"(swept.py:{CODE.splitlines().index('    return lambda x: module(x[:, :2])') + 1})"),
        ("only_bf16", "skipped", "swept:only_bf16 serves the precisions bf16 alone, says swept.py:"),
        ("absent:prepare", "skipped", "there is no module absent in the folder"),
    ],
)
def test_the_others_have_no_speed_and_a_sentence(
    name: str, status: str, sentence: str, records: dict[str, Record]
) -> None:
    record = records[name]
    assert (record.status, record.latency_ns) == (status, [])
    assert sentence in record.reason


def test_records_are_shown_where_the_code_is_not(
    records: dict[str, Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "copied")
    with store.writing():
        for record in records.values():
            store.append(record)
    assert {record.case.variant for record in store.read()} == {record.case.variant for record in records.values()}
    page = render_page([store.folder])
    assert "swept:prepare" in page
    assert "serves the precisions bf16 alone" in page


def test_what_code_from_outside_launches_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counted_code.py").write_text(CODE)
    mine, eager = (
        count_case(Case.parse(f"resnet18/{variant}/fp32/b1/i32/stream"))
        for variant in ("counted_code:prepare", "eager")
    )
    assert not mine.failed
    assert mine.facts["launches"] == eager.facts["launches"]


def test_a_failure_is_skipped_for_what_is_not_served_and_a_sentence_for_code() -> None:
    failures: list[Any] = [describe_failure(error) for error in (Unserved("bf16 alone"), CodeError("mine.py: no"))]
    assert failures == [{"status": "skipped", "reason": "bf16 alone"}, {"status": "error", "reason": "mine.py: no"}]
