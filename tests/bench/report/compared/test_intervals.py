"""The interval plot: its rows, what it says of what it leaves out, its colours, and the files that it may replace."""

import json
import re
import sys
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.report.compared.intervals import SHOWN_CASES, picture, rows_of, specification
from bench.report.page import look
from bench.verdicts.compare import Comparison
from tests.bench.verdicts.sides import CASE, Folder, compare_folders

pytest.importorskip("vl_convert")
VARIANTS = ("eager", "compile", "onnxruntime")
BAD, BLUE = look.COLOURS["bad"][0], look.COLOURS["accent"][0]


def mixed(folder: Folder, count: int = 2, **options: Any) -> Comparison:
    cases = {f"resnet50/{v}/fp32/b{n}/i224/stream": 10.0 for v in VARIANTS for n in range(1, count + 1)}
    head = {case: ms * {"compile": 1.06, "onnxruntime": 0.9}.get(case.split("/")[1], 1.0) for case, ms in cases.items()}
    return compare_folders(folder("base", cases, turns=1, **options), folder("head", head, turns=2, **options))


def values(comparison: Comparison, panel: int = 1) -> list[dict[str, Any]]:
    spec: Any = specification(comparison, "base against head")
    rows: list[dict[str, Any]] = spec["hconcat"][panel]["data"]["values"]
    return rows


def test_the_rows_are_by_variant_the_worst_first_each_with_its_diamond(folder: Folder) -> None:
    rows, *left_out = rows_of(mixed(folder), ["latency"])
    assert [row.name for row in rows if row.is_group] == ["all", "compile", "eager", "onnxruntime"]
    assert [row.name.split("/")[1] for row in rows if not row.is_group] == [
        variant for variant in ("compile", "eager", "onnxruntime") for _ in range(2)
    ]
    assert left_out == [0, 0]


def test_marks_stand_where_the_changes_are_and_say_the_verdict_by_shape_and_colour(folder: Folder) -> None:
    comparison = mixed(folder)
    by_place = {row["y"]: row for row in values(comparison)}
    rows, *_ = rows_of(comparison, ["latency", "throughput"])
    for place, row in enumerate(rows):
        one = row.of["latency"]
        assert one.ratio
        assert by_place[place]["x"] == pytest.approx(log(one.ratio))
    words = [by_place[place]["verdict"] for place in sorted(by_place)]
    mean, slower, faster = "variant, geometric mean", "slower, or worse", "faster, or better"
    assert words == [mean, mean, slower, slower, mean, "same", "same", mean, faster, faster]
    spec: Any = specification(comparison, "")
    points = next(one for one in spec["hconcat"][1]["layer"] if one["mark"]["type"] == "point")["encoding"]
    domain, fills, shapes = (
        points["fill"]["scale"]["domain"],
        points["fill"]["scale"]["range"],
        points["shape"]["scale"]["range"],
    )
    fill = dict(zip(domain, fills, strict=True))
    assert (fill[slower], fill[faster], fill["cannot be told"]) == (BAD, BLUE, "#ffffff")
    assert len(set(shapes)) == 4  # what is open differs from the same by being hollow


def test_of_many_cases_those_are_there_that_changed_most_either_way_and_the_rest_is_counted(folder: Folder) -> None:
    comparison = mixed(folder, 40, rounds=6)
    rows, cases, variants = rows_of(comparison, ["latency"])
    names = [row.name.split("/")[1] for row in rows if not row.is_group]
    assert len(names) == SHOWN_CASES
    assert {names.count("compile"), names.count("onnxruntime")} == {SHOWN_CASES // 2}
    assert (cases, variants) == (120 - SHOWN_CASES, 0)
    assert f"Left out: {120 - SHOWN_CASES} cases that changed less." in " ".join(
        specification(comparison, "")["title"]["subtitle"]
    )


def test_a_metric_whose_cases_are_all_left_out_has_no_panel(folder: Folder) -> None:
    comparison = mixed(folder, 40, rounds=6)
    rows, *_ = rows_of(comparison, ["latency"])
    there = {row.name for row in rows}
    kept = [one for one in comparison.verdicts if one.metric == "latency"]
    kept.append(next(one for one in comparison.of("FASTER") if one.metric != "latency" and one.case not in there))
    spec = specification(replace(comparison, verdicts=kept, rollup=[]), "")
    assert len(spec["hconcat"]) == 2  # the names, and the latency
    assert f"not drawn: {kept[-1].metric}" in " ".join(spec["title"]["subtitle"])


def test_a_long_interval_is_cut_with_an_arrow_and_squeezes_no_other(folder: Folder) -> None:
    comparison = compare_folders(
        folder("base", {CASE: 10.0}, rounds=3, noise=0.05), folder("head", {CASE: 10.0}, rounds=3, noise=0.05)
    )
    (row,) = (row for row in values(comparison) if row["verdict"] == "cannot be told")
    (verdict,) = (one for one in comparison.verdicts if one.metric == "latency")
    assert row["low_cut"] or row["high_cut"]
    assert verdict.low
    assert verdict.high
    assert row["high"] - row["low"] < log(verdict.high / verdict.low)


def test_equal_comparisons_give_equal_files_and_text_of_records_stays_text(folder: Folder) -> None:
    comparison = mixed(folder)
    first = picture(comparison, "<script>alert(1)</script> & \x1b", ".svg")
    assert first == picture(comparison, "<script>alert(1)</script> & \x1b", ".svg")
    text = first.decode()
    assert text.startswith("<svg")
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\\x1b" in text
    assert picture(comparison, "", ".png").startswith(b"\x89PNG")
    assert BAD in text
    assert BLUE in text


def test_it_is_written_beside_any_form_and_replaces_no_other_file(folder: Folder, tmp_path: Path) -> None:
    words = ["compare", str(folder("base", {CASE: 10.0})), str(folder("head", {CASE: 10.6}))]
    file = tmp_path / "out" / "verdicts.svg"
    result = CliRunner().invoke(app, [*words, "--markdown", "--picture", str(file)])
    assert result.exit_code == 1
    assert f"[The intervals as a picture]({file})" in result.stdout
    assert file.read_bytes().startswith(b"<svg")
    assert json.loads(CliRunner().invoke(app, [*words, "--json", "--picture", str(file)]).stdout)["finding"]
    notes = tmp_path / "notes.svg"
    notes.write_text("mine")
    refused = CliRunner().invoke(app, [*words, "--picture", str(notes)])
    assert refused.exit_code == 2
    assert "text is there, which a SVG picture does not replace; name another file" in " ".join(refused.output.split())
    assert notes.read_text() == "mine"
    assert CliRunner().invoke(app, [*words, "--picture", str(notes), "--force"]).exit_code == 1
    assert notes.read_bytes().startswith(b"<svg")
    wrong = CliRunner().invoke(app, [*words, "--picture", str(tmp_path / "a.jpg")], env={"COLUMNS": "200"})
    assert wrong.exit_code == 2
    assert re.search(r"a picture's name ends in \.svg or \.png", wrong.output)


def test_without_the_library_one_sentence_has_the_cure(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    words = ["compare", str(folder("base", {CASE: 10.0})), str(folder("head", {CASE: 10.6}))]
    result = CliRunner().invoke(app, [*words, "--picture", str(tmp_path / "a.svg")])
    assert result.exit_code == 3
    assert result.output.startswith("bench: pages and pictures need vl_convert: pip install 'vl-convert-python")
