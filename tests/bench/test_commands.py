"""Printed commands: they start the code that runs, with the interpreter that runs, from the folder one is in."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bench.commands import ROOT, command_line


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in the current folder, .venv, whose project is this code, and whose programs are not on PATH."""
    programs, packages = tmp_path / ".venv" / "bin", tmp_path / ".venv" / "packages"
    installed = packages / "resnet_bench-0.1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: resnet-bench\nVersion: 0.1.0\n")
    (installed / "direct_url.json").write_text(json.dumps({"url": ROOT.as_uri(), "dir_info": {"editable": True}}))
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    (programs / "bench").write_text("#!/bin/sh\n")
    (programs / "bench").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.executable", str(programs / "python"))
    monkeypatch.setattr("sys.argv", ["-m"])
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(packages))
    monkeypatch.setenv("PATH", os.defpath)
    return tmp_path / ".venv"


def test_the_script_beside_the_interpreter_is_named_by_its_path_from_here(
    environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert command_line("list") == ".venv/bin/bench list"
    monkeypatch.chdir(environment / "bin")
    assert command_line("list") == "./bench list"
    monkeypatch.chdir(environment / "packages")
    assert command_line("list") == f"{environment}/bin/bench list"


def test_bench_alone_where_path_leads_to_that_script(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(environment / "bin"))
    assert command_line("list") == "bench list"


def test_another_environments_bench_on_path_is_not_taken_for_it(
    environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "bench").write_text("#!/bin/sh\n")
    (other / "bench").chmod(0o755)
    monkeypatch.setenv("PATH", str(other))
    assert command_line("list") == ".venv/bin/bench list"


def test_a_script_that_would_run_another_checkout_is_not_named(environment: Path) -> None:
    (record,) = environment.rglob("direct_url.json")
    record.write_text(json.dumps({"url": "file:///elsewhere", "dir_info": {"editable": True}}))
    assert command_line("list") == ".venv/bin/python -m bench list"
    record.write_text("{")
    assert command_line("list") == ".venv/bin/python -m bench list"


def test_the_script_that_was_started_is_this_code_whatever_is_installed(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next(environment.rglob("direct_url.json")).unlink()
    monkeypatch.setattr("sys.argv", [".venv/bin/bench"])
    assert command_line("list") == ".venv/bin/bench list"


def test_an_interpreter_without_the_script_runs_the_module(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (environment / "bin" / "bench").unlink()
    assert command_line("list") == ".venv/bin/python -m bench list"
    monkeypatch.setenv("PATH", str(environment / "bin"))
    assert command_line("list") == "python -m bench list"


def test_a_folder_that_was_removed_needs_no_path_from_it(
    environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert command_line("list") == f"{environment}/bin/bench list"


def test_words_are_quoted_for_a_shell() -> None:
    words = ["run", "my plan.toml", "-f", "*/fp16/*", "-o", Path("it's here"), "--rounds", 3]
    text = command_line(*words)
    assert shlex.split(text)[-len(words) :] == list(map(str, words))


def test_what_is_printed_here_runs_here() -> None:
    """This interpreter's own command, carried out by a shell in the current folder."""
    done = subprocess.run(
        command_line("report", "--help"), shell=True, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert "bench report" in done.stdout, done.stderr
