"""Files of layers beside the records."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import pytest

from bench.errors import StoreError
from bench.plans.case import Case
from bench.report.layers.roofs import LETTER, LINE, NO_ROOFS, SIZES
from bench.report.layers.rows import MOST
from bench.report.page import sections
from bench.report.page.data import PageData, gather
from bench.report.page.document import render_page
from bench.report.page.encoding import Rows
from bench.report.page.stills import save_stills
from tests import gpu_records
from tests.bench.report.page.sweeps import layers_file

vl_convert = pytest.importorskip("vl_convert")
CASE = "resnet18/{}/fp32/b1/i224/stream"
CHARTS = ("stages", "layers", "roofline", "layer-floors")


def of_kind(data: PageData, kind: str, variant: str) -> dict[str, dict[str, Any]]:
    return {row["layer"]: row for row in data.layers if (row["kind"], row["variant"]) == (kind, variant)}


def words_of(data: PageData, variant: str) -> str:
    return next(str(row["says"]) for row in data.layers if row.get("says") and row["variant"] == variant)


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """Records of a GPU with layers of two ways of 50 layers, and of two of 152."""
    gpu_records.write_sweep(tmp_path / "gpu", 40)
    for variant in ("fused", "eager"):
        case = Case("resnet152", variant, "fp16", 32, 224, "graph")
        (tmp_path / "gpu" / f"152-{variant}.json").write_text(json.dumps(gpu_records.layers(case)))
    return tmp_path / "gpu"


def test_layers_have_their_times_floors_and_stages_and_what_cannot_be_read_is_told(
    swept: Path, here: dict[str, Any]
) -> None:
    (swept / "one.json").write_text(layers_file(CASE.format("eager"), here))
    (swept / "newer.json").write_text(layers_file(CASE.format("eager"), here, layers=99))
    (swept / "damaged.json").write_text("{")
    (swept / "endless.json").write_text(layers_file(CASE.format("eager"), here, whole_us=float("inf")))
    (swept / "other.json").write_text('{"something": "else"}')
    (swept / "sensitivity.json").write_text('{"schema": 1, "layers": ["conv1"]}')
    data = gather([swept])
    assert [
        (row["layer"], row["stage"], row["ms"], row["floor"]) for row in of_kind(data, "layer", "eager").values()
    ] == [
        ("conv1", "stem", 2.0, 1.0),
        ("fc", "stem", 0.5, 0.25),
    ]
    assert {row["setting"] for row in data.layers} == {0}
    assert [Path(line.partition(":")[0]).name for line in data.damage] == ["damaged.json", "endless.json", "newer.json"]


def test_an_older_file_has_the_work_of_its_layers(swept: Path, here: dict[str, Any]) -> None:
    times = {"layer1.0.conv1": 100.0, "layer1.0.conv2+layer1.0.add": 120.0, "fc": 10.0}
    (swept / "one.json").write_text(layers_file(CASE.format("eager"), here, times))
    rows = of_kind(gather([swept]), "layer", "eager")
    flops = 2 * 64 * 64 * (3 * 56 - 2) ** 2  # without the products with padding
    moved = 4 * (2 * 64 * 56 * 56 + 9 * 64 * 64 + 64)
    assert rows["layer1.0.conv1"]["intensity"] == pytest.approx(flops / moved, rel=1e-4)
    assert rows["layer1.0.conv1"]["rate"] == pytest.approx(flops / 100e-6, rel=1e-4)
    # with the sum the same products move the shortcut, too
    assert rows["layer1.0.conv2 +1"]["intensity"] < rows["layer1.0.conv1"]["intensity"]


def test_a_rival_stands_beside_what_both_can_tell_apart_with_what_is_sure(swept: Path, here: dict[str, Any]) -> None:
    apart = {"conv1": 100.0, "maxpool": 50.0, "layer1.0.conv1": 80.0, "fc": 20.0}
    joined = {"conv1+maxpool": 120.0, "layer1.0.conv1": 80.5, "fc": 30.0}
    (swept / "eager.json").write_text(layers_file(CASE.format("eager"), here, apart))
    (swept / "compile.json").write_text(layers_file(CASE.format("library-fused"), here, joined))
    data = gather([swept])
    bars = of_kind(data, "bar", "eager")
    assert {name: (row.get("rival_ms"), row["behind"]) for name, row in bars.items() if "ms" in row} == {
        "conv1 +1": (0.12, "+25 %"),
        "layer1.0.conv1": (0.0805, "≈"),
        "fc": (0.03, "\N{MINUS SIGN}33 %"),
    }
    # what one of them computes together has no time of the other's for its parts
    layers = of_kind(data, "layer", "eager")
    assert (layers["maxpool"]["together"], layers["maxpool"]["rival_ms"]) == ("conv1 +1", None)
    assert (layers["fc"]["rival_ms"], layers["fc"]["sure"]) == (0.03, True)
    assert "library-fused/fp32 is faster in 1 of 3 layers (most in conv1 +1, by 30.0 µs), slower in 1" in words_of(
        data, "eager"
    )
    # the pair from the other's side comes last
    assert list(dict.fromkeys(row["beside"] for row in data.layers)) == [
        "resnet18, batch 1: library-fused/fp32; outlined: eager/fp32",
        "resnet18, batch 1: eager/fp32; outlined: library-fused/fp32",
    ]


def test_against_of_the_file_is_the_rival_before_any_other(swept: Path, here: dict[str, Any]) -> None:
    slow = json.loads(layers_file(CASE.format("compile"), here, {"conv1": 900.0}))
    (swept / "one.json").write_text(layers_file(CASE.format("eager"), here, {"conv1": 500.0}, against=slow))
    (swept / "two.json").write_text(layers_file(CASE.format("library-fused"), here, {"conv1": 400.0}))
    rivals = {row["variant"]: row["rival"] for row in gather([swept]).layers}
    assert rivals == {"library-fused": "eager/fp32", "eager": "compile/fp32", "compile": "library-fused/fp32"}


def test_nothing_is_named_where_the_parts_are_unsure(swept: Path, here: dict[str, Any]) -> None:
    for variant, us in (("eager", 100.0), ("library-fused", 50.0)):
        text = layers_file(CASE.format(variant), here, {"conv1": us, "fc": 10.0}, error_us=40.0)
        (swept / f"{variant}.json").write_text(text)
    data = gather([swept])
    assert {row["behind"] for row in of_kind(data, "bar", "eager").values() if "ms" in row} == {"?"}
    assert not any(row.get("sure") for row in data.layers)
    assert words_of(data, "eager").startswith(
        "resnet18, batch 1, eager/fp32: its parts are known to within 33% of the whole"
    )


def test_stages_that_take_as_long_are_named_together(swept: Path, here: dict[str, Any]) -> None:
    times = {"conv1": 100.0, "layer1.0.conv1": 99.0, "fc": 50.0}
    (swept / "one.json").write_text(layers_file(CASE.format("eager"), here, times))
    assert "stem and layer1 take the most time (37% and 36%)" in words_of(gather([swept]), "eager")


def test_of_many_layers_the_rest_of_a_stage_is_its_mean_and_no_time_is_lost(made_up: Path) -> None:
    data = gather([made_up])
    for variant in ("fused", "eager"):
        of = [row for row in data.layers if (row["model"], row["variant"]) == ("resnet152", variant)]
        bars = [row for row in of if row["kind"] == "bar" and "ms" in row]
        assert len(bars) <= MOST + 6
        assert any(row["layer"].startswith("layer3: 10") for row in bars)
        counts = [int(row["layer"].split()[1]) if row.get("rest") else 1 for row in bars]
        whole = sum(row["ms"] for row in of if row["kind"] == "layer")
        assert sum(row["ms"] * count for row, count in zip(bars, counts, strict=True)) == pytest.approx(whole, rel=1e-3)
        totals = sum(row["ms"] for row in of if row["kind"] == "stage" and row["stage"] != "in no layer")
        assert totals == pytest.approx(whole, rel=1e-3)
        assert [row["stage"] for row in of if row["kind"] == "stage"][:2] == ["stem", "layer1"]


def test_names_under_the_roofs_lie_on_no_other(made_up: Path) -> None:
    panels: dict[str, Rows] = {}
    for row in gather([made_up]).layers:
        if row.get("named"):
            panels.setdefault(row["panel"], []).append(row)
    assert len(panels) == 4
    frames = {row["panel"]: row for row in gather([made_up]).layers if row.get("frame_x")}
    for panel, rows in panels.items():
        for size in SIZES:
            boxes = [named_box(row, frames[panel], *size) for row in rows]
            for one in boxes:
                others = [other for other in boxes if other is not one]
                assert not any(
                    one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
                    for other in others
                )
                assert one[0] >= 0
                assert one[1] <= size[0]


def named_box(row: dict[str, Any], frame: dict[str, Any], width: int, height: int) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of a name, as Vega places it."""
    (low, high), (bottom, top) = frame["frame_x"], frame["frame_y"]
    x = width * log(row["intensity"] / low) / log(high / low) + row["dx"]
    y = height * (1 - log(row["rate"] / bottom) / log(top / bottom)) + row["dy"]
    letters = LETTER * len(row["named"])
    left = x - {"left": 0, "right": letters, "center": letters / 2}[row["align"]]
    return left, left + letters, y - LINE / 2, y + LINE / 2


