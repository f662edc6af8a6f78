"""The pictures for slides and documents: what they say, that their text can be read, and that it is always the same."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.machine.environment import ROOT
from bench.report.page import answers, look, sections, stills
from bench.report.page.data import gather
from bench.report.page.findings import finding, number
from tests.bench.report.page import drawings
from tests.bench.report.page.sweeps import Make, stored

pytest.importorskip("vl_convert")
QUICK = ROOT / "results" / "cpu-quick"


def texts(svg: str) -> list[str]:
    return [text.words for text in drawings.texts(svg)]


def slides(folder: Path) -> dict[str, str]:
    """The slide of each picture of a folder."""
    data = gather([folder])
    pictures = [*stills._answers(data.settings[0]), *stills._charts(data)]
    return {name: stills.framed(picture, source, stills.SLIDE) for name, picture, source in pictures}


def test_pictures_of_a_document_are_light_and_dark_and_equal_records_give_equal_bytes() -> None:
    pictures = stills.readme_pictures(QUICK)
    assert {"answer-light.svg", "answer-dark.svg"} <= set(pictures)
    assert stills.readme_pictures(QUICK) == pictures
    for name, content in pictures.items():
        svg = content.decode()
        mode = look.DARK if name.endswith("-dark.svg") else look.LIGHT
        assert look.COLOURS["paper"][mode] in svg
        assert "var(" not in svg
        assert set(re.findall(r'font-family="([^"]*)"', svg)) == {look.STILL_FONT}
        assert ElementTree.fromstring(svg).get("width") == "800"


def test_the_answer_has_a_bar_a_variant_with_its_speed_and_names_ties_as_ties() -> None:
    words = texts(stills.readme_pictures(QUICK)["answer-light.svg"].decode())
    assert words[0].startswith("compile-max/bf16 and library-fused/bf16 run resnet50 equally fast (batch 1)")
    assert next(text for text in words if text.startswith("92.80")).endswith("1.76 times eager/bf16\u2002\u2002≈")
    assert {"eager/bf16", "onnxruntime/fp32"} <= set(words)  # each in its best precision
    assert "eager/fp32" not in words


def test_a_slide_is_wide_says_its_finding_and_source_and_can_be_read_from_the_back(swept: Path) -> None:
    drawn = slides(swept)
    assert {"answer", "heat", "front", "batch", "latency", "depth", "memory", "cold", "rounds"} <= set(drawn)
    for name, svg in drawn.items():
        tree = ElementTree.fromstring(svg)
        assert (tree.get("width"), tree.get("height")) == ("1280", "720")
        title, *others = drawings.texts(svg)
        assert title.size >= 28
        assert min(text.size for text in others) >= 19.5, (name, min(others, key=lambda text: text.size))
        for text in (title, *others):
            left, top, right, bottom = text.box
            assert left > -60, (name, text)  # of a box that is wider than the text
            assert right < 1340, (name, text)
            assert top > 0, (name, text)
            assert bottom < 720, (name, text)
        assert any("2026" in text.words or "2025" in text.words for text in others), name


def test_the_heat_map_has_the_ratios_of_the_rows_their_marks_and_what_failed(tmp_path: Path, record: Make) -> None:
    speeds = {"eager": 1.0, "compile": 1.5, "fused": 3.0}
    made = [
        record(f"resnet50/{v}/fp32/b{b}/i224/stream", ms=6 * b / gain, round=n)
        for v, gain in speeds.items()
        for b in (1, 8)
        for n in range(6)
    ]
    lost = record("resnet50/compile/fp32/b8/i224/stream", status="crash", reason="signal 11", latency_ns=[])
    made = [one for one in made if (one.case.variant, one.case.batch) != ("compile", 8)]
    folder = stored(tmp_path / "heat", [*made, lost])
    picture = answers.heat(gather([folder]).settings[0])
    assert picture
    cells = {(cell["variant"], cell["batch"]): cell for cell in picture.spec["datasets"]["cells"]}
    assert cells["compile", 1]["text"] == "1.50"
    assert cells["compile", 8]["mark"] == "✗"
    assert cells["fused", 1]["colour"] == "var(--hf4)"
    assert cells["fused", 1]["mark"] == "★"
    assert cells["eager", 1]["colour"] == "var(--panel)"
    assert "★ fastest" in picture.legend
    assert "✗ failed" in picture.legend


def test_the_fastest_lines_are_kept_and_eager_with_them() -> None:
    rows = [{"id": n, "way": f"w{n}", "variant": "eager" if n > 3 else "fused", "rank": n} for n in range(1, 6)]
    kept = stills.fastest_lines(rows, "way", 3)
    assert [row["id"] for row in kept] == [1, 2, 4]
    assert stills.fastest_lines(rows, "way", 0) == rows


def test_a_legend_says_that_lines_are_left_out_where_some_are(swept: Path) -> None:
    data = gather([swept])
    legends = {name: picture.legend for name, picture, _ in stills._charts(data)}
    assert "fastest" not in legends["batch"]  # of six ways
    (spec,) = next(one for one in sections.SECTIONS if one.name == "batch").draw(data).values()
    panel = [row for row in data.cases if row["family"] == "resnet18"]
    spec["usermeta"]["most"] = 2
    assert stills._picture("batch", spec, [panel], {}).legend.endswith(": the 2 fastest, and eager")


def test_a_finding_compares_like_with_like() -> None:
    cases = [("resnet", 18, 9.0), ("resnet", 50, 3.0), ("wide_resnet", 18, 8.0), ("wide_resnet", 50, 1.0)]
    depths = [
        {"kind": kind, "model": f"{kind}{depth}", "depth": depth, "speed": speed, "way": "eager/fp32"}
        for kind, depth, speed in cases
    ]
    assert finding("depth", depths) == "resnet50 takes 3.00 times resnet18's time for an image"
    ways = [("fp32", 100), ("fp32", 110), ("int8", 200)]  # fp32 in two choices
    of = {"group": "resnet18, batch 1", "variant": "onnxruntime", "launch": "stream"}
    speeds = [of | {"precision": precision, "speed": speed} for precision, speed in ways]
    assert finding("precision-speed", speeds) == "int8 runs 1.82 times fp32's, way for way"
    assert [number(value) for value in (0, 0.9996, 9.996, 12.34, 1234.5)] == ["0", "1.00", "10.0", "12.3", "1,230"]


def test_a_finding_is_of_the_rows_that_are_drawn(swept: Path) -> None:
    said = {name: drawings.texts(svg)[0].words for name, svg in slides(swept).items()}
    assert said["front"].startswith("resnet18: from")
    # times of the sweep: (1 + batch) for a batch, and 3 times as long for resnet50
    assert said["latency"].startswith("Batch 8 takes 4.5")
    assert said["depth"].startswith("resnet50 takes 3.00 times resnet18")
    assert said["precision-speed"].startswith("bf16 runs 1.7")
    assert said["cold"].startswith("The first answer comes after 3.60 s")


def test_a_name_that_looks_like_a_colour_stays_text() -> None:
    assert look.coloured("var(--nothing) var(--ink)", look.LIGHT) == f"var(--nothing) {look.COLOURS['ink'][0]}"
