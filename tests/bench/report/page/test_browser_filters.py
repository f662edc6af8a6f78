"""Filters: by mouse and keyboard, all that the page says follows them, as Python says it of the same records alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.plans.case import Case
from bench.records.store import FILE
from tests.bench.report.page.browsing import AXES, Shown, answer_of, choose, draw_all, in_browser, only, reach
from tests.bench.report.page.conftest import render

pytestmark = in_browser
Open, Pages = Callable[..., Shown], Callable[[int], Path]
ALL = "#precision=all&launch=all"


def measured(folder: Path) -> list[Case]:
    lines = map(json.loads, (folder / FILE).read_text().splitlines())
    return [Case.parse(line["case"]) for line in lines if line["status"] == "ok"]


def some_of(folder: Path, into: Path, keep: Callable[[Case], bool]) -> Path:
    """The folder of those records whose case is to be kept."""
    lines = [
        line for line in (folder / FILE).read_text().splitlines(True) if keep(Case.parse(json.loads(line)["case"]))
    ]
    into.mkdir()
    (into / FILE).write_text("".join(lines))
    return into


@pytest.mark.parametrize("way", [only, choose], ids=["mouse", "keyboard"])
def test_each_filter_leaves_its_cases_and_can_be_undone(
    way: Callable[..., None], opened: Open, page_of: Pages, folder_of: Callable[[int], Path]
) -> None:
    shown, cases = opened(page_of(355), ALL), measured(folder_of(355))
    for axis in AXES:
        value = getattr(cases[7], axis)
        way(shown, axis, str(value))
        left = sum(getattr(case, axis) == value for case in cases)
        assert shown.texts("#count") == [f"{left} of {len(cases)} cases"], axis
        shown.page.locator("#reset").click()
        assert shown.texts("#count") == [f"{len(cases)} cases"]


def test_charts_tables_and_records_follow(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(0))
    reach(shown, "front")
    choose(shown, "variant", "compile-max")
    assert shown.texts("#count") == ["4 of 22 cases"]
    assert shown.page.locator("#case-table tbody tr").count() == 4
    assert {row.split("\t")[2].split("/")[0] for row in shown.texts("#case-table tbody tr")} == {"compile-max"}
    shown.page.locator("#record-fold > summary").click()
    names = shown.texts("#record-table tbody tr td:first-child")
    assert {name.split("/")[1] for name in names} == {"compile-max"}
    draw_all(shown)
    choose(shown, "precision", "fp16")
    choose(shown, "variant", "eager")  # which has no fp16 on a CPU
    assert shown.page.locator("#chart-front .empty").count() == 1
    assert answer_of(shown)["headline"] == "The filters leave no case that was measured."
    assert answer_of(shown)["maps"] == []


@pytest.mark.parametrize(("cases", "precision"), [(0, "fp32"), (0, "bf16"), (355, "fp16"), (355, "fp32")])
def test_one_precision_answers_as_the_page_of_its_records_alone(
    cases: int, precision: str, opened: Open, page_of: Pages, folder_of: Callable[[int], Path], tmp_path: Path
) -> None:
    folder = some_of(folder_of(cases), tmp_path / "some", lambda case: case.precision == precision)
    alone = answer_of(opened(render(tmp_path / "alone.html", folder), "#launch=all"))
    filtered = answer_of(opened(page_of(cases), f"#precision={precision}&launch=all"))
    assert filtered["sentences"] == alone["sentences"]
    assert filtered["headline"] == alone["headline"]
    assert filtered["maps"] == alone["maps"]


def marks_of(maps: list[Any]) -> dict[tuple[str, str, int], str]:
    """The mark of each cell of the heat maps, by model, variant and place."""
    return {
        (model, line[0], place): next((mark for mark in "★≈?" if mark in cell), "")
        for model, lines in maps
        for line in lines
        for place, cell in enumerate(line[1:])
    }


@pytest.mark.parametrize("left", [("eager", "compile", "fused"), ("compile", "library-fused"), ("fused", "per-layer")])
def test_of_some_variants_no_winner_is_named_that_python_does_not_name(
    left: tuple[str, ...], opened: Open, page_of: Pages, folder_of: Callable[[int], Path], tmp_path: Path
) -> None:
    """The script judges by the rows' own intervals and may be less sure than Python, but never surer."""
    folder = some_of(folder_of(355), tmp_path / "some", lambda case: case.variant in left)
    where = "precision=fp16&launch=graph"
    alone = marks_of(answer_of(opened(render(tmp_path / "alone.html", folder), f"#{where}"))["maps"])
    shown = opened(page_of(355), f"#{where}&variant={','.join(left)}")
    filtered = answer_of(shown)
    marks = marks_of(filtered["maps"])
    assert marks.keys() == alone.keys()
    assert [cell for cell, mark in marks.items() if mark == "★" and alone[cell] != "★"] == []
    assert sum(mark == "★" for mark in marks.values()) >= sum(mark == "★" for mark in alone.values()) / 2
    assert all("of the ways chosen" in sentence for sentence in filtered["sentences"])
    assert "judged by the intervals" in " ".join(shown.texts("#answer .sentences p"))


