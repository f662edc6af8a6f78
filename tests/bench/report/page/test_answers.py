"""The answer of the page in a browser: it follows the filters, says no more than Python does, and is in the address."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.records.record import Record
from bench.report.answer import contests_of, describe_fastest
from bench.report.page.document import render_page
from bench.report.page.settings import headline
from bench.report.rows import rows_from_records
from tests.bench.report import precisions
from tests.bench.report.page.browsing import Shown, choose, in_browser, reach
from tests.bench.report.page.sweeps import Make, another, stored, sweep
from tests.bench.report.shown import windows

pytest.importorskip("vl_convert")
pytest.importorskip("playwright.sync_api")
pytestmark = in_browser

FAST, SLOW = windows([20] * 8), windows([10] * 8)
VARIANTS = ("eager", "compile", "compile-max", "library-fused")
H1 = "header .of-setting:not([hidden]) h1"


def page_of(folder: Path, records: list[Record]) -> Path:
    path = folder / "report.html"
    path.write_text(render_page([stored(folder / "records", records)]))
    return path


def many_ways(record: Make) -> list[Record]:
    """Four variants in two precisions and launches: library-fused wins, and of fp32's graphs there is no eager."""
    made = []
    for number, variant in enumerate(VARIANTS):
        for precision, gain in (("fp32", 1.0), ("bf16", 1.5)):
            for launch, more in (("stream", 1.0), ("graph", 1.2)):
                for batch in (1, 8):
                    if (variant, precision, launch) == ("eager", "fp32", "graph"):
                        continue
                    rate = 10 * (1 + number / 4) * gain * more
                    made.append(record(f"resnet18/{variant}/{precision}/b{batch}/i224/{launch}", **windows([rate] * 8)))
    return made


SETS: dict[str, Callable[[Make], list[Record]]] = {
    "sweep": sweep,
    "eight bits": lambda record: precisions.sweep(record, {"resnet50": 1.0, "resnet18": 0.5}),
    "ties, winners and what is open": lambda record: [
        record("resnet18/eager/fp32/b1/i224/stream", **SLOW),
        record("resnet18/compile/fp16/b1/i224/stream", **FAST),
        record("resnet18/eager/fp16/b8/i224/graph", **FAST),
        record("resnet18/compile/fp16/b8/i224/graph", **windows([10] * 7 + [40])),
        record("resnet18/eager/fp16/b8/i224/stream", **SLOW),
        record("resnet18/compile/fp16/b8/i224/stream", **windows([10.1] * 8)),
        record("resnet18/eager/fp32/b2/i224/stream", **FAST),
        record("resnet18/compile/fp32/b2/i224/stream", **windows([10] * 8, disturbed=range(5))),
    ],
    "ties": lambda record: [
        record(f"resnet18/{variant}/fp32/b{batch}/i224/stream", **(SLOW if variant == "eager" else FAST))
        for variant in VARIANTS[:3]
        for batch in (1, 2, 4, 8, 16, 32)
    ],
    "without intervals": lambda record: [record(f"resnet18/{name}/fp32/b1/i224/stream") for name in VARIANTS[:2]],
    "alone": lambda record: [record("resnet18/eager/fp32/b1/i224/stream")],
    "several images": lambda record: [
        record(f"resnet18/{name}/fp32/b1/i{image}/stream", **rates)
        for name, rates in (("eager", SLOW), ("compile", FAST))
        for image in (160, 224)
    ],
    "nothing": lambda record: [record("resnet18/eager/fp16/b1/i224/stream", status="skipped", reason="no fp16 here")],
}


@pytest.mark.parametrize("name", SETS)
def test_of_all_cases_the_page_says_what_python_says(opened: Any, tmp_path: Path, record: Make, name: str) -> None:
    records = SETS[name](record)
    contests = contests_of(rows_from_records(records))
    shown = opened(page_of(tmp_path, records)).page
    if shown.locator("#reset").is_visible():
        shown.locator("#reset").click()
    assert shown.locator(H1).inner_text() == headline(contests)
    said = shown.locator("#answer .of-setting:not([hidden]) .sentences li").all_text_contents()
    assert said == describe_fastest(records, contests).splitlines() or not contests


