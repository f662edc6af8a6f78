"""`bench tune`: bad usage, a table that is none, and all of it in a dry run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.kernels import tune as cli_tune
from bench.machine.environment import ROOT, environment, no_cuda
from bench.tuning.gpus import PREDICTABLE
from kernels.table import Table

GPU = PREDICTABLE["NVIDIA H200"]


def bench(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "tune", *words],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"} | env,
        capture_output=True,
        text=True,
        timeout=550,
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["resnet51"], "unknown model"),
        (["--batch", "0"], "not a positive number"),
        (["--batch", "1,x"], "not a positive number"),
        (["--precision", "int4"], "unknown precision 'int4'; allowed: "),
        (["--dry"], "name a file outside"),
        (["--dry", "-o", str(GPU.file)], "name a file outside"),
    ],
)
def test_bad_usage(words: list[str], sentence: str) -> None:
    done = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, ["tune", *words])
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.replace("│", "").split())


@pytest.mark.skipif(no_cuda(environment()) is None, reason="this machine has a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = bench()
    assert done.returncode == 3
    assert "no CUDA device" in done.stderr
    assert "--dry" in done.stderr


@pytest.mark.parametrize(
    "text",
    ['{"schema": 9}', "", "\0\0", '{"schema": 1, "entries": [', '{"schema": 1, "entries": [{"gpu": "x", "layer": 3}]}'],
)
def test_a_file_that_is_no_table_is_left_alone_and_told_at_once(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_tune, "read_networks", None)  # before anything is worked out
    file = tmp_path / "mine.json"
    file.write_text(text)
    done = CliRunner().invoke(app, ["tune", "resnet18", "--dry", "-o", str(file)])
    assert done.exit_code == 2
    refusals = ("not a table of configurations", "which a table of configurations does not replace")
    assert any(words in done.output for words in refusals), done.output
    assert "another file" in done.output
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_table_is_one_sentence_and_bad_usage(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text("{")
    done = bench("resnet18", "--dry", "-o", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(f"bench: {file}: not a table of configurations")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def dried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dry run that was killed at its first improvement."""
    file = tmp_path_factory.mktemp("dry") / "table.json"
    child = subprocess.Popen([sys.executable, "-m", "bench", "tune", *DRY, str(file)], cwd=ROOT, stderr=subprocess.PIPE)
    while not file.exists() and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return file


DRY = ["resnet18-none", "--image", "32", "--batch", "1", "--precision", "fp32", "--candidates", "1", "--dry", "-o"]


@pytest.mark.slow
def test_a_dry_run_that_was_killed_goes_on_where_it_was(dried: Path) -> None:
    before = Table.read(dried)
    tried = dried.with_suffix(".trials.jsonl").read_text().splitlines()
    assert len(before) >= 1
    done = bench(*DRY, str(dried), "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["gpu"]["name"].startswith("dry run")
    assert data["left"] == 0
    rows = data["layers"]
    assert len(rows) == 9
    assert all(row["tried"] == 1 and row["us"] > 0 and row["predicted_us"] > 0 and not row["wrong"] for row in rows)
    lines = dried.with_suffix(".trials.jsonl").read_text().splitlines()
    assert lines[: len(tried)] == tried
    assert len({(trial["layer"], trial["config"]) for trial in map(json.loads, lines)}) == len(lines) == 9
    assert len(Table.read(dried)) == 9
    (network,) = data["networks"]
    assert network["layers"] == 18  # stem, 16 convolutions, head
    assert network["us"] > 0
