"""`bench sensitivity`: what it prints, keeps and refuses."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from bench.cli.measure.sensitivity import _command, _fail, _formats, _print
from bench.errors import BenchError
from bench.plans.case import Case
from bench.plans.settings import Settings
from bench.report.sensitivity import read_sensitivity
from bench.runs.kernel_jobs import SensitivityJob
from resnet.names import Build


def bench(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    from bench.cli import main

    monkeypatch.setattr(sys, "argv", ["bench", "sensitivity", *words])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_layers_are_ranked_kept_and_a_set_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "found.json"
    small = ("resnet18/onnxruntime/int8", "--image", "32", "--input", "noise", "--seed", "3", "-n", "4")
    small = (*small, "--calibration-pictures", "4")
    assert bench(*small, "--max-loss", "100", "-o", str(file), "-q", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "With 0 layers wide" in printed
    command = printed[printed.index("run --model") :].split()
    assert command[:6] == ["run", "--model", "resnet18", "--variant", "onnxruntime", "--precision"]
    assert command[-4:] == ["--seed", "3", "--input", "noise"]
    data = read_sensitivity(file)
    assert (data["model"], data["formats"], data["found"]["wide"]) == ("resnet18", "uint8", [])
    assert len(data["effects"]) == 3 + 2 * len(data["layers"])
    again = ("--formats", "e4m3", "--methods", "--csv", "-q")
    assert bench(*small, "--max-loss", "20", "-q", monkeypatch=monkeypatch) == 4
    assert "-n 25 --max-loss 20" in " ".join(capsys.readouterr().err.split())
    assert bench(*small, *again, monkeypatch=monkeypatch) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["method"] for row in rows] == ["minmax", "percentile", "entropy", "mse"]
    assert all(0 < float(row["rms_low"]) <= float(row["rms"]) for row in rows)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["resnet18", "--methods", "--max-loss", "1"], 2, "choose one"),
        (["resnet19"], 2, "did you mean resnet1"),
        (["--model", "resnet18,resnet50"], 2, "takes one model at one image size"),
        (["resnet18", "--formats", "int4"], 2, "one of uint8, int8, e4m3"),
        (["resnet18", "--data", "/no/such/folder"], 2, "no folder is there"),
        (["resnet18", "-o", "/"], 2, "is a folder"),
        ([], 2, "say which"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_sentence(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench(*words, monkeypatch=monkeypatch) == code
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_file_of_another_kind_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"my": "data"}))
    assert bench("resnet18", "-o", str(file), monkeypatch=monkeypatch) == 2
    assert json.loads(file.read_text()) == {"my": "data"}


@pytest.mark.parametrize(
    ("checked", "limit", "code", "said"),
    [
        ([60, None], 0.1, 1, "no number of layers kept wide loses 10 % at most: even 2 of them lose more"),
        ([13, 3], 0.05, 4, "200 pictures cannot tell if 5 % at most is lost; nor would 300 times as many"),
    ],
)
def test_a_limit_that_is_not_met_is_missed_surely_or_cannot_be_told(
    checked: list[int | None], limit: float, code: int, said: str
) -> None:
    search = {"wide": ["conv1", "fc"], "pictures": 200, "chosen": checked, "checked": checked, "met": None}
    with pytest.raises(BenchError) as ended:
        _fail(search | {"met": False if code == 1 else None}, limit)
    assert ended.value.exit_code == code
    assert said in str(ended.value)


def test_the_command_has_the_conditions_of_the_search() -> None:
    case, settings = Case.parse("resnet18/fused/fp8/b1/i32/stream"), Settings(threads=2)
    job = SensitivityJob(case, settings, 3, "noise", "e4m3", 4, data="/pictures", build=Build(num_classes=3))
    data = {"model": "resnet18", "image": 32, "formats": "e4m3", "calibrate": "mse", "calibration_pictures": 8}
    words = _command(data | {"found": {"wide": ["conv1", "fc"]}}, job, "fused").partition(" run ")[2].split()
    assert dict(zip(words[::2], words[1::2], strict=True)) == {
        "--model": "resnet18", "--variant": "fused", "--precision": "fp8", "--image": "32", "--calibrate": "mse",
        "--calibration-pictures": "8", "--keep-wide": "conv1,fc", "--threads": "2", "--num-classes": "3",
        "--data": "/pictures", "--seed": "3", "--input": "noise",
    }  # fmt: skip


@pytest.mark.parametrize(("formats", "lines"), [("uint8", 0), ("int8", 1), ("e4m3", 1)])
def test_a_command_for_another_device_says_so(
    formats: str, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.measure.sensitivity.device", lambda environment: "cpu")
    job = SensitivityJob(Case.parse("resnet18/fused/fp8/b1/i32/stream"), Settings(), 0, "noise", formats, 4, False, 0.4)
    data = {"model": "resnet18", "image": 32, "formats": formats, "calibrate": "mse", "calibration_pictures": 8}
    found = {"wide": [], "pictures": 16, "chosen": [1, None], "checked": [1, None], "met": True}
    _print(False, data | {"pictures": 4, "found": found}, [], job, 0, "fused")
    printed = capsys.readouterr().out
    assert "RMS%" not in printed  # the table is not repeated before each answer
    said = f"For a GPU, with {formats} activations; a CPU, as here, has uint8:"
    assert printed.count(said) == lines


@pytest.mark.parametrize(
    ("way", "formats"),
    [("fused/fp8", "e4m3"), ("fused/int8", "int8"), ("onnxruntime-trt/int8", "int8"), ("onnxruntime/int8", "uint8")],
)
def test_activations_have_the_format_of_the_variant_s_device(way: str, formats: str) -> None:
    assert _formats(Case.parse(f"resnet18/{way}/b1/i32/stream")) == formats
