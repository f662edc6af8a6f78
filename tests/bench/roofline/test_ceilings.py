"""Ceilings: what is told of samples, a real measurement made short, the file and who may read it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.commands import command_line
from bench.errors import StoreError
from bench.roofline import ceilings
from bench.roofline.ceilings import load_ceilings, path_of, save_ceilings
from bench.runs.job import CeilingsJob
from bench.runs.process import Answer
from bench.worker import ceilings as roof
from bench.worker.ceilings import Measurement, sustained_ns
from bench.worker.measure.clock import Clock
from resnet.floors import Ceilings


@given(st.lists(st.integers(1, 10**9), min_size=3, max_size=200))
def test_a_rate_is_told_that_at_least_three_samples_and_a_tenth_reached(ns: list[int]) -> None:
    reached = [one for one in ns if one <= sustained_ns(ns)]
    assert len(reached) >= max(3, len(ns) / 10)
    fewer = [one for one in ns if one < sustained_ns(ns)]
    assert len(fewer) < max(3, len(ns) / 10)


def test_one_lucky_sample_is_no_ceiling_and_the_spread_says_where_the_median_was() -> None:
    told = Measurement(
        "copy", "copy_", 1000.0, lambda: torch.zeros(()), ns=[1, 100, 100, 100, 125, 125, 125, 125]
    ).row()
    assert told["rate"] == pytest.approx(1000 / 100 * 1e9)
    assert told["fastest"] == pytest.approx(1000 * 1e9)
    assert told["spread"] == pytest.approx(1 - 100 / 112.5)


def test_a_call_is_timed_for_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roof, "WARM_UP_S", {"cpu": 0.0})
    done = torch.zeros(())

    def sleeps() -> torch.Tensor:
        time.sleep(0.002)
        return done

    one = Measurement("copy", "sleeps", 1.0, sleeps)
    roof._sample([one], Clock(), 0.03, "cpu")
    assert len(one.ns) >= roof.MIN_SAMPLES
    assert 0 < one.row()["rate"] <= 500


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real measurement, of small products for a short time, in this process."""
    monkeypatch.setattr(roof, "SHAPES", {"cpu": ((64, 64, 64), (128, 64, 32))})
    monkeypatch.setattr(roof, "TURN_S", {"cpu": 0.002})
    monkeypatch.setattr(roof, "WARM_UP_S", {"cpu": 0.01})
    monkeypatch.setattr(roof, "MAX_BUFFER_BYTES", 1 << 22)

    def here(job: dict[str, Any], limit_s: float, tell: Any) -> Answer:
        return Answer("ok", "", json.loads(json.dumps(roof.measure_ceilings(CeilingsJob.from_json(job), tell))), 1.0)

    monkeypatch.setattr(ceilings, "ask", here)


@pytest.fixture
def on_cpu(here: dict[str, Any]) -> dict[str, Any]:
    return here | {"gpu": {"none": "hidden"}}


@pytest.mark.usefixtures("short")
def test_what_a_cpu_can_do_is_measured_and_what_it_cannot_has_a_reason(on_cpu: dict[str, Any]) -> None:
    plain = on_cpu | {"cpu": on_cpu["cpu"] | {"flags": []}}  # a CPU with fp32 and int8 alone
    found = ceilings.measure_ceilings(plain)
    assert found.source == "measured"
    assert set(found.flops) >= {"fp32", "fp16"}
    assert found.flops["fp16"] == found.flops["fp32"]  # it converts
    assert "tf32" not in found.flops
    assert found.bandwidth > 1e6
    assert found.l2 is not None
    assert found.l2 > 1e6
    assert found.cache is not None
    assert found.launch_s == 0
    assert set(found.provenance["absent"]) >= {"tf32", "fp8", "fp16", "bf16"}
    assert all(found.provenance["absent"].values())
    assert found.provenance["environment"] == plain
    for one in found.provenance["measurements"]:
        assert one["samples"] >= roof.TURNS * roof.MIN_SAMPLES
        assert one["rate"] >= one["median"] > 0
    rates = [one["rate"] for one in found.provenance["measurements"] if one["precision"] == "fp32"]
    assert found.flops["fp32"] == max(rates)


def known(facts: dict[str, Any], **measured: Any) -> Ceilings:
    one = {"what": "matmul", "how": "torch.mm", "precision": "fp32", "shape": [512, 512, 512], "rate": 2e11}
    one |= {"median": 1.9e11, "fastest": 2.1e11, "spread": 0.05, "samples": 30} | measured
    provenance = {"date": "2026-11-24T00:00:00+00:00", "environment": facts, "measurements": [one], "absent": {}}
    provenance |= {"watch": {"readings": 3, "steal": 0.0, "others": 0.01}, "seconds": 40.0}
    name = ceilings.machine_name(facts)
    return Ceilings(name, {"fp32": 2e11}, 2e10, 1e11, 0.0, "measured", provenance, 32 << 20)


