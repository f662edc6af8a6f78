"""Layers on the page: words, charts and the table follow the filters, on a desk and on a phone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.plans.case import Case
from tests import gpu_records
from tests.bench.report.page.browsing import PHONE, Shown, in_browser, only, reach
from tests.bench.report.page.conftest import render

pytestmark = in_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a few cases, and of the layers of two ways of running ResNet-50."""
    folder = tmp_path_factory.mktemp("layers") / "gpu"
    gpu_records.write_sweep(folder, 10)
    for variant in ("fused", "library-fused"):
        case = Case("resnet50", variant, "fp16", 1, 224, "graph")
        (folder / f"layers-{variant}.json").write_text(json.dumps(gpu_records.layers(case)))
    return render(folder.parent / "report.html", folder)


def test_words_charts_and_table_follow_the_filters(opened: Callable[..., Shown], page: Path) -> None:
    shown = opened(page)
    words = shown.texts("#layer-says li")
    assert [line.partition(":")[0] for line in words] == [
        "resnet50, batch 1, fused/fp16/graph",
        "resnet50, batch 1, library-fused/fp16/graph",
    ]
    chart = reach(shown, "stages")
    assert chart.locator("text", has_text="outlined: library-fused/fp16/graph").count() == 1
    assert shown.page.locator("#layer-table tbody tr").count() == 15
    assert shown.texts("#layer-table tbody tr:first-child td")[:2] == ["conv1", "stem"]
    only(shown, "variant", "library-fused")
    assert shown.texts("#layer-says li") == words[1:]
    assert shown.texts("#layer-choice option") == ["resnet50, batch 1: library-fused/fp16/graph"]
    only(shown, "variant", "eager")
    assert shown.texts("#layer-says li") == []
    assert not shown.page.locator("#layer-table").is_visible()
    shown.page.wait_for_selector("#chart-layers .empty")  # drawn after the answer
    assert shown.texts("#chart-layers") == ["The filters leave nothing to draw here."]


def test_headings_sort_the_layers_by_their_numbers(opened: Callable[..., Shown], page: Path) -> None:
    shown = opened(page)
    shown.page.locator("#layer-note button").click()
    assert shown.page.locator("#layer-table tbody tr").count() == 56
    shown.page.locator("#layer-table th button", has_text="time").click()
    times = [float(cell.split()[0]) for cell in shown.texts("#layer-table tbody td:nth-child(3)")]
    assert times == sorted(times, reverse=True)
    shown.page.locator("#layer-table th button", has_text="% of floor").click()
    shown.page.locator("#layer-table th button", has_text="% of floor").click()
    shares = [int(cell.rstrip("%")) for cell in shown.texts("#layer-table tbody td:nth-child(6)")]
    assert shares == sorted(shares)


def test_a_phone_shows_all_of_it(opened: Callable[..., Shown], page: Path) -> None:
    shown = opened(page, **PHONE)
    for name in ("stages", "layers", "roofline", "layer-floors"):
        box = reach(shown, name).locator("svg").bounding_box()
        assert box["x"] + box["width"] <= 390, name
    assert shown.look("document.documentElement.scrollWidth") == 390