def test_the_answer_follows_the_filters(opened: Any, tmp_path: Path, record: Make) -> None:
    shown = opened(page_of(tmp_path, many_ways(record))).page
    assert shown.locator("#count").inner_text() == "8 of 30 cases"
    assert shown.locator(H1).inner_text() == (
        "library-fused/bf16 runs resnet18 fastest (batch 1, 8, as a graph): 1.75±0.0% times the images per second of "
        "the best eager."
    )
    first = shown.locator("#answer .sentences li").first
    assert "library-fused/bf16/graph is fastest" in first.inner_text()
    choose(Shown(shown), "variant", "compile")
    assert shown.locator(H1).inner_text() == "Only one way of running resnet18 is chosen (batch 1, 8, as a graph)."
    assert "of the ways chosen only compile/bf16/graph" in first.inner_text()
    shown.locator('[data-axis="variant"] summary').click()
    shown.locator('[data-axis="variant"] input[value="compile-max"]').check()
    # no contest of Python's has these rows alone: their own intervals are judged, and the page says so
    assert (
        shown.locator(H1)
        .inner_text()
        .startswith("compile-max/bf16 runs resnet18 fastest (batch 1, 8, as a graph): 1.50")
    )
    assert "by intervals that do not overlap" in first.inner_text()
    assert "judged by the intervals of its own images/s" in shown.locator("#answer").inner_text()
    shown.locator("#as-opened").click()
    assert "library-fused/bf16 runs" in shown.locator(H1).inner_text()
    shown.locator('[data-axis="variant"] summary').click()
    shown.locator('[data-axis="variant"] button', has_text="none").click()
    assert shown.locator(H1).inner_text() == "The filters leave no case that was measured."
    assert shown.locator("#maps table").count() == 0


def test_what_the_rows_of_a_filter_do_not_tell_is_open(opened: Any, tmp_path: Path, record: Make) -> None:
    records = [
        record("resnet18/eager/fp32/b1/i224/stream", **SLOW),
        record("resnet18/compile/fp32/b1/i224/stream", **windows([12, 18] * 4)),
        record("resnet18/compile-max/fp32/b1/i224/stream", **windows([13, 17] * 4)),
        record("resnet18/library-fused/fp32/b1/i224/stream", **windows([40] * 8)),
    ]
    shown = opened(page_of(tmp_path, records), "#variant=compile,compile-max").page
    assert "cannot be told" in shown.locator(H1).inner_text()
    assert (
        "which of the ways chosen is fastest cannot be told, as intervals overlap"
        in shown.locator(".sentences li").inner_text()
    )
    assert [cell.split("?")[1:] for cell in shown.locator("#maps td").all_inner_texts()] == [[""], [""]]


def test_a_heat_map_marks_winners_ties_and_unlike_baselines_and_says_why_a_cell_is_blank(
    opened: Any, tmp_path: Path, record: Make
) -> None:
    records = [
        record("resnet18/eager/fp32/b1/i224/stream", **SLOW),
        record("resnet18/compile/fp32/b1/i224/stream", **FAST),
        record("resnet18/eager/fp32/b2/i224/stream", **SLOW),
        record("resnet18/compile/fp32/b2/i224/stream", **windows([10.1] * 8)),
        record("resnet18/eager/fp32/b4/i224/stream", **windows([10, 20] * 4)),
        record("resnet18/compile/fp32/b4/i224/stream", **windows([20, 10] * 4)),
        record("resnet18/compile-max/fp32/b1/i224/stream", **windows([5] * 8)),
        record("resnet18/compile-max/fp32/b2/i224/stream", status="wrong", reason="<b>not</b> a number"),
        record("resnet18/compile/fp16/b1/i224/stream", **FAST),
    ]
    shown = opened(page_of(tmp_path, records)).page
    lines = {line.split("\t")[0]: line.split("\t")[1:] for line in shown.locator("#maps tbody tr").all_inner_texts()}
    assert lines == {
        "eager": ["10.0", "10.0≈", "10.0?"],
        "compile": ["2.00★", "1.01≈", "1.00?"],
        "compile-max": ["0.50", "✗", ""],
    }
    assert shown.locator("#maps td.best").all_inner_texts() == ["2.00★"]
    classes = [cell.get_attribute("class") or "" for cell in shown.locator("#maps td").all()]
    heat = [re.search(r"h[fs]?\d|$", name) for name in classes]
    assert [found and found[0] for found in heat] == ["", "", "", "hf3", "h0", "h0", "hs3", "", ""]
    shown.locator("#maps td").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        shown.keyboard.press(key)
    assert shown.locator("#tip").inner_text() == "compile-max, batch 2: wrong: <b>not</b> a number"
    shown.keyboard.press("ArrowRight")
    assert "not measured in these records" in shown.locator("#tip").inner_text()
    shown.locator("#maps select").select_option("fp16")
    assert shown.locator("#maps td").all_inner_texts() == ["2.00*"]
    assert "over eager's fp32" in shown.locator("#maps .legend").inner_text()