def test_what_is_kept_loads_on_this_machine_and_on_no_other(on_cpu: dict[str, Any], tmp_path: Path) -> None:
    assert load_ceilings(on_cpu, tmp_path) is None
    save_ceilings(known(on_cpu), path_of(on_cpu, tmp_path))
    assert load_ceilings(json.loads(json.dumps(on_cpu)), tmp_path) == known(on_cpu)
    for changed in ({"cores": 999}, {"name": "another"}, {"flags": []}, {"cache_bytes": 1}):
        assert load_ceilings(on_cpu | {"cpu": on_cpu["cpu"] | changed}, tmp_path) is None
    card = {"name": "NVIDIA H200", "memory_bytes": 1 << 37, "power_limit_w": 700.0, "mig": False}
    gpu = on_cpu | {"gpu": card, "torch_cuda": "13.0"}
    assert load_ceilings(gpu, tmp_path) is None
    assert path_of(gpu).name.startswith("nvidia-h200-")
    assert path_of(gpu) != path_of(gpu | {"gpu": card | {"power_limit_w": 350.0}})


def test_another_torch_or_machine_asks_for_a_new_measurement(on_cpu: dict[str, Any]) -> None:
    found = known(on_cpu)
    assert ceilings.reason_outdated(found, on_cpu) == ""
    newer = on_cpu | {"packages": on_cpu["packages"] | {"torch": "9.0"}}
    assert "and here is 9.0" in ceilings.reason_outdated(found, newer)
    larger = on_cpu | {"cpu": on_cpu["cpu"] | {"cores": 999}}
    assert "another machine" in ceilings.reason_outdated(found, larger)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no whole file of ceilings"),
        ("[]", "no whole file"),
        ('{"schema": 1}', "no whole file"),
        ('{"schema": 99}', "newer"),
    ],
)
def test_a_file_that_is_none_is_told_with_its_cure(
    text: str, said: str, on_cpu: dict[str, Any], tmp_path: Path
) -> None:
    path_of(on_cpu, tmp_path).write_text(text)
    with pytest.raises(StoreError, match=said):
        load_ceilings(on_cpu, tmp_path)


def test_a_folder_that_cannot_be_made_is_told_and_leaves_nothing(on_cpu: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        save_ceilings(known(on_cpu), tmp_path / "file" / "ceilings.json")
    (tmp_path / "there").mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        save_ceilings(known(on_cpu), tmp_path / "there")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "there"}


def test_a_noisy_machine_is_told(on_cpu: dict[str, Any]) -> None:
    assert ceilings.noise_warnings(known(on_cpu)) == []
    loud = known(on_cpu, spread=0.4)
    watch = {"others": 0.5, "reasons": {"thermal": 0.2}}
    loud = replace(loud, provenance=loud.provenance | {"watch": watch})
    told = " ".join(ceilings.noise_warnings(loud))
    for said in ("fp32 matmul", "40%", "50% of the processor time", "thermal"):
        assert said in told


def asked(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    from bench.cli import main

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(sys, "argv", ["bench", "ceilings", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("short")
def test_they_are_measured_once_and_again_with_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "ceilings.json"
    assert asked(monkeypatch, "-o", str(path)) == 0
    shown = capsys.readouterr().out
    first = path.read_text()
    told = json.loads(first)
    assert told["schema"] == ceilings.SCHEMA
    assert "GFLOP/s" in shown
    lines = shown.split("File: ")[0].splitlines()
    assert max(len(line) for line in lines if "  " in line and command_line() not in line) <= 80
    assert asked(monkeypatch, "-o", str(path), "--json") == 0
    assert path.read_text() == first
    assert json.loads(capsys.readouterr().out)["flops"] == told["flops"]
    assert asked(monkeypatch, "-o", str(path), "--force") == 0
    assert path.read_text() != first


def test_a_child_that_fails_is_a_failure_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ceilings, "ask", lambda *_: Answer("crash", "died by signal SIGSEGV", {}, 1.0))
    assert asked(monkeypatch, "-o", str(tmp_path / "c.json")) == 1
    assert "died by signal SIGSEGV" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.timed
def test_a_gpus_ceilings_are_in_their_order(here: dict[str, Any]) -> None:
    found = ceilings.measure_ceilings(here)
    assert found.flops["fp32"] < found.flops["tf32"] < found.flops["fp16"]
    assert found.l2 is not None
    assert found.bandwidth < found.l2
    assert 1e-7 < found.launch_s < 2e-5
    assert found.provenance["seconds"] < 60
