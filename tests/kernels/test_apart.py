"""A compiler that ends its process is a failed test with its last words, and the run goes on."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernels.apart import apart


def leave() -> None:
    os.write(2, b"LLVM ERROR: cannot select\n")
    os._exit(1)  # as LLVM's report_fatal_error, which no Python handler sees


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(
    ("compiler", "words"),
    [(leave, r"exit status 1.*LLVM ERROR: cannot select"), (crash, r"(?s)signal SIGSEGV.*in crash")],
)
def test_a_compiler_that_ends_its_process_fails_the_test(
    compiler: Callable[[], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # beside a thread that another test has left it would end this process; these compilers take no lock
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with pytest.raises(pytest.fail.Exception, match=words):
        apart(compiler)()


def test_what_it_returns_and_raises_is_seen() -> None:
    assert apart(lambda one, *, two: one + two)(1, two=2) == 3
    with pytest.raises(ZeroDivisionError):
        apart(lambda: 1 // 0)()


def test_without_it_a_run_would_end_here_and_beside_others_one_test_fails(tmp_path: Path) -> None:
    """What `make test` does with a process of tests that dies all the same: another one takes its place."""
    module = tmp_path / "test_dies.py"
    module.write_text("import os\n\n\ndef test_dies():\n    os._exit(1)\n\n\ndef test_lives():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "1", str(module)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "crashed while running 'test_dies.py::test_dies'" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
