"""What tests of the page in a browser share: when they run, and how they reach a chart and choose in a filter."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium"),
]
DRAWN = "html[data-drawn]"


def reach(shown: Any, name: str) -> Any:
    """Scroll to a chart, which is drawn by then."""
    chart = shown.locator(f"#chart-{name}")
    chart.scroll_into_view_if_needed()
    shown.wait_for_selector(f"#chart-{name}:not(.stale)")
    return chart


def choose(shown: Any, axis: str, value: str) -> None:
    """Leave but one value of a filter, by the keyboard alone."""
    drawn = shown.locator("html").get_attribute("data-drawn")
    summary = shown.locator(f'[data-axis="{axis}"] summary')
    summary.focus()
    shown.keyboard.press("Enter")
    none = shown.locator(f'[data-axis="{axis}"] button', has_text="none")
    none.focus()
    shown.keyboard.press("Enter")
    shown.locator(f'[data-axis="{axis}"] input[value="{value}"]').focus()
    shown.keyboard.press("Space")
    shown.keyboard.press("Escape")
    shown.wait_for_selector(f"html[data-drawn]:not([data-drawn='{drawn}'])")
