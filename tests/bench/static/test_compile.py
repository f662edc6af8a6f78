"""Kernels compiled in children: what is told meanwhile, what a death or an interrupt costs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UnableError, WorkError
from bench.machine.environment import ROOT
from bench.runs import process
from bench.runs.process import Answer, Stopped
from bench.static import compile
from bench.static.compile import compile_kernels, parse_archs


def kernel(use: str, key: str) -> dict[str, Any]:
    return {"key": key, "arch": 80, "kernel": "conv", "use": use}


@pytest.fixture
def two_children(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Answer]], None]:
    def give(ask: Callable[..., Answer]) -> None:
        monkeypatch.setattr(compile, "cores", lambda: 2)
        monkeypatch.setattr(process, "ask", ask)

    return give


def test_what_children_claimed_is_put_together_in_the_order_of_the_plan(two_children: Callable[..., None]) -> None:
    layers = {
        0: {"0": [kernel("a/1", "x")], "10": [kernel("a/4", "x")]},
        1: {"2": [kernel("a/2", "y"), kernel("a/3", "x")]},
    }
    outcomes = {0: {"y": {"failed": "no"}}, 1: {"x": {"failed": "nor that"}}}
    seen: list[tuple[int, int, str]] = []

    def ask(job: dict[str, Any], limit_s: float, stage: Callable[[str], None], **_: object) -> Answer:
        number = job["number"]
        assert Path(job["queue"]).is_dir()
        stage("starts")
        for done in range(len(layers[number])):
            stage(f"{done} 3 sm_80 conv")
        said = {"layers": layers[number], "outcomes": outcomes[number], "triton": "3.7.1", "unknown": ["NVIDIA X"]}
        return Answer("ok", "", said, 1.0)

    two_children(ask)
    compiled = compile_kernels([80], ["glob"], [], lambda *told: seen.append(told))
    entries = [(entry.uses, entry.failed) for entry in compiled.record.entries]
    assert entries == [(("a/1", "a/3", "a/4"), "nor that"), (("a/2",), "no")]
    assert (compiled.record.triton, compiled.unknown) == ("3.7.1", ["NVIDIA X"])
    assert all(total == 3 for _, total, _ in seen)
    assert max(done for done, *_ in seen) == 1  # one of two children has begun its second


def test_there_are_as_many_children_as_cores_and_memory_take(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def ask(job: dict[str, Any], *_: object, **__: object) -> Answer:
        asked.append(job["number"])
        return Answer("ok", "", {"layers": {}, "outcomes": {}, "triton": "3.7.1", "unknown": []}, 1.0)

    monkeypatch.setattr(process, "ask", ask)
    monkeypatch.setattr(compile, "cores", lambda: 16)
    for free, children in ((64, 16), (5, 5), (0, 1)):
        asked.clear()
        monkeypatch.setattr(compile, "free_memory", lambda free=free: free << 30)
        assert compile_kernels([80]).record.entries == []
        assert sorted(asked) == list(range(children))


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        ("skipped", UnableError, "this machine cannot compile kernels: why; `pip install"),
        ("error", WorkError, "the kernels could not be compiled: error: why"),
        ("crash", WorkError, "the kernels could not be compiled: crash: why"),  # before its first kernel
    ],
)
def test_what_is_about_the_whole_ends_it(
    two_children: Callable[..., None], status: str, error: type[Exception], words: str
) -> None:
    two_children(lambda *_, **how: Answer(status, "why", {}, 1.0))
    with pytest.raises(error, match=words):
        compile_kernels([80])


def test_an_interrupt_ends_the_children_first(two_children: Callable[..., None]) -> None:
    waiting, ended = threading.Barrier(3), []

    def ask(job: dict[str, Any], limit_s: float, stage: object, *, stop: Any, **_: object) -> Answer:
        waiting.wait(10)
        assert stop.wait(10)
        ended.append(job["number"])
        raise Stopped

    def interrupt() -> None:
        waiting.wait(10)
        time.sleep(0.2)  # until the pool waits for what it has started
        os.kill(os.getpid(), signal.SIGINT)

    two_children(ask)
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        compile_kernels([80])
    assert sorted(ended) == [0, 1]


def test_architectures_by_name() -> None:
    assert parse_archs("sm_90,sm_80") == [80, 90]
    with pytest.raises(ValueError, match="unknown architecture 'sm_70'; allowed: sm_80, "):
        parse_archs("sm_80,sm_70")


def test_what_kills_the_compiler_is_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The child dies at one of its kernels, whenever it meets it: the others are compiled all the same."""
    pytest.importorskip("triton")
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, os\n"
        "if 'bench.worker' in ' '.join(sys.orig_argv):\n"
        "    from kernels.compiled import emit\n"
        "    compiled = emit.compile_for\n"
        "    emit.compile_for = lambda c, arch: os.abort() if c.constants.get('RELU') is False else compiled(c, arch)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setattr(compile, "cores", lambda: 1)
    entries = compile_kernels([80], ["resnet18*/fp16-n32-224x224x3-*-pool"]).record.entries
    assert sorted("crash: died by signal SIGABRT" in entry.failed for entry in entries) == [False, True]
    (failed,) = [entry for entry in entries if entry.failed]
    assert failed.uses[0].endswith("resnet18v2/fp16-n32-224x224x3-7x7-s2-p3-k64-pool")
