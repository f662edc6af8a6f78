"""A comparison as a comment on a pull request: what it begins with, its width, its length, whose text it repeats."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from markdown_it import MarkdownIt

from bench.records.record import Record
from bench.verdicts.compare import Comparison
from bench.verdicts.rounds import Failed
from bench.verdicts.shown.comment import comment, plain
from tests.bench.verdicts.shown.github import WIDTH, widths
from tests.bench.verdicts.sides import CASE, OTHER, Folder, compare_folders

LIMIT = 65_536  # characters of a comment on GitHub
VARIANTS = ("eager", "compile", "library-fused", "onnxruntime")
LONG = "resnet152/channels-last-amp/fp32/b128/i224/stream"


def mixed(folder: Folder, count: int = 3, rounds: int = 6) -> Comparison:
    """Compile is slower, onnxruntime faster, in many cases of which the others stay."""
    cases = {f"resnet50/{v}/fp32/b{n}/i224/stream": 10.0 for v in VARIANTS for n in range(1, count + 1)} | {LONG: 9.0}
    factors = {"compile": 1.06, "onnxruntime": 0.9, "channels-last-amp": 1.4}
    head = {case: ms * factors.get(case.split("/")[1], 1.0) for case, ms in cases.items()}
    return compare_folders(folder("base", cases, rounds=rounds, turns=1), folder("head", head, rounds=rounds, turns=2))


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page()
    yield page
    page.close()


def cells(text: str, start: str) -> list[str]:
    """The rows of the table under a line of titles, as they stand."""
    lines = text.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith(start))
    rows = lines[begin + 2 :]
    return rows[: next(place for place, line in enumerate([*rows, ""]) if not line.startswith("|"))]


def test_it_begins_with_the_verdict_then_the_variants_then_each_case_once(folder: Folder) -> None:
    comparison = mixed(folder)
    text = comment(comparison, about="`main` against `mine`", picture="out/the picture.svg")
    blocks = text.split("\n\n")
    assert blocks[0].startswith("**Slower: 4 of 13 cases (all 3 of compile, channels-last-amp): latency +")
    assert blocks[1:3] == ["`main` against `mine`", "[The intervals as a picture](out/the%20picture.svg)"]
    rolled = cells(text, "| variant |")
    assert [row.split(" | ")[0] for row in rolled if "latency" in row] == ["| `all`", "| `compile`", "| `onnxruntime`"]
    assert re.fullmatch(r"\| `compile` \| latency \| \+[56]\.\d % \| \+5\.\d to \+6\.\d \| 3 \|  \|  \|  \|", rolled[2])
    listed = cells(text, "| case | latency | throughput |")
    assert len(listed) == 7
    assert listed[0].startswith("| `resnet152/`<br>`channels-last-amp/fp32/`<br>`b128/i224/stream` | **slower +40.")
    folded = text.index("<details>", text.index("| case |"))
    assert text.index("Base and head") > folded
    assert text.index("SAME: ") > folded


def test_nothing_changed_is_one_line_and_the_rest_is_folded(folder: Folder) -> None:
    both = {CASE: 10.0, OTHER: 5.0}
    text = comment(compare_folders(folder("base", both), folder("head", both)))
    open_text = re.sub(r"<details>.*?</details>", "", text, flags=re.S)
    assert open_text.startswith("**No change in 2 cases beyond 2 % (latency, throughput), ")
    assert "|" not in open_text
    assert text.count("<details>") == 2


def test_it_fits_the_column(folder: Folder, page: Any) -> None:
    text = comment(mixed(folder), every=True)
    needs = widths(page, text)
    assert len(needs) >= 5
    assert all(need <= has <= WIDTH for need, has in needs), needs
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH


@pytest.mark.parametrize("every", [False, True])
def test_however_many_cases_there_are_it_is_short_enough_and_says_what_it_left_out(folder: Folder, every: bool) -> None:
    comparison = mixed(folder, 200, 3)
    wide = replace(comparison.verdicts[0], case="a.module.of.mine:" + "build_" * 40 + "/eager/fp32/b1/i224/stream")
    comparison.verdicts = [*comparison.verdicts, wide]
    comparison.new = [f"resnet18/eager/fp32/b{n}/i224/stream" for n in range(1, 5001)]
    comparison.failed = [Failed(CASE, 1, 3, "crash", "a long reason " * 400) for _ in range(500)]
    text = comment(comparison, every)
    assert len(text) < LIMIT
    assert re.search(r"and \d+ more cases, which `--json` has", text)
    assert re.search(r"and \d+ more lines, which `--json` has", text)
    assert text.count("<details>") == text.count("</details>") > 2


def test_text_of_records_is_no_markup_no_mention_and_no_link(folder: Folder) -> None:
    def failed(record: Record) -> None:
        if record.case.name == OTHER:
            record.status, record.reason = (
                "crash",
                "<img src=x> **@everyone** see #12, [me](http://evil.test) \x1b[2J `a",
            )

    both = {CASE: 10.0, OTHER: 5.0}
    html = MarkdownIt("commonmark").render(
        comment(compare_folders(folder("base", both), folder("head", both, change=failed)))
    )
    line = next(line for line in html.splitlines() if "failed in head," in line)
    shown = re.sub(r"<code>.*?</code>", "", line)
    assert "<img" not in html
    assert "<a " not in html
    assert "\x1b" not in html
    assert not re.search(r"@|://|#\d|<strong>", shown)
    assert "<code>**@everyone**</code>" in line


def test_a_command_in_a_sentence_is_code() -> None:
    assert plain("measure: `bench ab A B` would_tell *this*") == r"measure: `bench ab A B` would\_tell \*this\*"
