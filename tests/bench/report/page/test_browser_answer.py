"""The answer on the page: heat maps that fit, whose every cell says what it is, by the keyboard as by the mouse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.machine.environment import ROOT
from bench.records.store import FILE
from tests.bench.report.page.browsing import Shown, in_browser
from tests.bench.report.page.conftest import render

pytestmark = in_browser
Open, Pages = Callable[..., Shown], Callable[[int], Path]
# what the keyboard can reach: each stop of Tab, and the cells of a heat map, which the arrows reach
STOPS = """[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')].filter(
    e => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({visibilityProperty: true}))"""


def test_the_answer_of_three_models_is_on_the_first_screen(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(355))
    bottoms = shown.look("[...document.querySelectorAll('.of-model')].map(e => e.getBoundingClientRect().bottom)")
    assert len(bottoms) == 3
    assert max(bottoms) <= 900
    wide = "[...document.querySelectorAll('#maps .scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert shown.look(wide) == 0
    screens = shown.look("document.documentElement.scrollHeight / innerHeight")
    print(f"the page of 355 cases is {screens:.1f} screens high")
    assert screens < 24  # 29 before charts and maps were chosen


def test_five_models_fit_a_screen_or_so(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(1700))
    bottoms = shown.look("[...document.querySelectorAll('.of-model')].map(e => e.getBoundingClientRect().bottom)")
    assert len(bottoms) == 5
    print(f"the maps of 5 models end {max(bottoms) / 900:.2f} screens down")
    assert max(bottoms) <= 1.3 * 900


def test_a_cell_says_what_it_is_and_opens_its_numbers_by_the_keyboard(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(355))
    page = shown.page
    page.locator(".map td[tabindex='0']").first.focus()
    assert "images/s" in page.locator("#tip").inner_text()
    seen = set()
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "End", "ArrowUp", "Home"):
        page.keyboard.press(key)
        seen.add(page.locator("#tip").inner_text())
    assert len(seen) >= 5
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()
    name = shown.look("document.activeElement.parentElement.firstChild.textContent")
    page.keyboard.press("Enter")
    assert f"/{name}/" in page.locator("#one-case-title").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#one-case").is_visible()
    assert shown.look("document.activeElement.closest('.map') !== null")


def test_what_was_not_measured_is_blank_with_its_reason(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(355), "#precision=fp32&launch=graph")
    blank = shown.look(
        """[...document.querySelectorAll('.map td.none')].map(
            e => [e.textContent, e.dataset.tip, e.getAttribute('aria-describedby')])"""
    )
    assert blank
    assert all(tip and described == "tip" for _, tip, described in blank)
    assert any("refused" in tip for mark, tip, _ in blank if mark == "✗")
    eager = shown.look("[...document.querySelectorAll('.map tr.eager td')].map(e => e.textContent)")
    assert all("." not in cell or float(cell.rstrip("★≈?*^k ")) >= 1 for cell in eager if cell)


def test_the_keyboard_reaches_every_control_and_leaves_the_page_again(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(355))
    page, stops = shown.page, int(shown.look(f"{STOPS}.length"))
    shown.look(f"{STOPS}.forEach((e, place) => e.dataset.stop = place)")
    shown.look("document.addEventListener('focusin', e => { e.target.dataset.reached = ''; })")
    shown.look("document.body.focus()")
    missed = "[...document.querySelectorAll('[data-stop]:not([data-reached])')].map(e => e.outerHTML.slice(0, 90))"
    for presses in range(2 * stops + 60):  # regions that scroll are stops, too
        page.keyboard.press("Tab")
        if presses > stops and shown.look(missed) == []:
            break
    assert shown.look(missed) == []  # and so it was nowhere trapped
    page.keyboard.press("Shift+Tab")
    assert shown.look("document.activeElement !== null")


def test_every_word_that_explains_itself_does_so_on_focus_and_goes_by_escape(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(0))
    tips = """[...document.querySelectorAll('[data-tip]')].filter(e => e.checkVisibility()).flatMap(e => {
        e.focus();
        const tip = document.getElementById('tip'), said = tip.checkVisibility() && tip.textContent === e.dataset.tip;
        const box = tip.getBoundingClientRect();
        const within = box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight;
        document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}));
        return said && within && !tip.checkVisibility() ? [] : [`${e.textContent}: ${said} ${within}`];
    })"""
    assert shown.look(tips) == []


def test_escape_closes_a_filter_and_a_click_elsewhere_does(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(355))
    page = shown.page
    page.locator("details[data-axis='batch'] summary").click()
    assert page.locator("details[data-axis='batch'] .quick").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("details[data-axis='batch'] .quick").is_visible()
    assert shown.look("document.activeElement.tagName") == "SUMMARY"
    page.locator("details[data-axis='batch'] summary").click()
    page.locator("h1").first.click()
    assert not page.locator("details[data-axis='batch'] .quick").is_visible()


@pytest.mark.parametrize("cases", [0, 355])
def test_a_heading_sorts(cases: int, opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(cases))
    page, heads = shown.page, shown.texts("#case-table th")
    place = 1 + next(place for place, head in enumerate(heads) if head.startswith("images/s"))
    button = page.locator(f"#case-table th:nth-child({place}) button")
    for _ in range(2):
        button.focus()  # by the keyboard: charts that are drawn above may move it from under a mouse
        page.keyboard.press("Enter")
        direction = page.locator(f"#case-table th:nth-child({place})").get_attribute("aria-sort")
        found = [
            float(text.replace(",", "").split()[0].rstrip("!"))
            for text in shown.texts(f"#case-table td:nth-child({place})")
        ]
        assert found == sorted(found, reverse=direction == "descending")
    assert direction == "descending"


def test_what_has_no_number_stands_last_in_either_order(opened: Open, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (ROOT / "results/cpu-quick" / FILE).read_text().splitlines()]
    without = [line | ({"memory": {}} if "/eager/" in line["case"] else {}) for line in lines]
    (tmp_path / FILE).write_text("".join(json.dumps(line) + "\n" for line in without))
    shown = opened(render(tmp_path / "report.html", tmp_path), "#precision=all")
    place = 1 + next(place for place, head in enumerate(shown.texts("#case-table th")) if head.startswith("MiB"))
    for _ in range(2):
        shown.page.locator(f"#case-table th:nth-child({place}) button").click()
        blank = [text == "-" for text in shown.texts(f"#case-table td:nth-child({place})")]
        assert any(blank)
        assert blank == sorted(blank)


def test_the_page_of_the_committed_records_is_small(page_of: Pages) -> None:
    size = page_of(0).stat().st_size
    print(f"the page of {(ROOT / 'results/cpu-quick').name} has {size / 1e6:.2f} MB")
    assert size < 1_500_000
