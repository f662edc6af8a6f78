"""Kernels really compiled, once for all tests of commands, and held against records that were planted."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from bench.cli.kernels import kernels as cli_kernels
from bench.runs import process
from bench.runs.kernel_jobs import KernelsJob
from bench.runs.process import Answer
from bench.static import compile
from bench.static.compile import Compiled
from bench.static.kernels import Accepted, Entry
from kernels.table import Table
from tests.bench.cli.kernels.planted import BAD, EXACT, LARGE, REFUSED, SPILLING, Rows, invoke, write_table


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One child, that is none."""
    monkeypatch.setattr(process, "ask", here)
    monkeypatch.setattr(compile, "cores", lambda: 1)


def here(job: dict[str, Any], limit_s: float, stage: Callable[[str], None], **_: object) -> Answer:
    """The child's work in this process, which has torch and Triton imported anyway: a child takes 4 s to start."""
    from bench.worker.static import compile_kernels

    return Answer("ok", "", compile_kernels.compile_claimed(KernelsJob.from_json(job), stage), 0.0)


@pytest.fixture(scope="session")
def compiled_rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What the command says of the bad kernels and of the good ones beside them."""
    table = tmp_path_factory.mktemp("table") / "bad.json"
    write_table(table, BAD)
    rows: Rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "ask", here)
        patch.setattr(compile, "cores", lambda: 1)
        patch.setattr("kernels.table._installed", Table())
        for arch, uses in (("sm_80", (SPILLING, REFUSED, EXACT)), ("sm_90", (SPILLING, LARGE))):
            globs = [word for use in uses for word in ("-f", use)]
            done = invoke("--table", str(table), "--arch", arch, *globs, "--json")
            assert done.exit_code == (1 if REFUSED in uses else 0), done.stderr
            rows += json.loads(done.stdout)["entries"]
    return rows


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rows], None]:
    """Has the command believe that these rows were compiled now."""

    def give(rows: Rows) -> None:
        def compiled(*_: object) -> Compiled:
            return Compiled(Accepted([Entry.from_json(row) for row in rows], "3.7.1", "fedcba9876", "2026-11-02"), [])

        monkeypatch.setattr(cli_kernels, "compile_kernels", compiled)

    return give


@pytest.fixture
def check(compiled_rows: Rows, tmp_path: Path, compiling: Callable[[Rows], None]) -> Callable[..., Result]:
    """Holds what was compiled against itself as an accepted record, edited."""

    def run(edit: Callable[[Rows], object], *words: str, triton: str = "3.7.1") -> Result:
        compiling(compiled_rows)
        rows = copy.deepcopy(compiled_rows)
        edit(rows)
        path = tmp_path / "accepted.json"
        Accepted([Entry.from_json(row) for row in rows], triton, "0123456789", "2026-11-01").save(path)
        return invoke("--arch", "sm_80,sm_90", "--check", str(path), *words)

    return run
