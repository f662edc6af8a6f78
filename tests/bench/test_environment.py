import json
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest

from bench import environment as environments
from bench.advice import noisy
from bench.environment import ROOT, environment, variables


def test_it_is_json_and_complete(here: dict[str, Any]) -> None:
    assert json.loads(json.dumps(here)) == here
    assert here["cpu"]["cores"] >= 1
    assert here["memory_bytes"] > 1 << 28
    assert here["packages"]["torch"] == metadata.version("torch")


def test_it_leaves_torch_unloaded() -> None:
    code = "import sys, bench.environment as e; e.environment(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_the_cuda_version_read_from_the_file_is_torchs_own(here: dict[str, Any]) -> None:
    import torch

    assert here["torch_cuda"] == torch.version.cuda


def test_hidden_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "hides" in environments.gpu()["none"]


def test_variables_that_change_results_are_kept_and_paths_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/home/somebody/cache")
    monkeypatch.setenv("HOME_OF_SECRETS", "x")
    found = variables()
    assert found["OMP_NUM_THREADS"] == "3"
    assert found["TORCHINDUCTOR_CACHE_DIR"] == "set"
    assert "HOME_OF_SECRETS" not in found


def test_every_advice_has_a_cure(here: dict[str, Any]) -> None:
    gpu = {"persistence": False, "processes": 2, "mig": True, "clock_max_mhz": 1980, "clock_reasons": 0x60}
    gpu |= {"power_limit_w": 500.0, "power_limit_default_w": 700.0}
    cpu = here["cpu"] | {"smt": True, "numa_nodes": 2, "governor": "powersave", "quota": 0.5}
    advice = noisy(here | {"gpu": gpu, "cpu": cpu, "virtual": True})
    assert len(advice) >= 10
    assert all(what and cure for what, cure in advice)
    told = " ".join(what for what, _ in advice)
    for word in ("sw-thermal, hw-thermal", "500 W of 700 W", "NUMA", "share each core", "powersave", "MIG"):
        assert word in told
    quiet = gpu | {"persistence": True, "processes": 0, "mig": False, "clock_reasons": 0x4, "power_limit_w": 700.0}
    assert not any("GPU" in what and "clock" not in what for what, _ in noisy(here | {"gpu": quiet}))


def test_two_readings_agree() -> None:
    first, second = environment(), environment()
    assert first["packages"] == second["packages"]
    assert first["cpu"] == second["cpu"]
