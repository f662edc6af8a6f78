import json
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest

from bench.machine import environment as environments
from bench.machine.environment import ROOT, environment, variables
from bench.machine.noise_sources import noise_sources
from bench.roofline.ceilings import path_of


def test_it_is_json_and_complete(here: dict[str, Any]) -> None:
    assert json.loads(json.dumps(here)) == here
    assert here["cpu"]["cores"] >= 1
    assert here["memory_bytes"] > 1 << 28
    assert here["packages"]["torch"] == metadata.version("torch")


def test_it_leaves_torch_unloaded() -> None:
    code = "import sys, bench.machine.environment as e; e.environment(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_the_cuda_version_read_from_the_file_is_torchs_own(here: dict[str, Any]) -> None:
    import torch

    assert here["torch_cuda"] == torch.version.cuda


def test_hidden_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "hides" in environments.gpu()["none"]


class Driver:
    """NVML as a driver answers that tells little: every question but a few is refused."""

    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM = 1

    def __init__(self, name: Any) -> None:
        self.name = name

    def __getattr__(self, question: str) -> Any:
        answers = {"nvmlInit": None, "nvmlDeviceGetCount": 1, "nvmlDeviceGetHandleByIndex": 0}
        answers |= {"nvmlDeviceGetName": self.name, "nvmlDeviceGetCudaComputeCapability": (9, 0)}

        def answer(*_: Any) -> Any:
            if question not in answers:
                raise self.NVMLError("Not Supported")
            return answers[question]

        return answer


@pytest.mark.parametrize("name", [b"NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3 "])
def test_a_driver_that_tells_little_leaves_the_card_its_name(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Driver(name))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = environments.gpu()
    assert (found["name"], found["capability"]) == ("NVIDIA H100 80GB HBM3", [9, 0])
    rest = {key: value for key, value in found.items() if key not in ("name", "capability")}
    assert len(rest) > 10
    assert all(environments.unreadable(value) for value in rest.values())
    facts = {"gpu": found, "torch_cuda": "13.0", "cpu": {}}
    assert path_of(facts).name.startswith("nvidia-h100-80gb-hbm3-")


@pytest.mark.parametrize("name", [b"\xff\xfe", "", "???"])
def test_a_card_without_a_name_is_none(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Driver(name))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "does not answer for the chosen GPU" in environments.gpu()["none"]


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
    advice = noise_sources(here | {"gpu": gpu, "cpu": cpu, "virtual": True})
    assert len(advice) >= 10
    assert all(what and cure for what, cure in advice)
    told = " ".join(what for what, _ in advice)
    for word in ("sw-thermal, hw-thermal", "500 W of 700 W", "NUMA", "share each core", "powersave", "MIG"):
        assert word in told
    quiet = gpu | {"persistence": True, "processes": 0, "mig": False, "clock_reasons": 0x4, "power_limit_w": 700.0}
    assert not any("GPU" in what and "clock" not in what for what, _ in noise_sources(here | {"gpu": quiet}))


def test_two_readings_agree() -> None:
    first, second = environment(), environment()
    assert first["packages"] == second["packages"]
    assert first["cpu"] == second["cpu"]
