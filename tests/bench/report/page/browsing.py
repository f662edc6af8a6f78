"""A page that is open in a browser, and what a reader does with it and sees of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.bench.report.page import driving

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


def render(path: Path, *folders: Path) -> Path:
    """Write the page of some results folders."""
    pytest.importorskip("vl_convert")
    from bench.report.page.document import render_page

    path.write_text(render_page(folders))
    return path


def draw_all(shown: Shown) -> None:
    """Scroll through the page until every chart is drawn, and back to its top."""
    for name in shown.look("[...document.querySelectorAll('.chart')].map(chart => chart.id)"):
        shown.page.evaluate("id => document.getElementById(id).scrollIntoView()", name)
        shown.page.wait_for_selector(f"#{name}:not(.stale)", timeout=30_000)
    shown.look("scrollTo(0, 0)")


def reach(shown: Shown, name: str) -> Any:
    return driving.reach(shown.page, name)


def choose(shown: Shown, axis: str, value: str) -> None:
    driving.choose(shown.page, axis, value)


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
