"""How long a reader waits with thousands of records; text of records that is markup stays text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.machine.environment import ROOT
from bench.records.store import FILE
from tests.bench.report.page.browsing import HOSTILE, Shown, answer_of, draw_all, in_browser, open_page, reach
from tests.bench.report.page.conftest import render

pytestmark = in_browser
Pages = Callable[[int], Path]
ANSWER_S, FILTER_S = 2.0, 0.3  # the goals
TRIES = 3
# the time from the beginning of the navigation until the maps are painted
WATCH = """new MutationObserver(() => {
    if (!window.answered && document.querySelector('#maps td'))
        window.answered = new Promise(done =>
            requestAnimationFrame(() => setTimeout(() => done(performance.now() / 1000))));
}).observe(document, {subtree: true, childList: true})"""
# the time from a click until all that it changed at once is painted; the charts in view follow one by one
CLICK = """selector => new Promise(done => {
    const start = performance.now();
    document.querySelector(selector).click();
    requestAnimationFrame(() => setTimeout(() => done((performance.now() - start) / 1000)));
})"""


def seconds_to_the_answer(browser: Any, path: Path) -> float:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(WATCH)
    page.goto(path.as_uri())
    found = float(page.evaluate("window.answered"))
    page.context.close()
    return found


@pytest.mark.timed
def test_thousands_of_records_answer_at_once(
    browser: Any, page_of: Pages, record_property: Callable[[str, object], None]
) -> None:
    path = page_of(1700)
    to_answer = min(seconds_to_the_answer(browser, path) for _ in range(TRIES))
    shown = open_page(browser, path)
    assert shown.texts("#count")[0].endswith("of 1575 cases")
    filters: dict[str, float] = {}
    for axis, value in (("model", "resnet50"), ("variant", "fused"), ("precision", "bf16"), ("batch", "32")):
        took = []
        for _ in range(TRIES):
            took.append(shown.look(CLICK, f'details[data-axis="{axis}"] button[aria-label="only {value}"]'))
            shown.page.wait_for_timeout(100)
            shown.look("document.querySelector('#reset').click()")
            shown.page.wait_for_timeout(100)
        filters[axis] = min(took)
    everything = min(shown.look(CLICK, "#reset") for _ in range(TRIES))
    said = {"answer": to_answer, **filters, "show all": everything}
    for name, seconds in said.items():
        record_property(f"seconds, {name}", round(seconds, 3))
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in said.items()), f"{path.stat().st_size / 1e6:.1f} MB")
    assert shown.said == []
    shown.page.context.close()
    assert to_answer < ANSWER_S
    assert max(filters.values()) < FILTER_S
    assert everything < FILTER_S


def test_ten_thousand_records_open(browser: Any, tmp_path: Path, folder_of: Callable[[int], Path]) -> None:
    """With few samples each, as the page holds none of them: 355 cases in 30 rounds."""
    lines = [json.loads(line) for line in (folder_of(355) / FILE).read_text().splitlines()]
    with (tmp_path / FILE).open("w") as file:
        for turn in range(30):
            for line in lines:
                short = {name: line[name][:12] for name in ("latency_ns", "gpu_ns")} | {"windows": line["windows"][:3]}
                file.write(json.dumps(line | short | {"round": turn}) + "\n")
    path = render(tmp_path / "report.html", tmp_path)
    shown = open_page(browser, path)
    print(f"the page of {30 * len(lines)} records has {path.stat().st_size / 1e6:.1f} MB")
    assert len(answer_of(shown)["maps"]) == 3
    shown.page.locator("#record-fold > summary").click()
    assert shown.page.locator("#record-table tbody tr").count() == 50
    assert shown.said == []
    shown.page.context.close()


def test_markup_in_records_is_text_wherever_it_is_opened(opened: Callable[..., Shown], tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (ROOT / "results/cpu-quick" / FILE).read_text().splitlines()]
    for line in lines:
        line["reason"] = HOSTILE
        line["details"] = {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}
        line["cold"]["caches"] = HOSTILE
        line["environment"]["cpu"]["name"] = f"{HOSTILE}\x1b[2J\u202e"
    (tmp_path / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    shown = opened(render(tmp_path / "report.html", tmp_path))
    draw_all(shown)
    shown.page.locator("#record-fold > summary").click()
    for summary in shown.page.locator("#record-table td button").all()[:40:13]:
        summary.click()
    shown.page.locator(".map td:not(.none)").first.click()
    assert HOSTILE in shown.page.locator("#one-case").inner_html().replace("&lt;", "<").replace("&gt;", ">")
    shown.page.keyboard.press("Escape")
    reach(shown, "cold").locator(".mark-rect path").first.hover()
    assert shown.page.locator("img, iframe, body script:not([type]):not(footer ~ script)").count() == 0
    text = shown.look("document.body.innerText")
    assert HOSTILE in text
    assert "\\x1b[2J\\u202e" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
