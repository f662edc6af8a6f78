"""Messages as they are written and read: of this commit, of others that know more or less, and of a liar."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from bench.plans.case import Case
from bench.plans.plan import ONCE, Settings
from bench.records.record import Record
from bench.runs import job, kernel_jobs
from bench.runs.job import CaseAnswer, CaseJob, CeilingsJob, LayersJob, LoadJob, PiecesJob, ReferenceJob
from bench.runs.kernel_jobs import BundleJob, FactsJob, KernelsJob, MakerJob, NetworksJob, TryJob
from bench.runs.process import Answer, request
from bench.runs.wire import Job, Json, MessageError

CASE = Case.parse("resnet50/eager/fp16/b8/i224/graph")
LAYER = {"n": 8, "h": 56, "kernel": [3, 3], "second": None}
JOBS: list[Job[Any]] = [
    CaseJob(CASE, Settings(**ONCE), "cuda", 3, "noise", {"fp64": "/a.npy"}, "/caches"),  # type: ignore[arg-type]
    LayersJob(CASE, Settings(), "cpu", 0, "photos", {}, executions=7, trace="/trace.json"),
    ReferenceJob("resnet50", 224, 32, ["fp16"], "cuda", 0, "photos"),
    LoadJob(CASE, (1, 8), None, 5.0, 0.0, "cpu", "noise", 0, {"fp64": "/a.npy"}),
    CeilingsJob("cpu", ["avx2"], quick=True),
    PiecesJob("cpu", [("graph", 30.0)]),
    KernelsJob({"90": [("resnet50", 32, "fp16")]}, [], ["/t.json"], "/queue", 1, {"sm_90 conv x": "crash: it did"}),
    FactsJob([CASE.name], {CASE.name: "crash: it did"}),
    NetworksJob(["resnet18"], [1, 8], ["fp16"], 64),
    TryJob([{"layer": LAYER, "best": (3, "a"), "challengers": [(1, "b")]}], [1], "cuda", 90, 0, 1, 60.0),
    MakerJob(90),
    BundleJob(["resnet18"], [1], ["fp16"], 90, 12, [], {"layer": ["a"]}, 2, 60.0),
]


@pytest.mark.parametrize("one", JOBS, ids=lambda one: type(one).__name__)
def test_a_job_is_read_as_it_was_written_and_what_is_unknown_is_passed_over(one: Job[Any]) -> None:
    data = json.loads(json.dumps(one.to_json()))
    assert data["job"] == one.name
    assert type(one).from_json(data) == one
    assert type(one).from_json(data | {"of_a_later_commit": 1}) == one


def test_a_case_s_job_is_the_object_that_earlier_commits_read() -> None:
    plain = JOBS[0].to_json()
    assert list(plain) == [
        "job",
        "case",
        "settings",
        "device",
        "seed",
        "source",
        "reference",
        "caches",
        "build",
        "in_turns",
        "data",
    ]
    assert plain["case"] == CASE.name
    assert Settings(**plain["settings"]) == Settings(**ONCE)  # type: ignore[arg-type]


def test_a_job_of_an_earlier_commit_may_lack_what_has_a_default() -> None:
    data = JOBS[0].to_json()
    del data["caches"], data["build"]
    del data["settings"]["host_memory_gib"]
    assert CaseJob.from_json(data).caches == ""
    data["settings"]["of_a_later_commit"] = 1
    assert CaseJob.from_json(data).settings == Settings(**ONCE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seed", "3", 'case: seed is "3", where a whole number belongs'),
        ("seed", True, "case: seed is true"),
        ("case", "resnet50/eager", "'resnet50/eager' is not a case"),
        ("case", 5, "case: case is 5, where text"),
        ("reference", {"fp64": None}, "case: reference.fp64 is null, where text"),
        ("settings", [], "case: settings is an empty list, where an object"),
        ("settings", {"samples": 0}, "samples = 0 is too small"),
    ],
)
def test_a_wrong_field_of_a_job_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(MessageError) as raised:
        CaseJob.from_json(JOBS[0].to_json() | {field: value})
    assert message in str(raised.value)
    data = JOBS[0].to_json()
    del data[field]
    with pytest.raises(MessageError, match=f"an object with {field} belongs"):
        CaseJob.from_json(data)


def answered(one: Job[Any], data: dict[str, Any], status: str = "ok") -> Answer[Any]:
    return request(one, 1.0, by=lambda *_: Answer(status, "", data, 0.1))


@pytest.mark.parametrize(
    ("number", "data", "message"),
    [
        (0, {"latency_ns": "fast"}, 'the answer to case: latency_ns is "fast", where a list'),
        (0, {"latency_ns": [1, 2, "3"]}, 'case: latency_ns[2] is "3", where a whole number'),
        (0, {"latency_ns": [1, None]}, "case: latency_ns[1] is null"),
        (0, {"throughput": {"images": 1.5}}, "case: throughput.images is 1.5, where a whole number"),
        (2, {}, "the answer to reference: it is an object, where an object with paths"),
        (2, {"paths": {"fp64": 3}}, "reference: paths.fp64 is 3"),
        (1, {"whole_ns": []}, "the answer to layers: it is an object, where an object with "),
        (
            4,
            {"measurements": [{"what": "matmul"}]},
            "the answer to ceilings: measurements[0] is an object, where an object with ",
        ),
        (
            8,
            {"networks": [], "gpu": {"name": "x"}, "versions": {}, "bundle": ""},
            "tune: gpu is an object, where an object with arch and sms",
        ),
    ],
)
def test_an_answer_of_another_kind_is_a_crash_with_the_reason(number: int, data: dict[str, Any], message: str) -> None:
    answer = answered(JOBS[number], data)
    assert answer.status == "crash"
    assert message in answer.reason
    assert answer.data == {}


def test_an_answer_is_as_it_came_and_what_is_unknown_stays() -> None:
    data = {"latency_ns": [1, 2], "memory": {"weights": None}, "of_a_later_commit": {"x": 1}}
    assert answered(JOBS[0], data).data == data
    networks = {"networks": [{"model": "m", "batch": 1, "precision": "fp16", "layers": [[LAYER, 2]]}]}
    answer = answered(JOBS[8], networks | {"gpu": None, "versions": {"torch": "2"}, "bundle": ""})
    assert answer.data["networks"][0]["layers"] == [(LAYER, 2)]


def test_a_job_that_ended_early_may_lack_anything_but_not_lie() -> None:
    assert answered(JOBS[1], {}, "wrong").status == "wrong"
    assert answered(JOBS[0], {"weights": "abc"}, "error").data == {"weights": "abc"}
    assert answered(JOBS[0], {"weights": 7}, "error").status == "crash"


def test_a_case_s_answer_is_fields_of_a_record() -> None:
    """What a field holds, the record says; on the wire it is JSON, or of the record's own type."""
    record, answer = get_type_hints(Record), get_type_hints(CaseAnswer)
    assert answer.keys() <= record.keys()
    typed = {name: kind for name, kind in answer.items() if kind not in (Json, dict[str, int])}
    assert {name: record[name] for name in typed} == typed
    assert "latency_ns" in typed


def test_every_job_says_what_it_is_answered() -> None:
    kinds = [kind for module in (job, kernel_jobs) for kind in vars(module).values()]
    jobs = {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Job) and getattr(kind, "name", "")}
    assert len({(kind.name, kind.what) for kind in jobs}) == len(jobs) == 19
    assert all(fields(kind) and hasattr(kind, "answer") for kind in jobs)
