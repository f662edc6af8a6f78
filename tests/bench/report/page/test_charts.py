"""The charts, compiled and drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.report.page import look, sections
from bench.report.page.data import gather
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
            assert "var(--" not in json.dumps(look.with_light_colours(spec))
            vl_convert.vegalite_to_vega(text, vl_version="6.4", show_warnings=False)


def test_the_front_is_what_no_other_case_beats(tmp_path: Path, record: Make) -> None:
    # latency ms -> images/s: 1 is beaten in nothing, 4 is best in throughput, 2 and 8 are beaten in both by one of them
    speeds = {1: (1.0, 100), 2: (2.0, 90), 4: (3.0, 400), 8: (9.0, 300)}
    made = [
        record(f"resnet18/eager/fp32/b{batch}/i224/stream", ms=ms, throughput={"images": speed, "ns": 10**9})
        for batch, (ms, speed) in speeds.items()
    ]
    data = gather([stored(tmp_path / "front", made)])
    spec = look.with_light_colours(sections.charts.front(data.cases)) | {"datasets": {"cases": data.cases}}
    svg = vl_convert.vegalite_to_svg(json.dumps(spec), vl_version="6.4", show_warnings=False)
    assert re.findall(r">(b\d+)</text>", svg) == ["b1", "b4"]
