"""The page in a real browser: a headless Chromium that is here already, driven by Playwright; nothing is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.machine.environment import ROOT
from bench.plans.case import Case
from bench.records.record import Record
from bench.records.store import FILE
from bench.report.page.document import render_page
from tests.bench.report.page.driving import BROWSER, choose, reach

pytest.importorskip("vl_convert")
pytest.importorskip("playwright.sync_api")
pytestmark = BROWSER
HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>"


def test_it_loads_without_a_network_or_a_complaint_and_draws_every_chart(
    opened: Any, quick: Path, told: list[str]
) -> None:
    shown = opened(quick)
    assert told == []
    names = [chart.get_attribute("data-chart") for chart in shown.locator(".chart").all()]
    assert len(names) >= 6
    assert shown.locator(".chart svg").count() < len(names)  # those far below wait until they come near
    for name in names:
        chart = reach(shown, name)
        assert chart.locator("svg").count() == 1, name
        assert chart.locator("[aria-label]").first.get_attribute("aria-label")
    assert shown.locator("#case-table tbody tr").count() == 22


def test_filters_reach_charts_and_tables_by_the_keyboard_and_can_be_undone(
    opened: Any, quick: Path, told: list[str]
) -> None:
    shown = opened(quick)
    reach(shown, "front")
    points = shown.locator("#chart-front .mark-symbol.role-mark path")
    assert points.count() == 22
    choose(shown, "variant", "compile-max")
    assert points.count() == 4
    assert shown.locator("#count").inner_text() == "4 of 22 cases"
    assert shown.locator("#case-table tbody tr").count() == 4
    assert shown.locator("#front-table tbody tr").count() == 2
    shown.locator("#record-fold > summary").click()
    records = shown.locator("#record-table tbody tr td:first-child")
    assert {text.split("/")[1] for text in records.all_inner_texts()} == {"compile-max"}
    shown.locator("#reset").click()
    assert shown.locator("#case-table tbody tr").count() == 22
    choose(shown, "precision", "fp16")
    choose(shown, "variant", "eager")  # which has no fp16 on a CPU
    assert shown.locator("#chart-front .empty").count() == 1
    assert told == []


def test_a_heading_sorts_and_a_word_is_explained_on_focus_and_dismissed(opened: Any, quick: Path) -> None:
    shown = opened(quick)
    speed = "#case-table tbody td:nth-child(8)"
    shown.locator("#case-table th button", has_text="images/s").click()
    found = [float(text) for text in shown.locator(speed).all_inner_texts()]
    assert found == sorted(found)
    word = shown.locator("#front").get_by_role("button", name="p50", exact=True)
    tip = shown.locator(f"#{word.get_attribute('aria-describedby')}")
    assert not tip.is_visible()
    word.focus()
    assert tip.is_visible()
    assert "host time" in tip.inner_text()
    shown.keyboard.press("Escape")
    assert not tip.is_visible()


def test_it_follows_the_readers_colours_and_fits_a_phone(opened: Any, quick: Path, told: list[str]) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = opened(quick), opened(quick, color_scheme="dark")
    assert light.evaluate(paper) == "rgb(255, 255, 255)"
    assert dark.evaluate(paper) == "rgb(21, 24, 28)"
    ink = "getComputedStyle(document.querySelector('#chart-front .role-axis-title text')).fill"
    assert light.evaluate(ink) != dark.evaluate(ink)
    dark.emulate_media(media="print")
    assert dark.evaluate(paper) == "rgb(255, 255, 255)"
    phone = opened(quick, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    assert (
        phone.evaluate(
            "Math.max(...[...document.querySelectorAll('.chart svg')].map(e => e.getBoundingClientRect().right))"
        )
        <= 360
    )
    assert told == []


def test_markup_in_records_is_text_wherever_it_is_opened(opened: Any, tmp_path: Path, told: list[str]) -> None:
    lines = [json.loads(line) for line in (ROOT / "results/cpu-quick" / FILE).read_text().splitlines()]
    for line in lines:
        line["reason"] = HOSTILE
        line["details"] = {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}
        line["cold"]["caches"] = HOSTILE
        line["environment"]["cpu"]["name"] = HOSTILE
    (tmp_path / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = tmp_path / "report.html"
    path.write_text(render_page([tmp_path]))
    shown = opened(path)
    shown.locator("#record-fold > summary").click()
    for summary in shown.locator("#record-table td button").all()[:40:13]:
        summary.click()
    reach(shown, "cold").locator(".mark-rect path").first.hover()
    assert shown.locator("img, body script:not([type]):not(footer ~ script)").count() == 0
    assert HOSTILE in shown.locator("#record-table").inner_text()
    assert told == []


def test_thousands_of_records_answer_a_filter_within_seconds(opened: Any, tmp_path: Path, told: list[str]) -> None:
    line = json.loads((Path(__file__).parents[2] / "records/golden/schema2.jsonl").read_text().splitlines()[0])
    made = []
    for model in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
        for variant in ("eager", "compile", "compile-max", "library-fused", "fused", "per-layer", "onnxruntime"):
            for precision in ("fp32", "tf32", "fp16", "bf16"):
                for batch in (1, 2, 4, 8, 16, 32, 64, 128):
                    for launch in ("stream", "graph"):
                        case = Case(model, variant, precision, batch, 224, launch).name
                        ns = [1000 * batch + 7 * place for place in range(40)]
                        made.append(json.dumps(line | {"case": case, "round": 0, "latency_ns": ns, "throttled": {}}))
    (tmp_path / FILE).write_text("\n".join(made) + "\n")
    path = tmp_path / "report.html"
    path.write_text(render_page([tmp_path]))
    shown = opened(path)
    assert shown.locator("#count").inner_text() == "280 of 2240 cases"  # of one precision and launch
    shown.locator("#reset").click()
    assert shown.locator("#count").inner_text() == "2240 cases"
    seconds = []
    for _ in range(3):  # the least counts, as other tests run beside it
        choose(shown, "model", "resnet50")
        assert shown.locator("#count").inner_text() == "448 of 2240 cases"
        # the table, which a reader waits for, in a blink; the charts follow one by one
        seconds.append(
            shown.evaluate(
                """() => { const start = performance.now(); document.querySelector('#reset').click();
                           return (performance.now() - start) / 1000; }"""
            )
        )
    assert min(seconds) < 2
    assert Record.parse(made[0]).status == "ok"
    assert told == []
