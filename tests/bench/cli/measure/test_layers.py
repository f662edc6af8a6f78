"""`bench layers`: what it prints, keeps and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine.environment import ROOT
from bench.plans.case import Case
from bench.roofline import layers
from tests.bench.roofline.told import consistent


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_two_cases_side_by_side(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    eager, ort = (f"resnet18/{variant}/fp32/b1/i64/stream" for variant in ("eager", "onnxruntime"))
    written, trace = tmp_path / "layers.json", tmp_path / "trace.json"
    options = ("-n", "7", "--input", "noise", "-o", str(written), "--trace", str(trace))
    done = bench("layers", ort, "--against", eager, *options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if "  " in line) <= 80
    assert "\x1b" not in done.stdout
    profile = json.loads(written.read_text())
    assert (profile["layers"], profile["case"], profile["against"]["case"]) == (layers.SCHEMA, ort, eager)
    for one in (profile, profile["against"]):
        consistent(one, Case.parse(one["case"]))
    assert (profile["how"], profile["against"]["how"]) == ("onnxruntime", "hooks")
    shown = [line.split()[0] for line in lines]
    differences = [abs(row["difference_us"]) for row in profile["compared"]]
    assert differences == sorted(differences, reverse=True)
    assert all(row["name"] in shown for row in profile["compared"])
    assert sum(row["us"] for row in profile["compared"]) == pytest.approx(profile["sum_us"])
    assert sum(row["against_us"] for row in profile["compared"]) == pytest.approx(profile["against"]["sum_us"])
    assert len(json.loads(trace.read_text())["traceEvents"]) > 20


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["resnet18/eagr/fp32/b1/i64/stream"], 2, "did you mean eager?"),
        (["resnet18/eager/fp32/bmax/i64/stream"], 2, "times one batch"),
        (["resnet18/eager/fp32/b1/i64/stream", "--trace", "/no/such/folder/t.json"], 2, "there is no folder"),
        (["resnet18/fused/fp16/b1/i64/stream"], 3, "cannot run"),
    ],
)
def test_what_cannot_be_timed_is_refused_in_a_sentence(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.cli import main

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(sys, "argv", ["bench", "layers", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert said in " ".join(capsys.readouterr().err.split())
