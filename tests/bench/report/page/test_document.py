"""The page as a document: small, of no network, and nothing in a record is ever markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine.environment import ROOT
from bench.plans.case import Case
from bench.records.record import Record
from bench.report.page.document import library_source, render_page, script_json
from bench.text import UNSEEN, visible
from tests.bench.report.page.sweeps import quick, stored, unpacked

pytest.importorskip("vl_convert")
GOLDEN = Path(__file__).parents[2] / "records/golden/schema2.jsonl"
HOSTILE = "<script>alert(1)</script><!-- ${x} '\"&amp;\u2028\x1b[2J\u202e"


class Elements(HTMLParser):
    """Every element's name and attributes, the text outside scripts and styles, and each script's content."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.said.append(data)

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])


def test_the_page_of_the_quick_plan_is_small_and_answers_first() -> None:
    text = quick()
    assert len(text.encode()) < 1_500_000
    assert len(text.encode()) - len(library_source().encode()) < 500_000
    answer = text.partition("<h1>")[2].partition("</h1>")[0]
    assert "resnet50" in answer
    assert "compile-max/bf16" in answer
    assert text.index("<h1>") < text.index("<nav")


def test_the_page_asks_nothing_of_a_network() -> None:
    found = Elements(quick())
    for tag, attributes in found.tags:
        assert tag not in ("iframe", "object", "embed", "img"), tag
        for name in ("src", "href"):
            target = attributes.get(name) or ""
            assert not re.match(r"(https?:|//|file:)", target), (tag, target)
    assert [tag for tag, attributes in found.tags if tag == "link"] == ["link"]  # an empty icon, lest one is asked for


def test_no_script_runs_but_the_pages_own() -> None:
    found = Elements(quick())
    policy = next(a["content"] or "" for _, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    digests = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in found.scripts[1:]}
    assert digests == set(re.findall(r"'sha256-([^']+)'", policy))
    assert "'unsafe-inline'" not in policy.split("script-src")[1]
    assert "unsafe-eval" not in policy


def texts(value: Any) -> list[str]:
    """Every text in a value of JSON, and every key."""
    if isinstance(value, dict):
        return [*value, *(text for inner in value.values() for text in texts(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def hostile(value: Any) -> Any:
    """The same with every text, keys of dicts too, replaced by what a browser must not run."""
    if isinstance(value, dict):
        return {key: hostile(inner) for key, inner in value.items()} | {HOSTILE: HOSTILE}
    if isinstance(value, list):
        return [hostile(inner) for inner in value]
    return HOSTILE if isinstance(value, str) else value


def test_markup_in_any_field_of_a_record_is_shown_as_text(tmp_path: Path) -> None:
    golden = [Record.parse(line) for line in GOLDEN.read_text().splitlines()]
    made = []
    for place, found in enumerate(golden):
        fields = {key: hostile(value) for key, value in asdict(found).items() if key not in ("case", "status")}
        # gate: its checks are told apart by name, and a text among them is no check; numbers have numbers in them
        kept = {
            key: getattr(found, key) for key in ("gate", "memory", "energy", "latency_stop", "throughput", "throttled")
        }
        fields |= {
            **kept,
            "cold": {**found.cold, "caches": HOSTILE},
            "watch": found.watch | {"reasons": {HOSTILE: 1.0}},
        }
        made.append(Record(**(fields | {"case": found.case, "status": found.status, "round": place})))
    made.append(
        Record(Case.parse("resnet18/eager/fp32/b1/i64/stream"), 0, HOSTILE, HOSTILE, environment=made[0].environment)
    )
    folder = stored(tmp_path / "<script>alert(1)<", made)
    (folder / "layers.json").write_text(json.dumps({"layers": HOSTILE}))
    text = render_page([folder])
    assert "<script>alert" not in text
    assert "<!--" not in text
    found = Elements(text)
    assert len(found.scripts) == 3
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    said = "".join(found.said)
    assert said.count("<script>alert(1)</script>") >= 3  # reasons, machines, statuses
    # and the page's script, which shows text as text, has every field but for what acts on a screen
    assert any(visible(HOSTILE) in (one if isinstance(one, list) else str(one)) for one in found.data["values"])
    assert unpacked(found.data["records"])[-1]["status"] == visible(HOSTILE)
    assert not UNSEEN.search(text.replace(library_source(), ""))
    assert not any(map(UNSEEN.search, texts(found.data)))
    assert "\\x1b[2J\\u202e" in said


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_inside_the_page_ends_no_element_and_reads_back(value: Any) -> None:
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_equal_records_give_equal_pages() -> None:
    assert render_page([ROOT / "results" / "cpu-quick"]) == quick()
