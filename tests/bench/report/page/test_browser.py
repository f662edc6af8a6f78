"""The page in a real browser: a headless Chromium that is here already, driven by Playwright; nothing is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench.report.page.browsing import Shown, in_browser, reach

pytest.importorskip("vl_convert")
pytest.importorskip("playwright.sync_api")
pytestmark = in_browser


def test_it_loads_without_a_network_or_a_complaint_and_draws_every_chart(opened: Any, quick: Path) -> None:
    shown = opened(quick).page
    names = [chart.get_attribute("data-chart") for chart in shown.locator(".chart").all()]
    assert len(names) >= 6
    assert shown.locator(".chart svg").count() < len(names)  # those far below wait until they come near
    for name in names:
        chart = reach(Shown(shown), name)
        assert chart.locator("svg").count() == 1, name
        assert chart.locator("[aria-label]").first.get_attribute("aria-label")
    assert shown.locator("#case-table tbody tr").count() == 22


def test_it_follows_the_readers_colours_and_fits_a_phone(opened: Any, quick: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = opened(quick).page, opened(quick, color_scheme="dark").page
    assert light.evaluate(paper) == "rgb(255, 255, 255)"
    assert dark.evaluate(paper) == "rgb(21, 24, 28)"
    ink = "getComputedStyle(document.querySelector('#chart-front .role-axis-title text')).fill"
    assert light.evaluate(ink) != dark.evaluate(ink)
    dark.emulate_media(media="print")
    assert dark.evaluate(paper) == "rgb(255, 255, 255)"
    phone = opened(quick, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True).page
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    assert (
        phone.evaluate(
            "Math.max(...[...document.querySelectorAll('.chart svg')].map(e => e.getBoundingClientRect().right))"
        )
        <= 360
    )