def test_roofs_are_the_measured_rates_and_where_there_are_none_a_command_is_named(
    made_up: Path, swept: Path, here: dict[str, Any]
) -> None:
    (frame,) = [
        row
        for row in gather([made_up]).layers
        if row.get("roofs") and row["panel"].endswith("50, batch 32: fused/fp16/graph")
    ]
    assert frame["roofs"] == "fp16: 750 TFLOP/s; memory: 4.1 TB/s"
    for x, y in zip(frame["roof_x"], frame["roof_y"], strict=True):
        assert y == pytest.approx(min(x * gpu_records.BANDWIDTH, gpu_records.PEAK["fp16"]), rel=1e-3)
    elsewhere = here | {"cpu": here["cpu"] | {"name": "nobody's"}}
    (swept / "one.json").write_text(layers_file(CASE.format("eager"), elsewhere))
    (frame,) = [row for row in gather([swept]).layers if row.get("roofs")]
    assert frame["roofs"] == NO_ROOFS
    assert "roof_x" not in frame


def test_layers_furthest_above_their_floors_come_first(made_up: Path) -> None:
    rows = [row for row in gather([made_up]).layers if row.get("far") is not None]
    for panel in {row["panel"] for row in rows}:
        above = [row["above"] for row in sorted(rows, key=lambda row: row["far"]) if row["panel"] == panel]
        assert above == sorted(above, reverse=True)
    assert all(0 < row["of_low"] <= row["of_floor"] <= row["of_high"] for row in rows)


