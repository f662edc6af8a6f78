"""The options that every command has, the version, and what a shell completes."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench import paths
from bench.cli import PLACES, app, load, summary
from bench.cli.complete import complete_model, complete_plan, complete_results, complete_variant
from bench.errors import EXIT_CODES, FAILED, UNABLE, UNDECIDED, USAGE
from bench.machine.environment import ROOT

runner = CliRunner()


def bench(*words: str) -> Result:
    return runner.invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_the_version_is_the_projects_with_its_commit() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = bench("--version")
    assert done.exit_code == 0
    assert re.match(rf"resnet-bench {re.escape(project['version'])} \(commit ([0-9a-f]{{12}}|unknown: )", done.stdout)


def test_a_current_folder_that_was_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    done = bench("list")
    assert (done.exit_code, done.stdout) == (USAGE, "")
    assert done.stderr.startswith("bench: there is no current folder any more")
    assert bench("--version").exit_code == 0


@pytest.mark.parametrize("command", PLACES)
def test_every_command_has_quiet(command: str) -> None:
    assert "--quiet" in bench(command, "--help").stdout


@pytest.mark.parametrize("words", [("-q", "counts", "--strict"), ("counts", "--strict", "--quiet")])
def test_quiet_leaves_errors(words: tuple[str, ...]) -> None:
    done = bench(*words)
    assert done.exit_code == USAGE
    assert "--strict is for --against" in done.stderr


@pytest.mark.parametrize("command", PLACES)
def test_help_has_the_first_sentences_of_a_command_that_it_does_not_import(command: str) -> None:
    assert summary(command) == load(command).help.split("\n\n")[0]


HEAVY = "numpy pandas scipy pyarrow torch jinja2 altair rich.markdown rich.traceback pydantic importlib.metadata"


@pytest.mark.parametrize(
    ("words", "most", "heavy"),
    [
        ("--help", 22, ""),
        ("list quick", 65, ""),
        ("compare results/cpu-quick {copy}", 100, "numpy scipy importlib.metadata"),
    ],
)
def test_a_command_imports_what_it_needs_alone(words: str, most: int, heavy: str, tmp_path: Path) -> None:
    """Counted, as a time would be another on a busy machine: heavy modules, this project's, and threads."""
    script = "import sys; from bench.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    script += "; import psutil; print(psutil.Process().num_threads(), file=sys.stderr)"
    shutil.copy(ROOT / "results/cpu-quick/records.jsonl", tmp_path)
    words = words.format(copy=tmp_path)
    done = subprocess.run([sys.executable, "-c", script, *words.split()], cwd=ROOT, capture_output=True, text=True)
    *loaded, threads = done.stderr.split()
    assert done.stdout
    assert threads == "1"
    assert set(HEAVY.split()) & set(loaded) == set(heavy.split())
    assert sum(name.partition(".")[0] in ("bench", "kernels", "resnet") for name in loaded) <= most, loaded


def test_help_has_the_exit_codes() -> None:
    said = " ".join(bench("--help").stdout.split())
    assert EXIT_CODES in said
    for code in (FAILED, USAGE, UNABLE, UNDECIDED):
        assert f" {code} " in EXIT_CODES


def test_plans_variants_and_models_are_completed() -> None:
    assert complete_plan("smo") == ["smoke"]
    assert complete_variant("eager,lib") == ["eager,library-fused"]
    assert "resnet50v1" in complete_model("resnet50")
    assert complete_model("vgg") == []


def test_saved_names_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "LOCAL", tmp_path)
    assert complete_results("") == []
    for name in ("saved/main", "quick-20260131-120000-1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "records.jsonl").write_text("")
    assert complete_results("ma") == ["main"]
    assert complete_results(str(tmp_path)) == [str(tmp_path / "quick-20260131-120000-1")]


def test_a_shell_is_answered_without_torch() -> None:
    script = (
        "import sys; from bench.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    asked = {"_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": "bench run smo", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=os.environ | asked, capture_output=True, text=True
    )
    assert (done.stdout.split(), done.stderr.strip()) == (["smoke"], "[]")
