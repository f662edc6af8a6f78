"""8 bits through a child's whole path: what a record has of an honest runner, and what is said of cheats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.runs.job import CaseAnswer, CaseJob, FitJob, LoadJob, reference_job
from bench.worker.case import measure_case
from bench.worker.failure import describe_failure
from bench.worker.fits import probe_batch
from bench.worker.reference import write_references
from bench.worker.serve import serve_load
from tests.cheats.quantized import DECLARED, FAULTS
from tests.cheats.quantized_sweep import SETTINGS, case_of, swept

ROOT = Path(__file__).parents[3]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CaseAnswer]:
    """Returns what a child answers for a case of a fault."""
    monkeypatch.chdir(ROOT)

    def answer(fault: str, do: Callable[..., Any] = measure_case, kind: Any = CaseJob, **changes: Any) -> CaseAnswer:
        settings = replace(SETTINGS, **changes)
        case = case_of(fault, batch=4 if fault == "first-row" else 2)
        reference = write_references(reference_job([case], settings, "cpu", 0, "noise"), lambda stage: None)["paths"]
        try:
            return do(kind(case, settings, "cpu", 0, "noise", reference), lambda stage: None)
        except Exception as error:
            return describe_failure(error)  # type: ignore[return-value]

    return answer


def test_an_honest_runner_has_a_speed_and_what_8_bits_cost_on_record(answer: Callable[..., CaseAnswer]) -> None:
    found = answer("honest")
    assert found["status"] == "ok", found["reason"]
    assert found["latency_ns"]
    for when in ("before", "after"):
        check = found["gate"][when]
        assert 0.4 < check["code_distance"] < 0.501
        assert check["code_worst"]
        assert 0.005 < check["rms_relative"] < 0.5
    assert "rms_multiple" not in found["gate"]["during"]
    assert found["quantized"] == {"wide": [], "calibrate": "minmax", "steps": 22, "layers": 20, "checked": "taps"}
    assert "quantized" not in found["details"]


def test_another_network_under_the_name_of_int8_is_wrong(answer: Callable[..., CaseAnswer]) -> None:
    found = answer("half")
    assert (found["status"], FAULTS["half"] in found["reason"]) == ("wrong", True)
    assert found["reason"].startswith("before timing: ")
    assert "latency_ns" not in found


def test_a_row_that_is_not_looked_at_is_judged_by_its_neighbour(answer: Callable[..., CaseAnswer]) -> None:
    found = answer("first-row")
    assert (found["status"], FAULTS["first-row"] in found["reason"]) == ("wrong", True)
    assert found["reason"].startswith("before timing: ")


def test_what_declares_another_model_is_wrong(answer: Callable[..., CaseAnswer]) -> None:
    found = answer("declares-less")
    assert found == {"status": "wrong", "reason": "what it declares: layer1.0.conv1 is left out"}


def test_a_batch_that_is_searched_for_is_judged_by_a_small_one(answer: Callable[..., CaseAnswer]) -> None:
    found = answer("honest", probe_batch, FitJob)
    assert found["status"] == "ok", found["reason"]
    assert found["gate"]["first"]["code_distance"] < 0.501
    assert found["quantized"]["layers"] == 20
    wrong = answer("truncates", probe_batch, FitJob)
    assert (wrong["status"], FAULTS["truncates"] in wrong["reason"]) == ("wrong", True)


def test_a_load_is_judged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    case = case_of("zero", batch=1)
    reference = write_references(reference_job([case], SETTINGS, "cpu", 0, "noise"), lambda stage: None)["paths"]
    found = serve_load(LoadJob(case, (1,), None, 0.1, 1e6, "cpu", "noise", 0, reference), lambda stage: None)
    assert (found["status"], FAULTS["zero"] in found["reason"]) == ("wrong", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "faults"),
    [
        ("resnet18", ["first-row", "half", "stale-tap", "truncates", "declares-float"]),
        ("resnet50", ["scale", "zero", "leaves-out"]),
    ],
)
def test_cheats_are_caught_through_processes_of_their_own(
    model: str, faults: list[str], here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that differ in who sees them; `python -m tests.cheats.quantized_sweep` has all of them, for any model."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = dict(swept(model, ["honest", *faults], here | {"gpu": {"none": "hidden"}}))
    assert found.pop("honest").status == "ok"
    assert {name: record.status for name, record in found.items()} == dict.fromkeys(faults, "wrong")
    for name, record in found.items():
        assert (FAULTS | DECLARED)[name] in record.reason
        assert not record.latency_ns