def test_a_cell_opens_all_numbers_of_its_case_by_the_keyboard(opened: Any, quick: Path) -> None:
    shown = opened(quick).page
    shown.locator("#maps td").first.focus()
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("Enter")
    case = shown.locator("#one-case")
    assert case.is_visible()
    assert re.fullmatch(r"resnet50/[\w-]+/bf16/b1/i224/stream", case.locator("h2").inner_text())
    for title in ("p50 ms", "images/s", "vs eager", "MiB"):
        assert case.locator("dt", has_text=title).count() >= 1, title
    case.locator("dt button", has_text="vs eager").first.focus()
    assert shown.locator("#tip").is_visible()
    case.locator("details summary").first.click()
    assert "environment" in case.locator("details").first.inner_text()
    shown.keyboard.press("Escape")
    assert not case.is_visible()


def test_the_address_has_what_was_chosen_and_gives_it_back(opened: Any, tmp_path: Path, record: Make) -> None:
    path = page_of(tmp_path, many_ways(record))
    shown = opened(path).page
    assert "#" not in shown.url
    choose(Shown(shown), "precision", "fp32")
    assert shown.url.partition("#")[2] == "precision=fp32"
    shown.locator("#view").select_option("memory")
    assert shown.url.partition("#")[2] == "precision=fp32&view=memory"
    shown.go_back()
    shown.wait_for_selector("html[data-answered]")
    assert shown.locator("#view").input_value() == "speed"
    shown.go_back()
    assert shown.locator("#count").inner_text() == "8 of 30 cases"
    shown.go_forward()
    assert shown.url.partition("#")[2] == "precision=fp32"
    assert shown.locator("#count").inner_text() == "6 of 30 cases"
    again = opened(path, "#cases&variant=eager,compile&launch=all&batch=77&precision=such,none&view=so&x=%E0%A4%A").page
    assert again.locator("#count").inner_text() == "8 of 30 cases"  # both launches, one precision
    assert again.locator("#view").input_value() == "speed"
    assert again.evaluate("scrollY") > 0
    assert opened(path, "#noise").page.evaluate("document.getElementById('noise').getBoundingClientRect().top") < 200


def test_a_link_keeps_the_filters_in_the_address(opened: Any, tmp_path: Path, record: Make) -> None:
    shown = opened(page_of(tmp_path, many_ways(record)), "#batch=8").page
    shown.locator("nav a", has_text="Words").click()
    assert shown.url.partition("#")[2] == "words&batch=8"
    assert shown.locator("#count").inner_text() == "4 of 30 cases"
    assert shown.evaluate("document.activeElement.id") == "words"
    shown.go_back()
    assert shown.url.partition("#")[2] == "batch=8"


def test_each_machine_opens_on_its_own_and_keeps_what_the_reader_chose(
    opened: Any, tmp_path: Path, record: Make, here: dict[str, Any]
) -> None:
    other = another(here, cpu=here["cpu"] | {"name": "another processor"})
    names = [f"resnet18/{variant}/fp32/b{batch}/i224/stream" for variant in VARIANTS[:2] for batch in (1, 8)]
    there = stored(tmp_path / "there", [record(name, environment=other) for name in names])
    path = tmp_path / "report.html"
    path.write_text(render_page([stored(tmp_path / "here", many_ways(record)), there]))
    shown = opened(path, "#batch=8").page
    assert shown.locator("#count").inner_text() == "4 of 30 cases"
    shown.locator("#setting").select_option("1")
    assert shown.locator("#count").inner_text() == "2 of 4 cases"
    assert shown.url.partition("#")[2] == "machine=2&batch=8"


