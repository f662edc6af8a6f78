"""What the tests of the page in a browser share: a headless Chromium that is here already, driven by Playwright."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium"),
]
AXES = ("model", "variant", "precision", "batch", "launch")
DESK = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>"


@dataclass
class Shown:
    """A page that is open, and what the browser asked of a network or complained about meanwhile."""

    page: Any
    said: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.page.locator(selector).all_inner_texts()
        return found

    def look(self, script: str, *given: Any) -> Any:
        return self.page.evaluate(script, *given)

    def until(self, script: str) -> None:
        """Wait until a script is true; Playwright's own way evaluates text in the page, which its policy forbids."""
        for _ in range(100):
            if self.look(script):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{script} has not come true")


def open_page(browser: Any, path: Path, fragment: str = "", **settings: Any) -> Shown:
    """Open a page's file, as any reader's settings have it, and wait until what is in view is drawn."""
    shown = Shown(browser.new_context(**(DESK | settings)).new_page())
    page, said = shown.page, shown.said
    page.on("request", lambda request: said.append(request.url) if not request.url.startswith(path.as_uri()) else None)
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(path.as_uri() + fragment)
    page.wait_for_selector("html[data-drawn]", timeout=60_000)
    return shown


def draw_all(shown: Shown) -> None:
    """Scroll through the page until every chart is drawn, and back to its top."""
    for name in shown.look("[...document.querySelectorAll('.chart')].map(chart => chart.id)"):
        _scroll_to(shown, name)
    shown.look("scrollTo(0, 0)")


def _scroll_to(shown: Shown, name: str) -> None:
    """Scroll to a chart until it is drawn, as a reader does when what is drawn above moves it away again."""
    for _ in range(300):
        shown.page.evaluate("id => document.getElementById(id).scrollIntoView()", name)
        shown.page.wait_for_timeout(50)
        if shown.page.locator(f"#{name}:not(.stale)").count():
            return
    raise AssertionError(f"{name} was not drawn")


def reach(shown: Shown, name: str) -> Any:
    """Scroll to a chart, which is drawn by then."""
    _scroll_to(shown, f"chart-{name}")
    return shown.page.locator(f"#chart-{name}")


def choose(shown: Shown, axis: str, value: str) -> None:
    """Leave but one value of a filter, by the keyboard alone."""
    page = shown.page
    page.locator(f'[data-axis="{axis}"] summary').focus()
    page.keyboard.press("Enter")
    page.locator(f'[data-axis="{axis}"] button', has_text="none").focus()
    page.keyboard.press("Enter")
    page.locator(f'[data-axis="{axis}"] input[value="{value}"]').focus()
    page.keyboard.press("Space")
    page.keyboard.press("Escape")


def only(shown: Shown, axis: str, value: str) -> None:
    """Leave but one value of a filter, by the mouse."""
    page = shown.page
    page.locator(f'details[data-axis="{axis}"] summary').click()
    page.locator(f'details[data-axis="{axis}"] button[aria-label="only {value}"]').click()
    page.keyboard.press("Escape")


def answer_of(shown: Shown) -> dict[str, Any]:
    """What the page says and marks: the headline, the sentences, and the texts of the heat maps' cells."""
    return {
        "headline": shown.page.locator("header .of-setting:visible h1").inner_text(),
        "sentences": shown.look("[...document.querySelectorAll('#answer .sentences li')].map(e => e.textContent)"),
        "maps": shown.look(
            """[...document.querySelectorAll('#maps .of-model')].map(map => [
                 map.querySelector('h3').textContent,
                 [...map.querySelectorAll('tbody tr')].map(row => [...row.children].map(cell => cell.textContent))])"""
        ),
    }
