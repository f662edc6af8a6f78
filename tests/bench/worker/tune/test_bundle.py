"""Compiling for a bundle: what comes first, what a compiler's death costs, a file that is whole when interrupted."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("triton") is None:
    pytest.skip("kernels need triton", allow_module_level=True)

from triton.backends.nvidia import driver as nvidia

from bench.cli.kernels import bundle as cli_bundle
from bench.errors import BenchError
from bench.machine.environment import ROOT
from bench.runs.process import Answer
from bench.tuning.tuner import Network, ordered
from bench.worker.tune import bundle
from kernels import table
from kernels.compiled.bundle import Bundle, Maker, read
from kernels.kinds import default
from kernels.launch import INTERPRETED
from kernels.space.layer import Layer

LARGE = Layer(128, 56, 56, 64, 64, (3, 3), 1, 1)
SMALL = Layer(128, 7, 7, 512, 512, (1, 1))
NETWORK = Network("resnet50", 128, "fp16", {SMALL: 1, LARGE: 5})
MAKER = Maker("3.12", "3.6.0", "V12.8.93", "x86_64", 90, "key", "sources")


def test_what_networks_run_comes_first_then_the_tuner_s_candidates(monkeypatch) -> None:
    tuned = ordered(SMALL, bundle.KNOWN["NVIDIA H200"])[7]
    entry = table.Entry("NVIDIA H200", SMALL.key, tuned, "measured", 5.0, "2026-11-23T00:00:00", "3.7.1")
    monkeypatch.setattr(table, "_installed", table.Table([entry]))
    found = list(bundle.plan([NETWORK], 90, 12))
    assert len(found) == len(set(found)) <= 2 * 12 + 1
    first = found.index((LARGE, ordered(LARGE, bundle.KNOWN["NVIDIA H200"])[1]))
    now = {(LARGE, str(default(LARGE, 90, 132))), (SMALL, str(default(SMALL, 90, 132))), (SMALL, tuned)}
    assert set(found[:first]) == now
    half = [layer for layer, _ in found[first : first + 8]]
    assert half.count(LARGE) > half.count(SMALL)  # the costlier layer's turn comes more often
    assert {layer for layer, _ in found[-3:]} == {SMALL}


class Child:
    """Plays `worker/tune/bundle.py`: compiles two at a time, or as many as it is told; what is deadly takes it down."""

    def __init__(self, planned: list[str], deadly: str) -> None:
        self.planned, self.deadly = planned, deadly
        self.jobs: list[dict[str, Any]] = []

    def __call__(self, job: dict[str, Any], limit_s: float, hear: Callable[[str], None]) -> Answer:
        self.jobs.append(job)
        waiting = [config for config in self.planned if config not in job["known"].get("layer", [])]
        count = min(job["threads"], 2)
        for start in range(0, len(waiting), count):
            together = waiting[start : start + count]
            for config in together:
                hear(f"try {json.dumps(['layer', config])}")
            if self.deadly in together:
                return Answer("crash", "died by signal SIGABRT", {}, 1.0)
            for config in together:
                hear(f"done {json.dumps({'layer': 'layer', 'config': config, 'folders': []})}")
        return Answer("ok", "", {"left": 0}, 1.0)


def test_a_compiler_that_dies_costs_what_killed_it(tmp_path, monkeypatch) -> None:
    child = Child(list("abcdef"), deadly="d")
    monkeypatch.setattr(cli_bundle, "ask", child)
    monkeypatch.setattr(cli_bundle, "cpu", lambda: {"cores": 8})
    work = cli_bundle._Work(Bundle(tmp_path / "kernels.bundle", MAKER, {}))
    work.run({}, time.monotonic() + 60)
    assert work.failed == [("layer", "d", "died by signal SIGABRT")]
    assert sorted(work.bundle.layers["layer"]) == list("abcef")
    assert [job["threads"] for job in child.jobs] == [8, 1, 1]
    assert work.complete


def test_a_child_that_does_nothing_is_an_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cli_bundle, "ask", lambda *_: Answer("error", "no memory", {}, 1.0))
    work = cli_bundle._Work(Bundle(tmp_path / "kernels.bundle", MAKER, {}))
    with pytest.raises(BenchError):
        work.run({}, time.monotonic() + 60)


def test_it_ends_when_it_is_full(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cli_bundle, "LIMIT", 100)
    work = cli_bundle._Work(Bundle(tmp_path / "kernels.bundle", MAKER, {}))
    work.bundle.parts = [bytes(99)]
    with pytest.raises(cli_bundle.Full):
        work.hear(f"done {json.dumps({'layer': 'layer', 'config': 'a', 'folders': []})}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--arch", "sm_80,sm_90"], "a bundle is for one of"),
        (["--models", "resnet51"], "unknown model"),
        (["--batch", "0"], "not positive numbers"),
        (["--precision", "int8"], "there are kernels for"),
    ],
)
def test_bad_usage(words: list[str], sentence: str, tmp_path) -> None:
    done = command(tmp_path, *words)
    assert done.wait() == 2
    assert sentence in " ".join(done.communicate()[1].replace("│", "").split())


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    file = str(folder / "kernels.bundle")
    env = os.environ | {"TRITON_CACHE_DIR": str(folder / "triton"), "COLUMNS": "80", "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "kernels", "--bundle", file, *words],
        cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")
def test_interrupted_it_has_what_was_compiled_and_goes_on(tmp_path) -> None:
    words = ("--models", "resnet18-none", "--batch", "1", "--candidates", "1", "--json")
    first = command(tmp_path, *words)
    while len(list(tmp_path.rglob("*.emitted"))) < 4 and first.poll() is None:
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    told, _ = first.communicate(timeout=60)
    assert first.returncode == 130
    before = json.loads(told)
    assert before["kernels"] >= 3
    assert 0 < before["candidates"] < 9
    assert not before["complete"]
    second = command(tmp_path, *words)
    told, said = second.communicate(timeout=300)
    assert second.returncode == 0, said
    after = json.loads(told)
    assert after["complete"]
    assert after["failed"] == []
    assert after["layers"] == 9
    assert after["kernels"] == before["kernels"] + after["made"]
    head = read(tmp_path / "kernels.bundle")
    assert (head["maker"]["arch"], head["models"], len(head["layers"])) == (90, ["resnet18-none"], 9)
    names = members(tmp_path / "kernels.bundle")
    assert sum(name.endswith(".cubin") for name in names) == sum(name.endswith(".emitted") for name in names) >= 9
    libraries = {name: data for name, data in names.items() if name.endswith(".so")}
    assert any("cuda_utils" in name for name in libraries)
    assert any("__triton_launcher" in name for name in libraries) == hasattr(nvidia, "make_launcher")
    assert all(b"libcuda.so.1" in data for data in libraries.values())


def members(path: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(path) as file:
        for part in file.getnames()[1:]:
            packed = file.extractfile(part)
            assert packed
            with tarfile.open(fileobj=io.BytesIO(packed.read())) as inner:
                for member in inner:
                    data = inner.extractfile(member)
                    found[member.name] = data.read() if data else b""
    return found