def test_the_charts_of_layers_draw_without_a_warning_and_have_stills(
    made_up: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = gather([made_up])
    drawn = {name: spec for section in sections.SECTIONS for name, spec in section.draw(data).items() if name in CHARTS}
    assert tuple(drawn) == CHARTS
    for spec in drawn.values():
        text = json.dumps(spec | {"datasets": {"layers": data.layers}})
        vl_convert.vegalite_to_vega(text, vl_version="6.4", show_warnings=True)
    assert "WARN" not in "".join(capfd.readouterr())
    files = {path.name: path for path in save_stills([made_up], tmp_path / "stills")}
    assert {f"{name}-light.{suffix}" for name in CHARTS for suffix in ("svg", "png")} <= files.keys()
    svg = files["layers-light.svg"].read_text()
    assert "layer3: 13 others" in svg
    assert "layers-slide.svg" not in files  # so many bars are no slide
    assert ">outlined: " in svg


def test_a_kernel_of_any_name_is_text(swept: Path, here: dict[str, Any]) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    kernels = [{"name": hostile, "us": 1.0, "count": 1}]
    content = json.loads(layers_file(CASE.format("eager"), here))
    content["rows"] = [row | {"name": hostile, "operations": [], "kernels": kernels} for row in content["rows"]]
    (swept / "one.json").write_text(json.dumps(content))
    page = render_page([swept])
    assert "<img src=x" not in page
    assert "onerror=alert" in page


def test_a_folder_of_no_records_is_refused_as_ever(tmp_path: Path, here: dict[str, Any]) -> None:
    (tmp_path / "one.json").write_text(layers_file(CASE.format("eager"), here))
    with pytest.raises(StoreError):
        gather([tmp_path])