def test_every_heading_says_what_it_means(opened: Any, quick: Path) -> None:
    shown = opened(quick).page
    for view in shown.locator("#view option").all_inner_texts():
        shown.locator("#view").select_option(view)
        for heading in shown.locator("#case-table th button").all():
            assert len(heading.get_attribute("data-tip") or "") > 8, (view, heading.inner_text())
    heading = shown.locator("#case-table th button", has_text="vs fp32")
    heading.hover()
    assert "over eager's fp32" in shown.locator("#tip").inner_text()
    assert shown.locator("#words dt").count() > 80
    phone = opened(quick, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True).page
    phone.locator("#case-table th button", has_text="p50 ms").tap()
    assert phone.locator("#tip").is_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") == 390


def test_marks_of_the_fastest_and_of_ties_stand_in_the_tables(opened: Any, tmp_path: Path, record: Make) -> None:
    shown = opened(page_of(tmp_path, SETS["ties, winners and what is open"](record))).page
    marks = shown.locator("#case-table tbody td:first-child").all_inner_texts()
    assert {mark: marks.count(mark) for mark in "★≈?"} == {"★": 1, "≈": 2, "?": 4}
    assert any("*" in cell for cell in shown.locator("#case-table tbody td").all_inner_texts())


def test_more_panels_are_drawn_when_a_reader_wants_them(opened: Any, tmp_path: Path, record: Make) -> None:
    models = [f"resnet{depth}{kind}" for depth in (18, 34, 50) for kind in ("", "v1", "v2")]
    records = [record(f"{model}/eager/fp32/b1/i224/stream") for model in models]
    shown = opened(page_of(tmp_path, records)).page
    reach(Shown(shown), "memory")
    panels = shown.locator("#chart-memory .mark-group.role-scope.cell > g")
    assert panels.count() == 6
    more = shown.locator("#note-memory button")
    assert more.inner_text() == "show 3 more"
    more.click()
    shown.wait_for_selector("#note-memory:not(:has(button))", state="attached")
    panels.nth(8).wait_for()
    assert panels.count() == 9


def test_print_has_every_chart_and_the_filters_in_words(opened: Any, tmp_path: Path, record: Make) -> None:
    shown = opened(page_of(tmp_path, many_ways(record)), color_scheme="dark").page
    charts = shown.locator(".chart").count()
    assert shown.locator(".chart svg").count() < charts
    assert len(shown.pdf(format="A4")) > 50_000
    assert shown.locator(".chart svg").count() == charts
    shown.emulate_media(media="print")
    assert shown.locator("#filter-words").inner_text() == "Shown: precision bf16; launch graph; 8 of 30 cases."
    assert not shown.locator("#filters").is_visible()
    assert not shown.locator("#records").is_visible()


def test_what_has_no_number_is_last_in_either_order(opened: Any, tmp_path: Path, record: Make) -> None:
    samples = {1: 700, 8: 15, 32: 700}  # too few for a p99 at batch 8
    records = [
        record(f"resnet18/eager/fp32/b{batch}/i224/stream", latency_ns=[batch * 1_000_000] * count)
        for batch, count in samples.items()
    ]
    shown = opened(page_of(tmp_path, records), "#view=tail").page
    heads = shown.locator("#case-table th").all_inner_texts()
    place = 1 + heads.index("p99")
    for order in (["1.000", "32.00", "-"], ["32.00", "1.000", "-"]):
        shown.locator(f"#case-table th:nth-child({place}) button").click()
        assert shown.locator(f"#case-table td:nth-child({place})").all_inner_texts() == order


def test_tables_begin_with_fifty_rows_and_records_are_built_when_they_are_opened(
    opened: Any, tmp_path: Path, record: Make
) -> None:
    records = [record(f"resnet18/{name}/fp32/b{batch}/i224/stream") for name in VARIANTS[:3] for batch in range(1, 31)]
    shown = opened(page_of(tmp_path, records)).page
    rows = shown.locator("#case-table tbody tr")
    assert rows.count() == 50
    shown.locator("#case-note button").click()
    assert rows.count() == 90
    assert shown.locator("#record-table tr").count() == 0
    shown.locator("#record-fold > summary").click()
    assert shown.locator("#record-table tbody tr").count() == 50
