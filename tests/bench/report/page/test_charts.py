"""The charts, compiled and drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.report.page import look, sections
from bench.report.page.data import gather
from tests.bench.report import precisions
from tests.bench.report.page.sweeps import Make, layers_file, stored

vl_convert = pytest.importorskip("vl_convert")


def test_every_chart_compiles_in_colours_that_the_page_defines(swept: Path, here: dict[str, Any]) -> None:
    (swept / "one.json").write_text(layers_file("resnet18/eager/fp32/b1/i224/stream", here))
    data = gather([swept])
    for section in sections.SECTIONS:
        for name, spec in section.draw(data).items():
            text = json.dumps(spec)
            for colour in re.findall(r"var\(--([\w-]+)\)", text):
                assert f"--{colour}:" in look.css(), (name, colour)
            assert "var(--" not in json.dumps(look.with_colours(spec))
            vl_convert.vegalite_to_vega(text, vl_version="6.4", show_warnings=False)


def test_the_front_is_what_no_other_case_beats(tmp_path: Path, record: Make) -> None:
    # latency ms -> images/s: 1 is beaten in nothing, 4 is best in throughput, 2 and 8 are beaten in both by one of them
    speeds = {1: (1.0, 100), 2: (2.0, 90), 4: (3.0, 400), 8: (9.0, 300)}
    made = [
        record(f"resnet18/eager/fp32/b{batch}/i224/stream", ms=ms, throughput={"images": speed, "ns": 10**9})
        for batch, (ms, speed) in speeds.items()
    ]
    data = gather([stored(tmp_path / "front", made)])
    spec = look.with_colours(sections.charts.front(data.cases)) | {"datasets": {"cases": data.cases}}
    svg = vl_convert.vegalite_to_svg(json.dumps(spec), vl_version="6.4", show_warnings=False)
    assert re.findall(r">(b\d+)</text>", svg) == ["b1", "b4"]


def drawn(name: str, folder: Path) -> str:
    """The SVG of a chart of a folder's records."""
    data = gather([folder])
    (spec,) = [specs[name] for section in sections.SECTIONS if name in (specs := section.draw(data))]
    still = look.with_colours(spec) | {"datasets": {"cases": data.cases}}
    return str(vl_convert.vegalite_to_svg(json.dumps(still), vl_version="6.4", show_warnings=False))


def test_accuracy_over_latency_has_a_line_a_model_and_a_mark_a_precision(tmp_path: Path, record: Make) -> None:
    models = {"resnet18": 0.5, "resnet50": 1.0}
    svg = drawn("precision-accuracy", stored(tmp_path / "two", precisions.sweep(record, models)))
    assert svg.count(">18</text>") == 2  # at batch 1 and 8
    assert len(re.findall(r'aria-roledescription="line mark"', svg)) == 4
    legend = [f">{precision}</text>" for precision in ("fp32", "bf16", "int8")]
    assert all(text in svg for text in legend)
    # the legend's symbols are drawn, three of them in ink
    assert svg.count(f'stroke="{look.COLOURS["ink"][0]}"') >= 3


def test_the_charts_of_a_price_are_there_where_a_score_is(tmp_path: Path, record: Make) -> None:
    def charts(**how: bool) -> set[str]:
        data = gather([stored(tmp_path / str(how), precisions.sweep(record, {"resnet50": 1.0}, **how))])
        return {name for section in sections.SECTIONS for name in section.draw(data)}

    assert {"precision-accuracy", "precision-agreement"} <= charts()
    assert charts() - charts(labelled=False) == {"precision-accuracy"}
    assert charts() - charts(scored=False) == {"precision-accuracy", "precision-agreement"}


def test_eight_bits_have_a_front_apart(tmp_path: Path, record: Make) -> None:
    svg = drawn("front", stored(tmp_path / "one", precisions.sweep(record, {"resnet50": 1.0})))
    assert sorted(re.findall(r">(b\d+)</text>", svg)) == ["b1", "b1", "b8", "b8"]
