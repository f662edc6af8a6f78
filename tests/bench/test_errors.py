"""What ends a command: a sentence and an exit code, in one place, however the command was begun."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bench.cli
from bench import errors
from bench.cli import app
from bench.cli.console import stop
from bench.cli.machine import env as cli_env
from bench.errors import BenchError
from kernels.cards.constants import ConstantsError

ROOT = Path(bench.__file__).resolve().parents[1]
CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]


@pytest.mark.parametrize("error", CLASSES)
def test_each_is_a_bench_error_with_an_exit_code(error: type[BenchError]) -> None:
    assert issubclass(error, BenchError)
    assert error.exit_code in (errors.FAILED, errors.USAGE, errors.UNABLE, errors.STOPPED)
    assert error.__doc__
    raised = error("the sentence")
    assert (str(raised), raised.exit_code) == ("the sentence", error.exit_code)
    assert error("the sentence", errors.STOPPED).exit_code == errors.STOPPED


def test_none_is_an_os_error() -> None:
    """Or `except OSError` around a write would take one for a disk that is full."""
    assert not any(issubclass(error, OSError) for error in CLASSES)


def test_it_imports_nothing() -> None:
    tree = ast.parse(inspect.getsource(errors))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert modules == ["__future__"]
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))


@pytest.mark.parametrize(
    "error",
    [*(error("a sentence: what to do") for error in CLASSES), BenchError("a sentence: what to do", errors.UNABLE)],
)
def test_a_command_ends_with_its_sentence_and_its_code(error: BenchError, monkeypatch: pytest.MonkeyPatch) -> None:
    def environment() -> None:
        raise error

    monkeypatch.setattr(cli_env, "environment", environment)
    done = CliRunner().invoke(app, ["env", "--json"])
    assert (done.exit_code, done.stdout, done.stderr) == (error.exit_code, "", "bench: a sentence: what to do\n")


def test_an_error_of_the_kernels_is_bad_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    def environment() -> None:
        raise ConstantsError("constants.json is damaged")

    monkeypatch.setattr(cli_env, "environment", environment)
    done = CliRunner().invoke(app, ["env"])
    assert (done.exit_code, done.stderr) == (errors.USAGE, "bench: constants.json is damaged\n")


def test_stop_is_one() -> None:
    with pytest.raises(BenchError, match="no machine") as caught:
        stop("no machine", errors.UNABLE)
    assert caught.value.exit_code == errors.UNABLE


def test_the_program_ends_so_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "list", "nowhere"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == errors.USAGE
    assert done.stderr.startswith("bench: no plan 'nowhere'")
    assert "Traceback" not in done.stderr


def test_no_command_turns_one_into_an_exit_by_itself() -> None:
    """`bench.cli` does it for all; a command that adds words or goes on after an error says which."""
    goes_on = {"bench/cli/kernels/tune.py: TuningError"}
    names_the_file = {"bench/cli/results/formats.py: InteropError"}
    names = {error.__name__ for error in CLASSES}
    caught = {
        f"{path.relative_to(ROOT)}: {node.id}"
        for path in (ROOT / "bench" / "cli").glob("*/*.py")
        for handler in ast.walk(ast.parse(path.read_text()))
        if isinstance(handler, ast.ExceptHandler) and handler.type
        for node in ast.walk(handler.type)
        if isinstance(node, ast.Name) and node.id in names
    }
    assert caught <= goes_on | names_the_file
