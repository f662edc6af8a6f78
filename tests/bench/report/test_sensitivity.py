"""Effects of 8 bits as rows with intervals, tables and sentences."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.errors import StoreError
from bench.plans.scored import least_pictures
from bench.report import sensitivity as report
from bench.report.markdown import splice
from bench.stats import loss_interval

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
    assert [(row["place_low"], row["place_high"]) for row in rows] == [(1, 1), (2, 2), (3, 3)]


def test_layers_whose_errors_are_within_noise_share_their_places() -> None:
    data = layered()
    squares = data["effects"]["quantized:fc"]["squares"]
    data["effects"]["quantized:conv1"]["squares"] = [square * (0.5 + file % 2) for file, square in enumerate(squares)]
    rows = report.layer_rows(data)[1:]
    assert [(row["layer"], row["place_low"], row["place_high"]) for row in rows] == [
        ("fc", 1, 2), ("conv1", 1, 2), ("layer1.0.conv1", 3, 3)
    ]  # fmt: skip
    assert (
        "the first layer (conv1) is number 1-2 of 3; the last (fc) is number 1-2 of 3"
        in report.describe_layers(data, report.layer_rows(data))[1]
    )
    for effect in data["effects"].values():
        del effect["squares"][1:]  # all of one file: no interval, no order
    assert {(row["place_low"], row["place_high"]) for row in report.layer_rows(data)[1:]} == {(1, 3)}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([0.0025] * 10, "%: -75.2 (-75.4 to -75.1); so much is of activations"),
        ([0.01] * 9 + [1.0], "that it is less is not sure"),
        ([0.03] * 5 + [0.3] * 5, "errors cancel, and wide layers undo that"),
    ],
)
def test_an_error_that_wide_layers_do_not_lower_is_no_part_of_the_whole(files: list[float], said: str) -> None:
    data = layered()
    data["effects"]["all wide"]["squares"] = files
    assert said in report.describe_layers(data, report.layer_rows(data))[0]


def test_a_change_is_of_the_errors_shown_and_not_a_mean_over_files() -> None:
    """Of ten files nine err a little less with a layer wide, and one much more, which the RMS shows."""
    data = layered()
    data["effects"]["wide:fc"]["squares"] = [0.03] * 9 + [0.4]
    data["effects"]["8 bits"]["squares"] = [0.04] * 10
    change = report.rms_ratio(data, "wide:fc", "8 bits")
    assert change is not None
    assert change.value == pytest.approx(report.rms(data, "wide:fc")[0] / report.rms(data, "8 bits")[0])
    assert change.value > 1 > (change.low or 0) > 0


def search(wide: int, pictures: int, chosen: list[int | None], checked: list[int | None], met: bool | None) -> Any:
    about = {"wide": LAYERS[:wide], "pictures": pictures, "chosen": chosen, "checked": checked, "met": met}
    return described({"8 bits": 0.1}, found=about)


def test_a_search_has_its_counts_and_intervals_and_says_why_so_many() -> None:
    text = report.describe_search(search(1, 80, [3, None], [4, None], True), 0.2)
    assert text == (
        "With 1 layer wide 4 % (1 to 11) of the answers are not float32's on 80 pictures that choose, and 5 % (1 to 12)"
        " on as many others, that check. So many, 4 for each that ranked (-n). More (-n) may show that fewer layers do."
    )
    unsure = search(3, 385, [6, 2], [5, 1], None)
    text = report.describe_search(unsure, 0.01)
    assert text.startswith("With 3 layers wide float32 has 1.0 percentage points (-0.5 to 2.9) more right, net, on 385")
    assert text.endswith("So many, as of fewer not even no loss could be told from 1 %.")


def test_a_bare_limit_needs_as_many_pictures_as_show_it_where_none_is_lost() -> None:
    for limit in (0.01, 0.05, 0.2):
        count = least_pictures(limit)
        assert max(loss_interval(0, gained, count)[1] for gained in (0, None)) <= limit
        assert loss_interval(0, 0, round(0.75 * count))[1] > limit


def test_the_table_has_a_bar_and_fits_a_terminal() -> None:
    out = Console(file=io.StringIO(), width=80)
    report.print_layers(out, layered(), report.layer_rows(layered()), 1)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:3] == ["1", "fc", "7.13"]
    assert "█" * report.BAR in lines[1]
    assert lines[2].split()[1] == "conv1"  # the first layer is shown wherever it is
    assert "Left out: 1 layer of less error; --csv has them all." in text
    labelled = layered()
    for effect in labelled["effects"].values():
        effect["right"] = effect["agree"]
    labelled["effects"]["quantized:fc"]["squares"] = [3.9] * 10
    out = Console(file=io.StringIO(), width=80)
    report.print_layers(out, labelled, report.layer_rows(labelled), 1)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert "right%" in text
    sentences = report.describe_layers(layered(), report.layer_rows(layered()))
    assert sentences[0].startswith(
        "With every layer wide the error is 2.52 % (2.51 to 2.54), and 65 % (41 to 85) agree"
    )
    assert sentences[1] == "By its error the first layer (conv1) is number 2 of 3; the last (fc) is number 1 of 3."


def test_ways_of_calibrating_are_held_against_minmax_picture_by_picture() -> None:
    rows = {row["method"]: row for row in report.method_rows(described({"minmax": 0.04, "mse": 0.01}))}
    assert "rms_ratio" not in rows["minmax"]
    assert rows["mse"]["rms_ratio"] == pytest.approx(0.5)
    assert rows["mse"]["agreement_gained"] == -0.05
    assert rows["mse"]["gained_low"] < -0.05 < rows["mse"]["gained_high"]


def test_the_calibration_that_costs_least_is_named_or_cannot_be_told() -> None:
    data = described({"minmax": 0.04, "percentile": 0.03, "entropy": 0.02, "mse": 0.021})
    assert report.describe_methods(data) == (
        "entropy costs least; errors against its, in %: mse (the default) +2.5 (+2.5 to +2.5).", True
    )  # fmt: skip
    data["effects"]["percentile"]["squares"] = [0.01, 0.04] * 5
    text, is_sure = report.describe_methods(data)
    assert text.startswith("20 pictures cannot tell which costs least: ahead is entropy; errors against its, in %: mse")
    assert "percentile +10" in text
    assert "minmax" not in text
    assert not is_sure


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
