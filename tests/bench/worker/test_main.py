"""What a worker makes of real failures: of libraries that ask for memory a process may not have, above all."""

import json
import subprocess
import sys

import pytest

from bench.machine.environment import ROOT
from bench.plans.case import Case
from bench.plans.plan import ONCE, Settings
from bench.runs.job import CaseJob
from bench.runs.process import request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a limit on address space is kept by Linux alone")


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, str]]:
    """Status and reason by the name of a function in `failing.py`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.runs.failing"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torch_allocates", "can't allocate memory"),
        ("torch_computes", "can't allocate memory"),
        ("numpy_allocates", "Unable to allocate 8.00 GiB"),
        ("python_allocates", "MemoryError"),
        ("the_system_maps", "Cannot allocate memory"),
        ("onnxruntime_allocates", "bad_alloc"),
        ("onnxruntime_has_an_arena", "Failed to allocate memory"),
    ],
)
def test_want_of_memory_is_told_from_an_error(told: dict[str, dict[str, str]], name: str, said: str) -> None:
    if name.startswith("onnxruntime") and name not in told:
        pytest.skip("onnxruntime or onnx is not installed")
    assert said in told[name]["reason"]
    assert told[name]["status"] == "memory", told[name]["reason"]


@pytest.mark.parametrize("name", ["another_torch_error", "another_system_error"])
def test_another_error_is_one(told: dict[str, dict[str, str]], name: str) -> None:
    assert told[name]["status"] == "error", told[name]["reason"]
    assert told[name]["reason"].endswith(")")


def test_a_case_that_does_not_fit_the_host_is_out_of_memory() -> None:
    settings = Settings(**ONCE)  # type: ignore[arg-type]
    case = Case.parse("resnet18/eager/fp32/b256/i224/stream")  # its pictures take 600 MB
    job = CaseJob(case, settings, "cpu", 0, "noise", {})
    answer = request(job, 120, module="tests.bench.runs.cramped")
    assert answer.status == "memory", answer.reason
    assert "llocate" in answer.reason
    assert not answer.data
