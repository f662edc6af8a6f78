"""Colours that stand out, and shapes that tell apart without them."""

from __future__ import annotations

import pytest

from bench.report.page import look
from resnet.variants import PRECISIONS, VARIANTS

GROUNDS = {"paper", "panel", "line", "grid"}  # on which, or with which, nothing is said
CELLS = {"h0", *(f"h{way}{step}" for way in "fs" for step in range(1, 5))}  # grounds of a heat map, where text says it


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out_from_the_paper(mode: int) -> None:
    paper = look.COLOURS["paper"][mode]
    for name in ("ink", "soft", "accent", "bad"):
        assert contrast(look.COLOURS[name][mode], paper) >= 4.5, name  # WCAG 2.2, 1.4.3
    for name, pair in look.VARIABLES.items():
        if name not in GROUNDS | CELLS:
            assert contrast(pair[mode], paper) >= 3, name  # 1.4.11
    for name in ("paper", "panel", *CELLS):
        assert contrast(look.COLOURS["ink"][mode], look.COLOURS[name][mode]) >= 4.5, name


def test_every_variant_and_precision_is_told_apart_without_colour() -> None:
    assert set(VARIANTS) <= set(look.MARKS)
    shapes = [mark.shape for mark in (look.MARKS | look.OTHER_MARKS).values()]
    assert len(set(shapes)) == len(shapes)
    assert set(PRECISIONS) <= set(look.DASHES)
    assert len({tuple(dash) for dash in look.DASHES.values()}) == len(look.DASHES)


def test_variants_that_the_table_does_not_have_get_marks_of_their_own() -> None:
    others = [f"mymodule:variant{number}" for number in range(3)]
    words = look.in_order([*others, "compile", "eager", "gone"], VARIANTS)
    assert words == ["eager", "compile", "gone", *others]
    marks = look.colours_and_shapes(words)
    assert len(set(marks.values())) == len(words)
    for colour, _ in marks.values():
        assert look.with_colours(colour).startswith("#")


def test_dashes_show_a_gap_within_a_legends_symbol() -> None:
    for precision, (dash, gap, *_) in look.DASHES.items():
        assert precision == "fp32" or (gap > 0 and dash < 10), precision


def test_the_failures_colour_is_no_marks() -> None:
    red = look.COLOURS["bad"]
    assert [name for name, pair in look.VARIABLES.items() if set(pair) & set(red)] == ["bad", "worse"]  # a regression
