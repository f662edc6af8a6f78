"""Filling a bundle: what a compiler's death costs, when it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.commands import command_line
from bench.errors import UnableError, WorkError
from bench.runs import process
from bench.runs.kernel_jobs import BundleJob
from bench.runs.process import Answer
from bench.tuning import bundle
from bench.tuning.bundle import Filling, FullError
from kernels.compiled.bundle import Bundle, Maker

MAKER = Maker("3.12", "3.6.0", "V12.8.93", "x86_64", 90, "key", "sources")
JOB = BundleJob(["resnet18"], [1], ["fp16"], 90, 48, [])


class Child:
    """Plays `worker/tune/bundle.py`: compiles two at a time, or as many as it is told; what is deadly takes it down."""

    def __init__(self, planned: list[str], deadly: str) -> None:
        self.planned, self.deadly = planned, deadly
        self.jobs: list[dict[str, Any]] = []

    def __call__(self, job: dict[str, Any], limit_s: float, hear: Callable[[str], None]) -> Answer:
        self.jobs.append(job)
        waiting = [config for config in self.planned if config not in job["compiled"].get("layer", [])]
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


def test_a_compiler_that_dies_costs_what_killed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(list("abcdef"), deadly="d")
    monkeypatch.setattr(process, "ask", child)
    monkeypatch.setattr(bundle, "cores", lambda: 8)
    work = Filling(Bundle(tmp_path / "kernels.bundle", MAKER, {}))
    work.compile(JOB, time.monotonic() + 60)
    assert work.failed == [("layer", "d", "died by signal SIGABRT")]
    assert sorted(work.bundle.layers["layer"]) == list("abcef")
    assert [job["threads"] for job in child.jobs] == [8, 1, 1]
    assert work.complete


def test_a_child_that_does_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ask", lambda *_: Answer("error", "no memory", {}, 1.0))
    work = Filling(Bundle(tmp_path / "kernels.bundle", MAKER, {}))
    with pytest.raises(WorkError, match="could not be compiled: error: no memory"):
        work.compile(JOB, time.monotonic() + 60)


def test_it_ends_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 100)
    work = Filling(Bundle(tmp_path / "kernels.bundle", MAKER, {}))
    work.bundle.parts = [bytes(99)]
    with pytest.raises(FullError):
        work.receive(f"done {json.dumps({'layer': 'layer', 'config': 'a', 'folders': []})}")


class Compiler(Child):
    """The same, that says what it compiles with."""

    def __call__(self, job: dict[str, Any], limit_s: float, hear: Callable[[str], None]) -> Answer:
        if job["what"] == "maker":
            return Answer("ok", "", {"maker": vars(MAKER)}, 1.0)
        return super().__call__(job, limit_s, hear)


def test_what_is_filled_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kernels.bundle"
    monkeypatch.setattr(process, "ask", Compiler(list("ab"), deadly="none"))
    filled, interrupted = bundle.fill_bundle(path, JOB, 60, "0123456789", print)
    assert not interrupted
    assert (filled.layers, filled.candidates, filled.failed, filled.complete) == (1, 2, [], True)
    child = Compiler(list("abc"), deadly="none")
    monkeypatch.setattr(process, "ask", child)
    filled, _ = bundle.fill_bundle(path, JOB, 60, "0123456789", print)
    assert child.jobs[0]["compiled"] == {"layer": ["a", "b"]}
    assert filled.candidates == 3
    sentence, use = (str(line.content) for line in filled.lines())
    assert sentence.startswith(f"{path}: 0 kernels for 3 candidates of 1 layers, ")
    assert use == f"Use: RESNET_BENCH_BUNDLE={path}, or {command_line('tune', '--bundle', path)}"


def test_a_machine_that_cannot_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ask", lambda *_: Answer("skipped", "no triton", {}, 1.0))
    with pytest.raises(UnableError, match="this machine cannot compile kernels: skipped: no triton"):
        bundle.fill_bundle(tmp_path / "kernels.bundle", JOB, 60, "", print)