def test_several_filters_at_once_and_the_winners_of_map_table_and_sentence_are_the_same(
    opened: Open, page_of: Pages
) -> None:
    shown = opened(page_of(355), "#precision=fp16&launch=graph&model=resnet50&view=memory")
    answer = answer_of(shown)
    ((model, lines),) = answer["maps"]
    assert model == "resnet50"
    in_maps = sorted(line[0] for line in lines for cell in line[1:] if "★" in cell or "≈" in cell)
    rows = [
        row.split("\t")
        for row in shown.look("""[...document.querySelectorAll('#case-table tbody tr')].map(
        row => [...row.children].map(cell => cell.textContent).join('\\t'))""")
    ]
    in_table = sorted(row[2].split("/")[0].split("+")[0] for row in rows if row[0] in "★≈" and row[0])
    assert in_maps == in_table
    assert in_maps
    for variant in set(in_maps):
        assert any(variant in sentence for sentence in answer["sentences"])


def test_the_state_is_in_the_address_and_comes_back(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(355))
    page, opening = shown.page, answer_of(shown)
    assert shown.look("location.hash") == ""
    only(shown, "model", "resnet18")
    page.locator("#view").select_option("memory")
    chosen, address = answer_of(shown), page.url
    assert "model=resnet18" in address
    assert "view=memory" in address
    page.reload()
    page.wait_for_selector("html[data-drawn]")
    assert (answer_of(shown), page.url, page.locator("#view").input_value()) == (chosen, address, "memory")
    page.go_back()
    shown.until("!location.hash.includes('memory')")
    assert page.locator("#view").input_value() != "memory"
    page.go_back()
    shown.until("location.hash === ''")
    assert answer_of(shown) == opening
    page.go_forward()
    shown.until("location.hash.includes('resnet18')")
    assert answer_of(shown) == chosen
    other = opened(page_of(355), address.partition("#")[1] + address.partition("#")[2])
    assert answer_of(other) == chosen


HOSTILE = (
    "#precision=<img src=x onerror=alert(1)>&launch=%3Cscript%3Ealert(1)%3C/script%3E",
    "#model=__proto__&variant=constructor&view=__proto__&map-precision=toString&machine=constructor",
    "#batch=%E0%A4%A&precision=%&launch=%ff&machine=9e99&view=%",
    "#machine=-1&machine=0&model=&variant=,,,&=&==&&&precision",
    "#__proto__&toString&nowhere=1",
    "#" + "x" * 50_000,
)


def test_an_address_of_something_else_opens_the_page_as_ever(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(355))
    as_ever, count = answer_of(shown), shown.texts("#count")
    for fragment in HOSTILE:
        shown.look("text => { location.hash = text; }", fragment)
        shown.look("new Promise(done => setTimeout(done, 60))")
        assert (answer_of(shown), shown.texts("#count")) == (as_ever, count), fragment[:80]
    for fragment in HOSTILE[:3]:
        assert answer_of(opened(page_of(355), fragment)) == as_ever
    assert shown.page.locator("img, iframe, object").count() == 0


def test_a_link_to_a_section_works_beside_the_filters(opened: Open, page_of: Pages) -> None:
    shown = opened(page_of(355), "#batch=8")
    shown.page.locator("nav a", has_text="Failures").click()
    shown.until("location.hash.startsWith('#failures')")
    look = partial(shown.look, "document.activeElement.id")
    assert look() == "failures"
