"""The pictures for slides and documents: what they say, that their text can be read, and that it is always the same."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from bench.machine.environment import ROOT
from bench.report.page import look, stills

pytest.importorskip("vl_convert")
QUICK = ROOT / "results" / "cpu-quick"


def texts(svg: str) -> list[str]:
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")
    ]


def test_pictures_of_a_document_are_light_and_dark_and_equal_records_give_equal_bytes() -> None:
    pictures = stills.readme_pictures(QUICK)
    assert {"answer-light.svg", "answer-dark.svg"} <= set(pictures)
    assert stills.readme_pictures(QUICK) == pictures
    for name, content in pictures.items():
        svg = content.decode()
        mode = look.DARK if name.endswith("-dark.svg") else look.LIGHT
        assert look.COLOURS["paper"][mode] in svg
        assert "var(" not in svg
        assert set(re.findall(r'font-family="([^"]*)"', svg)) == {look.STILL_FONT}
        assert ElementTree.fromstring(svg).get("width") == "800"


def test_the_answer_has_a_bar_a_variant_with_its_speed_and_names_ties_as_ties() -> None:
    words = texts(stills.readme_pictures(QUICK)["answer-light.svg"].decode())
    assert words[0] == "compile-max/bf16 and library-fused/bf16 run resnet50 equally fast (batch 1)"
    assert next(text for text in words if text.startswith("92.80")).endswith("1.76 times eager/bf16\u2002\u2002≈")
    assert {"eager/bf16", "onnxruntime/fp32"} <= set(words)  # each in its best precision
    assert "eager/fp32" not in words
