"""The words that the page explains, and the colours that they stand on."""

from __future__ import annotations

import re

import pytest

from bench.machine.environment import ROOT
from bench.report.page import look, sections, words
from bench.report.views import VIEWS
from tests.bench.report.page.test_look import contrast

PAGE = ROOT / "bench/report/page"


def test_every_word_that_is_marked_is_explained_and_no_other() -> None:
    texts = [section.caption for section in sections.SECTIONS]
    texts += [(PAGE / "page.html").read_text()]
    used = {word for text in texts for word in re.findall(r"\[\[(.+?)\]\]", text)}
    assert used == set(words.WORDS)


def test_every_column_of_every_view_says_what_it_means_with_its_marks() -> None:
    by_view = words.column_words([])
    for name, view in VIEWS.items():
        assert set(by_view[name]) == set(view.titles)
        for title, text in by_view[name].items():
            assert re.match(r"\S.{8,}\.$", text), (name, title, text)
            assert all(f"{mark}: {meaning}." in text for mark, meaning in view.marks.get(title, {}).items())
    assert by_view["speed"]["MiB"] == "Peak resident memory of the process."
    assert by_view["energy"]["images/s"] == by_view["speed"]["images/s"]


def test_what_a_legend_says_reaches_its_columns_or_stands_above_them_all() -> None:
    for view in VIEWS.values():
        of_columns, of_all = words.meanings(view, [])
        said = " ".join([*of_columns.values(), of_all]).lower()
        for clause in " ".join(view.meaning.split()).format(memory="").split("; "):
            assert clause.rpartition(": ")[2].strip()[:40].lower() in said


def test_the_list_of_words_has_every_column_once() -> None:
    listed = words.all_columns(words.column_words([]))
    assert {title for view in VIEWS.values() for title in view.titles} | set(words.HEADINGS) == set(listed)
    assert list(listed) == sorted(listed, key=str.lower)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_the_numbers_of_a_heat_map_stand_out_from_every_colour(mode: int) -> None:
    blocks = re.findall(r":root\{(.*?)\}", (PAGE / "page.css").read_text())
    colours = dict(pair.split(":") for pair in blocks[mode].split(";") if pair.startswith("--h"))
    assert len(colours) == 9
    for name, colour in colours.items():
        assert contrast(look.COLOURS["ink"][mode], colour) >= 4.5, name  # WCAG 2.2, 1.4.3
    for name in ("ink", "soft", "accent", "bad"):
        assert contrast(look.COLOURS[name][mode], look.COLOURS["panel"][mode]) >= 4.5, name
