"""`bench campaign`, as a user calls it: real processes, signals, a dry run, a network that is wrong."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bench.campaign.archive import ARCHIVE, SUMMARY
from bench.campaign.summary import MAX_LINES
from bench.campaign.tasks import TASKS
from bench.cli import app
from bench.experiments.lists import EXPERIMENTS
from bench.machine.environment import ROOT


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bench", "campaign", *words], capture_output=True, text=True, cwd=ROOT)


def invoke(*words: str) -> Result:
    """The same in this process, where nothing is started."""
    return CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, ["campaign", *words])


def test_bad_usage_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert invoke().exit_code == 3
    done = invoke("live")
    assert done.exit_code == 2
    assert "unknown stage or task 'live'; allowed: alive" in " ".join(done.stderr.replace("│", "").split())
    done = invoke("--restore", str(ROOT / "pyproject.toml"))
    assert (done.exit_code, "is no archive of results" in done.stderr) == (2, True)


def test_what_a_card_that_was_never_here_lacks() -> None:
    done = invoke("--list", "--json", "--card", "NVIDIA None Such")
    tasks = json.loads(done.stdout)["tasks"]
    assert {task["kind"] for task in tasks} == {"missing"}
    assert [task["task"] for task in tasks] == list(TASKS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_told_to_end_it_puts_away_what_it_has(tmp_path: Path, number: signal.Signals) -> None:
    """And no second one runs beside it."""
    out, words = tmp_path / "out", [sys.executable, "-m", "bench", "campaign", "--dry", "software", "tests"]
    variables = os.environ | {"OUT": str(out), "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout
        while "software, " not in one.stdout.readline():
            pass
        if number == signal.SIGINT:
            two = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True)
            assert (two.returncode, "another campaign is running" in two.stderr) == (2, True)
        one.send_signal(number)
        stdout = one.stdout.read()
    assert one.returncode == 130, stdout
    assert "Missing: " in stdout
    assert (out / SUMMARY).exists()


def test_where_nothing_could_be_given_back_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OUT", str(tmp_path / "file"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = invoke("--dry", "software")
    assert done.exit_code == 2
    assert "cannot write" in done.stderr
    assert "software, " not in done.stdout


@pytest.mark.slow
def test_a_dry_run_walks_every_kind_of_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests walk the rest of the kinds dry: pieces, a gate, tune, ceilings, layers."""
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    walked = ("software", "first", "constants", "timed-tests")
    start = time.monotonic()
    done = bench(*walked, "--dry")
    assert done.returncode == 0, done.stdout + done.stderr
    assert 0 < len(list(tmp_path.iterdir())) <= 8
    listed = json.loads(bench("--list", "--dry", "--json").stdout)
    ok = {task["task"] for task in listed["tasks"] if task["kind"] == "ok"}
    assert {*walked} <= ok
    last = done.stdout.splitlines()[-MAX_LINES:]
    for name in ("experiment ", "images/s"):
        assert any(name in line for line in last), last
    assert time.monotonic() - start < 300
    with tarfile.open(tmp_path / ARCHIVE) as archive:
        (member,) = (name for name in archive.getnames() if name.endswith("constants.json"))
        constants = json.loads(archive.extractfile(member).read())  # type: ignore[union-attr]
    assert_every_experiment_was_walked(constants)


def assert_every_experiment_was_walked(constants: dict[str, Any]) -> None:
    statuses = {outcome["name"]: outcome["status"] for outcome in constants["experiments"]}
    assert statuses == {entry.name: "skipped" if entry.name == "racecheck" else "ok" for entry in EXPERIMENTS}
    assert (constants["gpu"], constants["dry"], constants["constants"]) == (None, True, {})
    data = {outcome["name"]: outcome["data"] for outcome in constants["experiments"]}
    assert set(data["products"]["measured"]) >= {"square 3x3 short", "wide 1x1 long"}
    assert data["gluon-agrees"]["3x3 256"]["off"] == ""
    assert set(data["halves"]["us"]) == {"whole", "two streams", "in a row"}
    assert len(data["overwrite"]) == 5


# A module of the network is changed as it is imported, in every child: what it computes is wrong from then on.
WRONG = """
import importlib.util, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "resnet.fold":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def changed(module):
            run(module)
            fold = module.fold
            def wrong(model, *args, **kwargs):
                folded = fold(model, *args, **kwargs)
                folded.conv1.weight.data.mul_(1.05)
                return folded
            module.fold = wrong
        spec.loader.exec_module = changed
        return spec

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.slow
def test_a_wrong_network_is_told_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted into the real command's real processes; the task behind it is done."""
    (tmp_path / "sitecustomize.py").write_text(WRONG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = bench("gate-first", "software", "--dry")
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stdout.splitlines()[-MAX_LINES:]
    assert any(line.startswith("wrong   gate       resnet18 library-fused") and "times" in line for line in last), last
    assert any(line.startswith("failed  task       gate-first: exit 1: ") for line in last), last
    assert not any("software: " in line and line.startswith(("failed", "late")) for line in last), last
