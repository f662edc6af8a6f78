"""The history in a real browser: rows, what the filters leave of them, and the one chart that is open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.report.page.document import render_page
from tests.bench.report.page.browsing import in_browser
from tests.bench.report.page.sweeps import Make
from tests.bench.report.page.test_commits import SLOWER, nights

pytest.importorskip("vl_convert")
pytest.importorskip("playwright.sync_api")
pytestmark = in_browser


@pytest.fixture
def shown(tmp_path: Path, record: Make, here: dict[str, Any], opened: Any) -> Any:
    """The page of a store of nights; what the browser complains of fails the test."""
    path = tmp_path / "page.html"
    path.write_text(render_page(nights(tmp_path / "store", record, here, SLOWER, rounds=2)))
    return opened(path).page


def test_a_row_opens_its_chart_by_mouse_and_by_keyboard_and_one_at_a_time(shown: Any) -> None:
    rows = shown.locator("#history-table tr.series")
    assert [rows.nth(0).locator(".last span").inner_text()[-5:], rows.count()] == ["worse", 4]
    rows.nth(0).locator(".drawn").click()
    shown.wait_for_selector(".opened svg.marks")
    chart = shown.locator(".opened").inner_text()
    assert "2026-03-24" in chart
    assert "bench ab 400000000000 500000000000 " in chart
    assert "1e+" not in chart
    rows.nth(2).locator(".name").focus()
    shown.keyboard.press("Enter")
    shown.wait_for_selector("tbody.better .opened svg.marks")
    assert shown.locator(".opened").count() == 1
    assert [rows.nth(place).locator(".name").get_attribute("aria-expanded") for place in (0, 2)] == ["false", "true"]
    shown.keyboard.press("Enter")
    assert shown.locator(".opened").count() == 0


def test_rows_without_a_change_are_folded_and_filters_leave_rows_and_the_finding(shown: Any) -> None:
    finding = shown.locator("#history-finding")
    assert "6 series over 24 commits, 2026-03-01 to 2026-03-24: 2 got worse (the most " in finding.inner_text()
    fold = shown.locator("tbody.same .group button")
    fold.focus()
    shown.keyboard.press("Enter")
    assert shown.locator("tbody.same tr.series").count() == 2
    shown.locator('[data-axis="variant"] summary').click()
    shown.locator('[data-axis="variant"] label', has_text="compile-max").locator("input").uncheck()
    shown.locator('[data-axis="variant"] input[value="compile"]').uncheck()
    assert shown.locator("#history-table tr.series").count() == 2
    text = finding.inner_text()
    assert "2 series over 24 commits" in text
    assert text.endswith("no change was found. 2 more got worse in what the filters leave out.")


def test_an_improvement_never_has_the_colour_of_a_failure(shown: Any) -> None:
    colour = "element => getComputedStyle(element).color"
    worse, better = (shown.locator(f"tr.series span.{kind}").first for kind in ("worse", "better"))
    failure = shown.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--bad')")
    assert worse.evaluate(colour) != better.evaluate(colour)
    assert shown.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--better')") != failure
    assert worse.locator("path").count() == better.locator("circle").count() == 1  # and another shape


def test_on_a_phone_nothing_is_wider_than_the_window(shown: Any) -> None:
    shown.set_viewport_size({"width": 390, "height": 844})
    shown.locator("#history-table .name").first.click()
    shown.wait_for_selector(".opened svg.marks")
    assert shown.evaluate("document.getElementById('history').scrollWidth") <= 390
