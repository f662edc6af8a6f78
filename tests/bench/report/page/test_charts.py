"""The charts, compiled and drawn."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.report.page import look, sections
from bench.report.page.data import gather
from tests.bench.report import precisions
from tests.bench.report.page import drawings
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


def drawn(name: str, folder: Path, **only: Any) -> str:
    """The SVG of a chart of a folder's records, of those rows that have the values of `only`."""
    data = gather([folder])
    data.cases = [row for row in data.cases if all(row[key] == value for key, value in only.items())]
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


def names_beside(svg: str, names: set[str]) -> list[drawings.Text]:
    return [text for text in drawings.texts(svg) if text.words in names and text.anchor == "start"]


def test_lines_are_named_at_their_ends_in_their_order_and_no_name_is_over_another(tmp_path: Path, record: Make) -> None:
    speeds = {"eager": 100, "compile": 101, "compile-max": 102, "library-fused": 101.5, "fused": 300, "per-layer": 301}
    made = [
        record(f"resnet18/{variant}/fp32/b{batch}/i224/stream", ms=1e3 * batch / speed / batch**0.5)
        for variant, speed in speeds.items()
        for batch in (1, 8)
    ]
    folder = stored(tmp_path / "near", made)
    for chart in ("front", "batch"):
        svg = drawn(chart, folder)
        names = names_beside(svg, set(speeds))
        assert drawings.overlapping(names) == []
        by_height = [text.words for text in sorted(names, key=lambda text: text.y)]
        assert by_height == sorted(speeds, key=lambda name: -speeds[name])


def test_a_line_breaks_where_a_batch_that_others_have_was_not_measured(tmp_path: Path, record: Make) -> None:
    batches = {"eager": (1, 2, 4, 8), "compile": (1, 2, 8), "fused": (1, 2, 4, 8)}
    made = [
        record(f"resnet18/{variant}/fp32/b{batch}/i224/stream", ms=1.0 + batch + len(variant))
        for variant, of in batches.items()
        for batch in of
    ]
    svg = drawn("latency", stored(tmp_path / "gap", made))
    corners = sorted(len(re.findall("L", path)) for path in drawings.of_role(svg, "line mark") if "L" in path)
    assert corners == [1, 3, 3]  # compile's is from 1 to 2 and not on to 8


def test_a_precision_that_was_not_measured_is_not_drawn_through(tmp_path: Path, record: Make) -> None:
    ways = {"eager": ("fp32", "fp16", "bf16"), "compile": ("fp32", "bf16")}
    made = [record(f"resnet18/{v}/{p}/b1/i224/stream", ms=2.0 + len(v)) for v, of in ways.items() for p in of]
    svg = drawn("precision-speed", stored(tmp_path / "gap", made))
    lines = [path for path in drawings.of_role(svg, "line mark") if "L" in path]
    assert len(lines) == 1  # eager's


def test_axes_have_units_and_no_exponents_and_log_ticks_at_one_two_and_five(tmp_path: Path, record: Make) -> None:
    made = [record(f"resnet18/eager/fp32/b{batch}/i224/stream", ms=0.01 * batch**0.5) for batch in (1, 16, 256)]
    svg = drawn("batch", stored(tmp_path / "fast", made))
    words = [text.words for text in drawings.texts(svg)]
    assert {"100k", "200k", "500k", "1M"} <= set(words)
    assert not [word for word in words if re.search(r"\de[+-]?\d|^[348]00k$", word)]
    latency = drawn("latency", tmp_path / "fast")
    assert "p50 latency, µs" in latency
    assert {"10", "20", "50", "100"} <= {text.words for text in drawings.texts(latency)}
    doubled = Counter(text.words for text in drawings.texts(latency) if text.anchor == "end")
    assert max(doubled.values()) == 1


def test_legends_say_what_is_drawn_alone_and_that_a_graph_is_hollow(tmp_path: Path, record: Make) -> None:
    made = [
        record(f"resnet18/{variant}/{precision}/b1/i224/{launch}", ms=2.0)
        for variant in ("eager", "compile", "fused")
        for precision in ("fp32", "fp16")
        for launch in ("stream", "graph")
    ]
    folder = stored(tmp_path / "ways", made)
    everything = {text.words for text in drawings.texts(drawn("precision-speed", folder))}
    assert {"eager", "compile", "fused", "CUDA graph: hollow", "stream: filled"} <= everything
    data = gather([folder])
    (spec,) = [
        specs["precision-speed"] for section in sections.SECTIONS if "precision-speed" in (specs := section.draw(data))
    ]
    some = [row for row in data.cases if row["variant"] != "fused" and row["launch"] == "graph"]
    still = look.with_colours(spec) | {"datasets": {"cases": some}}
    words = {text.words for text in drawings.texts(vl_convert.vegalite_to_svg(json.dumps(still)))}
    assert {"eager", "compile", "CUDA graph: hollow"} <= words
    assert not words & {"fused", "stream: filled"}


def test_intervals_are_drawn_wherever_the_rows_have_them(swept: Path) -> None:
    for chart in ("batch", "latency", "depth", "precision-speed", "rounds"):
        rules = re.findall(r'aria-roledescription="rule mark"[^>]*y2="(-?[\d.]+)"', drawn(chart, swept))
        assert any(float(length) for length in rules), chart


def test_depths_are_compared_over_what_all_of_them_have(tmp_path: Path, record: Make) -> None:
    made = [
        record(f"resnet{depth}/{variant}/{precision}/b1/i224/stream", ms=depth / 10)
        for depth in (18, 50)
        for variant, precision in (("eager", "fp32"), ("eager", "bf16"), ("compile", "fp32"))
        if (depth, variant) != (50, "compile")
    ]
    rows = sections.common_depths(gather([stored(tmp_path / "depths", made)]).cases)
    assert {(row["variant"], row["precision"]) for row in rows} == {("eager", "fp32"), ("eager", "bf16")}
    assert len(rows) == 4


def test_what_the_device_has_is_a_rule_where_it_squashes_nothing_and_else_written(tmp_path: Path, record: Make) -> None:
    def words(memory: int) -> tuple[int, set[str]]:
        here = {"memory_bytes": memory}
        made = [
            record(f"resnet18/eager/fp32/b{b}/i224/stream", memory={"host_resident_peak": b * 2**30}) for b in (1, 4)
        ]
        for one in made:
            one.environment.update(here)
        svg = drawn("batch-memory", stored(tmp_path / str(memory), made))
        return svg.count('stroke-dasharray="6,3"'), {text.words for text in drawings.texts(svg)}

    near, far = words(16 * 2**30), words(1024 * 2**30)
    assert near[0] == 1
    assert far[0] == 0
    assert "the device has 16 GiB" in near[1]
    assert "the device has 1,020 GiB" in far[1] or "the device has 1,024 GiB" in far[1]
    assert "memory, GiB" in near[1]
