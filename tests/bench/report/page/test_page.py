"""The page's data, its charts, and that nothing in a record is ever markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.cli import app
from bench.machine.environment import ROOT
from bench.plans.case import Case
from bench.plans.plan import curated
from bench.records.record import Record
from bench.records.store import Store
from bench.report.page import look, sections, words
from bench.report.page.data import POINTS, gather, memory_parts, quantiles, sequence
from bench.report.page.document import as_json, columns, library_source, page
from bench.report.page.settings import headline
from bench.report.rows import rows
from bench.report.views import VIEWS, notes
from resnet.variants import PRECISIONS, VARIANTS

pytest.importorskip("altair")
vl_convert = pytest.importorskip("vl_convert")

Make = Callable[..., Record]
GOLDEN = Path(__file__).parents[2] / "records/golden/schema2.jsonl"
HOSTILE = "<script>alert(1)</script><!-- ${x} '\"&amp;\u2028"


def stored(folder: Path, records: list[Record]) -> Path:
    store = Store(folder)
    with store.writing():
        for record in records:
            store.append(record)
    return folder


def sweep(record: Make, **fields: Any) -> list[Record]:
    """Two depths, batches and precisions, three variants, two rounds; compile-max wins."""
    made = []
    for round in range(2):
        for model, cost in (("resnet18", 1.0), ("resnet50", 3.0)):
            for variant, gain in (("eager", 1.0), ("compile", 1.3), ("compile-max", 2.0)):
                for precision, speed in (("fp32", 1.0), ("bf16", 1.7)):
                    for batch in (1, 8):
                        name = f"{model}/{variant}/{precision}/b{batch}/i224/stream"
                        ms = cost * (1 + batch) / gain / speed * (1 + round / 100)
                        cold = {
                            "import_s": 1.0,
                            "build_s": 0.5,
                            "prepare_s": 2.0,
                            "first_call_s": 0.1,
                            "caches": "warm",
                        }
                        made.append(record(name, ms=ms, round=round, cold=cold, **fields))
    return made


@pytest.fixture
def swept(tmp_path: Path, record: Make) -> Path:
    return stored(tmp_path / "swept", sweep(record))


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


@cache
def quick() -> str:
    """The page of the records of this checkout."""
    return page([ROOT / "results" / "cpu-quick"])


def test_the_page_of_the_quick_plan_is_small_and_answers_first() -> None:
    text = quick()
    assert len(text.encode()) - len(library_source().encode()) < 2_000_000
    assert "compile-max/bf16 runs resnet50 fastest" in text
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
    text = page([folder])
    assert "<script>alert" not in text
    assert "<!--" not in text
    found = Elements(text)
    assert len(found.scripts) == 3
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    said = "".join(found.said)
    assert said.count("<script>alert(1)</script>") >= 3  # reasons, machines, statuses
    # and the page's script, which shows text as text, has every field as it was
    assert any(HOSTILE in json.dumps(one, ensure_ascii=False) or HOSTILE in str(one) for one in found.data["things"])
    assert found.data["records"][-1]["status"] == HOSTILE


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_inside_the_page_ends_no_element_and_reads_back(value: Any) -> None:
    text = as_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=300))
def test_samples_become_a_bounded_number_of_points_within_their_range(samples: list[float]) -> None:
    found = quantiles(sorted(samples))
    assert len(found) == min(len(samples), POINTS)
    assert found == sorted(found)
    assert (found[0], found[-1]) == (min(samples), max(samples))
    inorder = sequence(samples)
    assert len(inorder) == min(len(samples), POINTS)
    assert min(samples) <= min(inorder) <= max(inorder) <= max(samples)


def test_a_trend_in_the_samples_is_a_trend_in_the_points() -> None:
    found = sequence([float(n) for n in range(1000)])
    assert found == sorted(found)
    assert found[0] < 50 < 950 < found[-1]


@pytest.mark.parametrize(
    ("device", "memory", "parts"),
    [
        (
            "cuda",
            {"weights": 100, "allocator_allocated_peak": 300, "allocator_reserved_peak": 500, "device_process": 900},
            {"weights": 100, "work": 200, "spare": 200, "rest": 400},
        ),
        # ONNX Runtime: next to nothing in torch's allocator, its weights elsewhere
        (
            "cuda",
            {"weights": 100, "allocator_allocated_peak": 10, "allocator_reserved_peak": 20, "device_process": 900},
            {"weights": 100, "work": 0, "spare": 0, "rest": 800},
        ),
        ("cpu", {"weights": 100, "host_resident_peak": 900}, {"weights": 100, "rest": 800}),
        ("cpu", {"weights": 100, "host_resident_peak": None}, {}),
    ],
)
def test_the_parts_of_memory_add_up_to_the_process(
    record: Make, device: str, memory: dict[str, int | None], parts: dict[str, int]
) -> None:
    (row,) = rows([record("resnet18/eager/fp32/b1/i224/stream", device=device, memory=memory)])
    assert memory_parts(row) == parts


def test_the_headline_names_the_way_that_wins_and_its_range(record: Make) -> None:
    assert headline(rows(sweep(record))) == (
        "compile-max/bf16 runs 2 models fastest (batch 1, 8): 2.00 times the images per second of the best eager."
    )
    assert "No case was measured" in headline([])
    mixed = [
        record("resnet18/eager/fp32/b1/i224/stream", ms=1),
        record("resnet18/compile/fp32/b1/i224/stream", ms=2),
        record("resnet18/eager/fp32/b8/i224/stream", ms=2),
        record("resnet18/compile/fp32/b8/i224/stream", ms=1),
        record("resnet18/compile/fp32/b9/i224/stream", ms=1),
    ]
    assert headline(rows(mixed)).startswith("compile/fp32 runs resnet18 fastest in 2 of 3 comparisons")


def another(environment: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return environment | changes


def test_records_of_two_machines_never_share_a_chart(tmp_path: Path, record: Make, here: dict[str, Any]) -> None:
    other = another(here, cpu=here["cpu"] | {"name": "another processor"})
    two = stored(tmp_path / "b", [record("resnet18/eager/fp32/b1/i224/stream", environment=other)])
    data = gather([stored(tmp_path / "a", sweep(record)), two])
    assert len(data.settings) == 2
    assert "another processor" in data.settings[1].label
    assert [row["setting"] for row in data.cases].count(1) == 1


def test_folders_of_one_machine_are_rounds_of_one_case(tmp_path: Path, record: Make) -> None:
    name = "resnet18/eager/fp32/b1/i224/stream"
    folders = [stored(tmp_path / str(n), [record(name, ms=10 + n)]) for n in range(3)]
    data = gather([*folders, folders[0]])
    (case,) = data.cases
    assert case["rounds"] == 3
    assert case["p50"] == 11.0
    assert [entry["round"] for entry in data.records] == [0, 0, 0]  # as each folder has it


def test_a_case_at_several_commits_is_shown_apart_and_over_them(
    tmp_path: Path, record: Make, here: dict[str, Any]
) -> None:
    pytest.importorskip("ruptures")
    folders = []
    for place in range(14):
        env = another(here, git={"sha": f"{place:x}" * 40, "dirty": False})
        ms = 10 + 0.01 * (place % 3) + (2 if place > 6 else 0)
        day = f"2026-02-{place + 1:02d}T12:00:00+00:00"
        one = record("resnet18/eager/fp32/b1/i224/stream", ms=ms, environment=env, started=day)
        folders.append(stored(tmp_path / str(place), [one]))
    data = gather(folders)
    assert len(data.settings) == 14
    assert "commit dddddddddd" in data.settings[0].label  # the newest first
    (changed,) = [row for row in data.history if "change" in row and row["panel"].endswith("ms")]
    assert changed["commit"] == "7" * 10
    assert re.fullmatch(r"\+(19|20)\.\d %, worse", changed["change"])
    drawn, _ = sections.drawn(data)
    assert "history" in {found.section.name for found in drawn}


def layers_file(case: str, here: dict[str, Any], **changes: Any) -> str:
    row = {"operations": ["conv1"], "share": 0.5, "kernels": [], "bound": "memory", "of_floor": 0.5, "half_us": 1.0}
    rows_ = [
        row | {"name": "conv1", "us": 2000.0, "floor_us": 1000.0},
        row | {"name": "fc", "us": 500.0, "floor_us": None},
    ]
    return json.dumps({"layers": 1, "case": case, "device": "cpu", "environment": here, "rows": rows_} | changes)


def test_layers_stand_one_after_the_other_with_their_floors(swept: Path, here: dict[str, Any]) -> None:
    (swept / "one.json").write_text(layers_file("resnet18/eager/fp32/b1/i224/stream", here))
    (swept / "newer.json").write_text(layers_file("resnet18/eager/fp32/b1/i224/stream", here, layers=99))
    (swept / "damaged.json").write_text("{")
    (swept / "other.json").write_text('{"something": "else"}')
    data = gather([swept])
    assert [(row["layer"], row["start"], row["end"], row["floor_end"]) for row in data.layers] == [
        ("conv1", 0.0, 2.0, 1.0),
        ("fc", 2.0, 2.5, None),
    ]
    assert {row["setting"] for row in data.layers} == {0}
    assert [Path(line.partition(":")[0]).name for line in data.damage] == ["damaged.json", "newer.json"]


def test_only_sections_that_the_records_fill_appear_and_the_others_say_what_would(swept: Path) -> None:
    drawn, lacking = sections.drawn(gather([swept]))
    shown = [found.section.name for found in drawn]
    assert shown == ["front", "batch", "depth", "precision", "memory", "cold", "noise", "rounds"]
    assert [section.name for section in lacking] == ["energy", "layers", "history"]
    assert "<code>bench run energy</code>" in quick()
    assert 'id="chart-energy"' not in quick()


@pytest.mark.parametrize("section", sections.SECTIONS, ids=lambda section: section.name)
def test_what_would_fill_a_section_is_a_command_of_ours(section: sections.Section) -> None:
    tool, command, *rest = section.fill.split()
    assert tool == "bench"
    assert command in {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    if command == "run":
        assert rest[0] in curated()
    assert section.view in VIEWS


def test_every_word_that_is_marked_is_explained_and_no_other() -> None:
    texts = [section.caption for section in sections.SECTIONS]
    texts += [(ROOT / "bench/report/page/page.html").read_text()]
    used = {word for text in texts for word in re.findall(r"\[\[(.+?)\]\]", text)}
    assert used == set(words.WORDS)


@pytest.mark.parametrize("name", [name for name, view in VIEWS.items() if view.meaning])
def test_every_heading_with_a_unit_has_its_meaning(name: str) -> None:
    view = VIEWS[name]
    told = {one["title"]: one["note"] for one in columns(view, notes(view, []))}
    plain = {"variant", "prec", "batch", "samples", "p50 ms"}  # p50 is told by the note of its own view
    assert [title for title, note in told.items() if not note and title not in plain] == []


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
    for name in ("ink", "soft", "accent", "good", "bad"):
        assert contrast(look.COLOURS[name][mode], paper) >= 4.5, name  # WCAG 2.2, 1.4.3
    for variant, mark in look.MARKS.items():
        assert contrast(mark[mode], paper) >= 2.2, variant


def test_every_variant_and_precision_is_told_apart_without_colour() -> None:
    assert set(VARIANTS) <= set(look.MARKS)
    shapes = [mark.shape for mark in look.MARKS.values()]
    assert len(set(shapes)) == len(shapes)
    assert set(PRECISIONS) <= set(look.DASHES)
    assert len({tuple(dash) for dash in look.DASHES.values()}) == len(look.DASHES)


def test_every_chart_compiles_in_colours_that_the_page_defines(swept: Path, here: dict[str, Any]) -> None:
    (swept / "one.json").write_text(layers_file("resnet18/eager/fp32/b1/i224/stream", here))
    data = gather([swept])
    drawn, _ = sections.drawn(data)
    for section in drawn:
        for name, spec in section.specs.items():
            text = json.dumps(spec)
            for colour in re.findall(r"var\(--([\w-]+)\)", text):
                assert f"--{colour}:" in look.css(), (name, colour)
            assert "var(--" not in json.dumps(look.plain(spec))
            vl_convert.vegalite_to_vega(text, vl_version="6.4", show_warnings=False)


def test_the_front_is_what_no_other_case_beats(tmp_path: Path, record: Make) -> None:
    # latency ms -> images/s: 1 is beaten in nothing, 4 is best in throughput, 2 and 8 are beaten in both by one of them
    speeds = {1: (1.0, 100), 2: (2.0, 90), 4: (3.0, 400), 8: (9.0, 300)}
    made = [
        record(f"resnet18/eager/fp32/b{batch}/i224/stream", ms=ms, throughput={"images": speed, "ns": 10**9})
        for batch, (ms, speed) in speeds.items()
    ]
    data = gather([stored(tmp_path / "front", made)])
    spec = look.plain(sections.charts.front(data.cases)) | {"datasets": {"cases": data.cases}}
    svg = vl_convert.vegalite_to_svg(json.dumps(spec), vl_version="6.4", show_warnings=False)
    assert re.findall(r">(b\d+)</text>", svg) == ["b1", "b4"]


def test_equal_records_give_equal_pages() -> None:
    assert page([ROOT / "results" / "cpu-quick"]) == quick()


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_the_command_writes_the_page_and_the_stills(
    swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "SECTIONS", sections.SECTIONS[:1])
    told = run(swept, "--html", tmp_path / "new" / "report.html", "--stills", tmp_path / "pictures")
    assert told.exit_code == 0, told.output
    assert (tmp_path / "new" / "report.html").read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["front.png", "front.svg"]
    assert (tmp_path / "pictures" / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "pictures" / "front.svg").read_text()


def test_a_page_that_cannot_be_written_is_a_sentence(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path, tmp_path / "file" / "page.html"):
        told = CliRunner().invoke(app, ["report", str(swept), "--html", str(target)])
        assert told.output.startswith(f"bench: cannot write {target}: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "swept"]


def test_without_the_plotting_library_the_cure_is_told(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("altair", "jinja2", "vl_convert"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            for option in ("--html", "--stills"):
                told = run(swept, option, swept / "x")
                assert told.exit_code == 3
                assert f"need {name}: pip install" in told.output
