"""`bench report --html` and `--stills` as they are called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.report.page import sections
from tests.bench.report.page.sweeps import Make, stored, sweep

pytest.importorskip("vl_convert")


@pytest.fixture
def swept(tmp_path: Path, record: Make) -> Path:
    return stored(tmp_path / "swept", sweep(record))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_the_command_writes_the_page_and_the_stills(
    swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "SECTIONS", [section for section in sections.SECTIONS if section.name == "front"])
    result = run(swept, "--html", tmp_path / "new" / "report.html", "--stills", tmp_path / "pictures")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "new" / "report.html").read_text().startswith("<!doctype html>")
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    expected = {f"{name}-{of}" for name in ("answer", "heat", "front") for of in ("slide", "light", "dark")}
    assert set(pictures) == {f"{name}.{ending}" for name in expected for ending in ("svg", "png")}
    for name, content in pictures.items():
        assert content.startswith(b"\x89PNG" if name.endswith(".png") else b"<svg "), name


def test_a_page_that_cannot_be_written_is_a_sentence(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path, tmp_path / "file" / "page.html"):
        result = CliRunner().invoke(app, ["report", str(swept), "--html", str(target)])
        assert result.output.startswith(f"bench: cannot write {target}: ")
        assert result.output.endswith("; name another file with --html\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "swept"]


def test_without_the_plotting_library_the_cure_is_told(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("jinja2", "vl_convert"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            for option in ("--html", "--stills"):
                result = run(swept, option, swept / "x")
                assert result.exit_code == 3
                assert f"need {name}: pip install" in result.output
