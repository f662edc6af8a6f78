"""Effects of 8 bits as rows with intervals, tables and sentences."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.errors import StoreError
from bench.report import sensitivity as report
from bench.report.markdown import splice

LAYERS = ["conv1", "layer1.0.conv1", "fc"]


def answered(errors: dict[str, float], labels: list[int] | None = None) -> dict[str, Any]:
    """What a child answers of 20 pictures of 10 files: mean squared errors by network, of some files larger ones."""
    groups = [picture % 10 for picture in range(20)]
    effects: dict[str, Any] = {"float": {"top": [7] * 20, "squares": [4.0] * 20}}
    for place, (name, error) in enumerate(errors.items()):
        squares = [error * (1 + 0.02 * (group % 3)) for group in groups]
        effects[name] = {"top": [7] * (20 - place) + [1] * place, "squares": squares}
    return {"groups": groups, "labels": labels or [], "effects": effects}


def described(errors: dict[str, float], **fields: Any) -> dict[str, Any]:
    about = {"schema": report.SCHEMA, "model": "resnet18", "image": 64, "formats": "uint8", "calibrate": "mse"}
    about |= {"pictures": 20, "calibration_pictures": 8, "date": "2026-11-28T00:00:00+00:00", "layers": LAYERS}
    about |= {"input": {"source": "photos"}, "found": {}}
    about["environment"] = {"packages": {"torch": "2.13.0"}, "cpu": {"name": "a CPU"}, "git": {"sha": "0123456789ab"}}
    return about | report.compress(answered(errors)) | fields


def layered() -> dict[str, Any]:
    errors = {"8 bits": 0.04}
    for layer, alone, wide in zip(LAYERS, (0.01, 0.0001, 0.02), (0.03, 0.04, 0.021), strict=True):
        errors |= {f"quantized:{layer}": alone, f"wide:{layer}": wide}
    return described(errors | {"all wide": 0.0025})


def test_layers_are_ranked_by_what_they_cost_alone() -> None:
    whole, *rows = report.layer_rows(layered())
    assert [row["layer"] for row in rows] == ["fc", "conv1", "layer1.0.conv1"]
    assert whole["rms"] == pytest.approx((0.04 * 1.018 / 4) ** 0.5)
    assert whole["rms_low"] < whole["rms"] < whole["rms_high"] < 1.02 * whole["rms"]
    assert rows[0]["wide_ratio"] == pytest.approx((0.021 / 0.04) ** 0.5)
    assert rows[1]["agreement"] == 0.95
    assert rows[1]["agreement_low"] < 0.95 < rows[1]["agreement_high"]


def test_the_table_has_a_bar_and_fits_a_terminal() -> None:
    out = Console(file=io.StringIO(), width=80)
    report.print_layers(out, layered(), 1)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:3] == ["1", "fc", "7.13"]
    assert "█" * report.BAR in lines[1]
    assert lines[2].split()[1] == "conv1"  # the first layer is shown wherever it is
    assert "1 layers of less are left out" in text
    labelled = layered()
    for effect in labelled["effects"].values():
        effect["right"] = effect["agree"]
    labelled["effects"]["quantized:fc"]["squares"] = [3.9] * 10
    out = Console(file=io.StringIO(), width=80)
    report.print_layers(out, labelled, 1)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert "right%" in text
    sentences = report.describe_layers(layered())
    assert sentences[0].startswith("With every layer wide the error is 2.52%, and 65.0% agree")
    assert (
        "The first layer (conv1) is number 2 of 3, with 71% of the error of number 1; the last (fc) number 1,"
        in (sentences[1])
    )


def test_ways_of_calibrating_are_held_against_minmax_picture_by_picture() -> None:
    rows = {row["method"]: row for row in report.method_rows(described({"minmax": 0.04, "mse": 0.01}))}
    assert "rms_ratio" not in rows["minmax"]
    assert rows["mse"]["rms_ratio"] == pytest.approx(0.5)
    assert rows["mse"]["agreement_gained"] == -0.05
    assert rows["mse"]["gained_low"] < -0.05 < rows["mse"]["gained_high"]


def test_right_answers_are_counted_where_there_are_labels() -> None:
    found = report.compress(answered({"8 bits": 0.1, "wide:fc": 0.1}, labels=[7] * 10 + [1] * 10))["effects"]
    assert found["8 bits"]["right"] == "1" * 10 + "0" * 10
    assert found["wide:fc"]["right"] == "1" * 10 + "0" * 9 + "1"
    assert found["wide:fc"]["agree"] == "1" * 19 + "0"


def test_the_study_s_table_is_made_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / report_folder()
    folder.mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    document = tmp_path / "docs/METHODOLOGY.md"
    document.write_text(f"<!-- bench: {report_folder()} -->\n<!-- /bench -->\n")
    assert splice(tmp_path) == [document]
    assert "Not measured yet" in document.read_text()
    for depth, best in ((101, 0.02), (18, 0.01)):
        errors = {"minmax": 0.04, "percentile": 0.03, "entropy": 0.02, "mse": best}
        file = folder / f"resnet{depth}-uint8.json"
        file.write_text(json.dumps(described(errors, model=f"resnet{depth}")))
    splice(tmp_path)
    text = document.read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| uint8")]
    assert [row[1] for row in rows] == ["resnet18", "resnet101", "all 2"]
    assert rows[0][5].startswith("-50.0 (")
    assert rows[2][5].startswith("-40.5 (")
    assert "20 pictures of 64 pixels (photos) judged, 8 others calibrated; 2026-11-28, torch 2.13.0" in text
    (folder / "resnet34-uint8.json").write_text("{}")
    with pytest.raises(StoreError, match="resnet34"):
        splice(tmp_path)


def report_folder() -> str:
    return "results/calibration"
