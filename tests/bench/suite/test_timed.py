"""`pytest bench/suite` as its user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.records.formats import import_pytest_benchmark
from bench.suite.timed import _free_previous_case

ROOT = Path(__file__).parents[3]
PLAN = """
[measure]
warmup_s = 0.0
throughput_s = 0.05
[[group]]
why = "The least that can be timed, and a case that no CPU runs."
model = "resnet18"
variant = ["eager", "fused"]
precision = "fp32"
batch = 1
image = 32
"""
NAME = "resnet18/eager/fp32/b1/i32/stream"


LIE = """
import pytest

@pytest.fixture(autouse=True)
def lie(monkeypatch):
    import resnet.variants.eager as eager
    honest = eager.prepare
    class Remembering:
        def __init__(self, *given):
            self.run, self.answers = honest(*given), {}
            self.place, self.details = self.run.place, self.run.details
        def __call__(self, x):
            if x.data_ptr() not in self.answers:
                self.answers[x.data_ptr()] = self.run(x).clone()
            return self.answers[x.data_ptr()].clone()
    monkeypatch.setattr(eager, "prepare", Remembering)
"""


def suite(*words: object, variables: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), str(ROOT / "bench/suite")]
    command += ["-p", "no:cacheprovider", "-q", *map(str, words)]
    # pytest-benchmark times nothing in a process that xdist started
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    environment = outside | (variables or {})
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


def test_a_case_is_timed_saved_compared_and_imported(tmp_path: Path) -> None:
    plan, file = tmp_path / "small.toml", tmp_path / "b.json"
    plan.write_text(PLAN)
    options = ["--plan", plan, "--input", "noise", "--benchmark-max-time", "0.05"]
    options += ["--benchmark-storage", f"file://{tmp_path}/store", "--benchmark-autosave"]
    done = suite(*options, "--benchmark-json", file, "-rs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert f"test_case[{NAME}]" in done.stdout
    data = json.loads(file.read_text())
    (benchmark,) = data["benchmarks"]
    assert benchmark["extra_info"]["case"] == NAME
    ((record,), left) = import_pytest_benchmark(data)
    assert left == []
    assert len(record.latency_ns) == benchmark["stats"]["rounds"]
    assert record.gate.keys() == {"before", "during", "after"}
    assert record.environment["packages"]["torch"]
    assert record.throughput["images"] > 0
    assert list((tmp_path / "store").rglob("*.json"))


def test_an_answer_that_is_wrong_after_timing_fails_and_leaves_no_time(tmp_path: Path) -> None:
    plan, file = tmp_path / "small.toml", tmp_path / "b.json"
    plan.write_text(PLAN)
    (tmp_path / "lie.py").write_text(LIE)
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    options = ["-p", "lie", "--plan", plan, "--input", "noise", "--benchmark-json", file]
    done = suite(*options, variables={"PYTHONPATH": paths})
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{NAME}: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not file.exists() or file.read_text() == "" or json.loads(file.read_text())["benchmarks"] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own imports
def test_more_cases_are_compiled_in_one_process_than_dynamo_takes_of_one_function() -> None:
    import torch
    import torch._dynamo

    def double(x: torch.Tensor) -> torch.Tensor:
        return x + x

    compiled: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        compiled.append(graph)
        return graph.forward

    sizes = range(2, 4 + torch._dynamo.config.recompile_limit)
    for size in sizes:
        torch.compile(double, backend=backend, fullgraph=True, dynamic=False)(torch.ones(size))
        _free_previous_case()
    assert len(compiled) == len(sizes)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--plan", "somke"), "did you mean smoke?"), (("--cases", "resnet99"), "no case of smoke matches")],
)
def test_bad_usage_is_a_sentence(words: tuple[str, ...], said: str) -> None:
    done = suite(*words)
    assert done.returncode == 4
    assert said in done.stderr
    assert "Traceback" not in done.stderr
