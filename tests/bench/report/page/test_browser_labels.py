"""What a reader can read: no text over text, none cut, no label twice, colours that stand out in light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bench.report.page.browsing import PHONE, Shown, draw_all, in_browser

pytestmark = in_browser
SEEN = Path(__file__).with_name("seen.js").read_text()
VIEWS = [(0, "light"), (0, "dark"), (355, "light"), (355, "dark")]
Drawn = Callable[..., Shown]


def faults(shown: Shown, function: str) -> Any:
    shown.look(SEEN)
    return shown.look(f"{function}()")


@pytest.mark.parametrize(("cases", "scheme"), VIEWS)
def test_text_and_marks_stand_out_from_what_lies_behind_them(drawn: Drawn, cases: int, scheme: str) -> None:
    shown = drawn(cases, scheme)
    assert faults(shown, "contrastOfText") == []
    assert faults(shown, "contrastOfCharts") == []


@pytest.mark.parametrize("width", [1280, 900, 390])
@pytest.mark.parametrize("cases", [0, 355])
def test_no_label_is_cut_or_lies_over_another_or_stands_twice(drawn: Drawn, cases: int, width: int) -> None:
    shown = drawn(cases, width=width)
    assert faults(shown, "faultsOfLabels") == []
    assert faults(shown, "cutCells") == []


def test_labels_stay_apart_where_the_filters_leave_everything(drawn: Drawn) -> None:
    """The page of all precisions and launches, which a reader may ask for: most lines, and the longest legends."""
    shown = drawn(355, fragment="#precision=all&launch=all")
    assert faults(shown, "faultsOfLabels") == []


def test_a_phone_scrolls_down_alone(opened: Callable[..., Shown], page_of: Callable[[int], Path]) -> None:
    for cases in (0, 355):
        shown = opened(page_of(cases), **PHONE)
        draw_all(shown)
        assert shown.look("document.documentElement.scrollWidth") == 390
        wide = "[...document.querySelectorAll('.chart svg')].filter(e => e.getBoundingClientRect().right > 390).length"
        assert shown.look(wide) == 0


def test_a_legend_lists_only_what_is_drawn(opened: Callable[..., Shown], page_of: Callable[[int], Path]) -> None:
    shown = opened(page_of(355), "#variant=eager,fused")
    draw_all(shown)
    labels = set(shown.texts(".chart .role-legend-label text")) | set(shown.texts(".chart .role-legend-label"))
    others = {"compile", "compile-max", "compile-aot", "library-fused", "per-layer", "onnxruntime", "onnxruntime-trt"}
    assert labels & others == set()


def test_no_chart_is_torn_in_print(opened: Callable[..., Shown], page_of: Callable[[int], Path]) -> None:
    """Each is lower than a sheet, and kept whole: what does not fit on one begins on the next."""
    shown = opened(page_of(355), viewport={"width": 703, "height": 1032})  # A4 without its margins
    draw_all(shown)
    assert shown.page.pdf(format="A4").startswith(b"%PDF")
    shown.page.emulate_media(media="print")
    torn = """[...document.querySelectorAll('figure')].filter(figure => figure.checkVisibility()).filter(figure => {
        const whole = getComputedStyle(figure).breakInside === 'avoid' && figure.getBoundingClientRect().height <= 1032;
        return !whole || figure.getBoundingClientRect().right > 704;
    }).map(figure => [figure.querySelector('.chart').id, ...Object.values(figure.getBoundingClientRect().toJSON())])"""
    assert shown.look(torn) == []
