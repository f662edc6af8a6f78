"""The words that the page explains."""

from __future__ import annotations

import re

from bench.machine.environment import ROOT
from bench.report.page import sections, words


def test_every_word_that_is_marked_is_explained_and_no_other() -> None:
    texts = [section.caption for section in sections.SECTIONS]
    texts += [(ROOT / "bench/report/page/page.html").read_text()]
    used = {word for text in texts for word in re.findall(r"\[\[(.+?)\]\]", text)}
    assert used == set(words.WORDS)
