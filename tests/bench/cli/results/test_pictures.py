"""The README's pictures and badges, from records and from pyproject.toml."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.cli.results.pictures import draw_badges, draw_picture
from bench.records.store import Store
from bench.report.markdown import Files, render_short

ROOT = Path(__file__).resolve().parents[4]


def test_the_picture_is_of_the_ways_of_the_table_and_equal_records_draw_it_equally() -> None:
    pytest.importorskip("vl_convert")
    first, again = Files(), Files()
    text = draw_picture(ROOT, "results/cpu-quick", first)
    assert draw_picture(ROOT, "results/cpu-quick", again) == text
    assert first == again
    assert [path.name for path in first] == ["answer-light.svg", "answer-dark.svg"]
    assert all(f'"results/pictures/{path.name}"' in text for path in first)
    table = render_short(Store(ROOT / "results/cpu-quick").read())
    rows = re.findall(r"^\| ([\w-]+) \| (\w+) \| [\d.]+ \| ([\d.]+)±\S+ \| ([\d.]+)", table, re.M)
    assert len(rows) == 6
    for content in first.values():
        drawn = " ".join(ElementTree.fromstring(content).itertext())
        for variant, precision, speed, times in rows:
            assert f"{variant}/{precision}" in drawn
            assert speed in drawn
            assert variant == "eager" or f"{times} times eager/bf16" in drawn


def test_the_description_of_the_picture_is_what_it_shows() -> None:
    text = draw_picture(ROOT, "results/cpu-quick", {})
    assert re.search(r'<img alt="[^"]*resnet50[^"]*"', text)


def test_badges_say_what_the_project_says(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "constraints.txt", "constraints-2.11.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    project = tmp_path / "pyproject.toml"
    project.write_text(project.read_text().replace('">=3.11,<3.13"', '">=3.12,<3.15"').replace("Apache-2.0", "MIT"))
    files = Files()
    text = draw_badges(tmp_path, "pyproject.toml", files)
    assert "![Python: 3.12, 3.13, 3.14]" in text
    assert "![torch: 2.11, 2.13]" in text
    assert "![licence: MIT](results/pictures/badge-licence.svg)" in text
    for path, content in files.items():
        label, value = re.findall(r"<title>(\w+): (.*)</title>", content.decode())[0]
        assert path.name == f"badge-{label.lower()}.svg"
        drawn = [element.text for element in ElementTree.fromstring(content).iter() if element.tag.endswith("}text")]
        assert drawn == [label, value]


def test_no_picture_is_left_that_nothing_shows() -> None:
    shown = set(re.findall(r"results/pictures/([\w.-]+)", (ROOT / "README.md").read_text()))
    assert shown == {path.name for path in (ROOT / "results/pictures").iterdir()}


def test_no_badge_is_from_elsewhere() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "://" not in readme
    assert "../../actions/workflows/ci.yml" in readme
    assert (ROOT / ".github/workflows/ci.yml").exists()
