"""What is printed at every interpreter's start and end, or by what LD_PRELOAD loads, is in no answer of a child."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from bench.machine.provenance import run_git
from bench.machine.watch import Watch
from tests.bench.runs.children import assert_children_answer

LOUD = """
import atexit, os
for word in ("hello", '{"status": "ok"}', "[1, 2]"):
    print(word, flush=True)
    os.write(1, b"\\x00\\xff 1.2\\n")
atexit.register(print, "bye")
"""


@pytest.fixture
def loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sitecustomize.py").write_text(LOUD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


def test_the_watching_process_has_readings(loud: Path) -> None:
    with Watch() as watch:
        end = time.monotonic() + 60
        while not watch.so_far().readings and not watch.so_far().why and time.monotonic() < end:
            time.sleep(0.05)
        assert watch.so_far().readings
        assert watch.so_far().why == ""


def test_the_other_children_answer(loud: Path) -> None:
    assert_children_answer(loud)


@pytest.mark.skipif(not shutil.which("cc"), reason="no compiler")
def test_git_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud.c").write_text(
        '#include <unistd.h>\n__attribute__((constructor)) void f(void) { if (write(1, "loud\\n", 5)) {} }\n'
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "loud.so", "loud.c"], cwd=tmp_path, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "loud.so"))
    assert subprocess.run(["env"], capture_output=True, check=True).stdout.startswith(b"loud")
    run_git(tmp_path, "init", "-q")
    assert run_git(tmp_path, "rev-parse", "--is-inside-work-tree") == "true"
