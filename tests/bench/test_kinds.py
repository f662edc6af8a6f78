"""A file is replaced by one of its own kind alone, whoever writes it; what is no regular file is written through."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import kinds
from bench.cli import app
from bench.errors import StoreError
from bench.files import check_writable, reading, write_file, write_json
from bench.kinds import KINDS, kind_of
from bench.records.formats import EXPORTS
from bench.report.page.document import _asset
from kernels.table import Table
from tests.bench.records.written import NAME, Make, write
from tests.repositories import ROOT

README = "# A project\n\nIts words.\n"
OTHERS = {
    "README.md": README,
    "package.json": '{"name": "mine", "version": "1.0.0"}',
    "index.html": "<!DOCTYPE html>\n<title>Mine</title>",
    "data.bin": "\0\1\2",
}


@pytest.mark.parametrize("name", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("results/*/*.json")))
def test_every_committed_file_is_of_a_kind(name: str) -> None:
    assert kind_of((ROOT / name).read_bytes()) in KINDS


@pytest.mark.parametrize("path", sorted(ROOT.glob("results/*/records.jsonl")), ids=lambda path: path.parent.name)
def test_records_are_of_no_other_kind_which_would_replace_them(path: Path) -> None:
    content = path.read_bytes()
    for part in (content, content.partition(b"\n")[0], content[:-100]):
        assert kind_of(part) == kinds.RECORDS


def test_what_other_writers_write_is_of_a_kind() -> None:
    assert kind_of(Table([]).to_json().encode()) == kinds.TABLE
    assert kind_of(_asset("page.html").encode()) == kinds.PAGE
    assert kind_of(b'<svg class="marks"') == kinds.SVG
    assert kind_of(b"\x89PNG\r\n\x1a\n") == kinds.PNG
    assert kind_of(b"PAR1\0latency_fallen") == kinds.PARQUET != kind_of(b"PAR1\0")


@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_a_file_that_was_cut_short_is_of_its_kind_still(cut: float) -> None:
    content = (ROOT / "results" / "kernels" / "accepted.json").read_bytes()
    assert kind_of(content[: int(cut * len(content))]) == kinds.ACCEPTED


@pytest.mark.parametrize("nothing", ["", " \n", "{", "[]", "{}", '{"schema": 1}'])
def test_what_holds_nothing_is_in_nobodys_way(nothing: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(nothing)
    write_json(tmp_path / "file", {"how": {}, "cases": {}})
    assert kind_of((tmp_path / "file").read_bytes()) == kinds.COUNTS


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("link", [False, True])
def test_a_file_of_another_kind_is_left_as_it_is(name: str, link: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(OTHERS[name])
    if link:
        (tmp_path / "link").symlink_to(path)
    shown = tmp_path / "link" if link else path
    new: dict[str, Any] = {"how": {}, "cases": {}}
    for attempt in (
        lambda: write_json(shown, new),
        lambda: write_file(shown, "<!doctype html>", kind=kinds.PAGE),
        lambda: check_writable(shown, kinds.COUNTS),
    ):
        with pytest.raises(StoreError, match=rf"cannot write {shown}: .* is there, which a .* name another"):
            attempt()
    assert path.read_text() == OTHERS[name]
    assert sorted(os.listdir(tmp_path)) == sorted([name, *(["link"] if link else [])])


def test_the_same_kind_is_replaced_through_a_link(tmp_path: Path) -> None:
    write_json(tmp_path / "counts.json", {"how": {}, "cases": {}})
    (tmp_path / "link").symlink_to("counts.json")
    write_json(tmp_path / "link", {"how": {}, "cases": {"one": 1}})
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "counts.json").read_text())["cases"] == {"one": 1}


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_json(pipe, {"how": {}, "cases": {}})
    reader.join()
    assert json.loads(read[0])["cases"] == {}
    assert pipe.is_fifo()
    write_json(Path(os.devnull), {})
    assert Path(os.devnull).is_char_device()


def test_no_cure_writes_over_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(README)
    with (
        pytest.raises(StoreError, match=r"README\.md is no file of counts: it is text; name one$"),
        reading(path, kinds.COUNTS, f"write over {path}"),
    ):
        json.loads(path.read_bytes())


@pytest.mark.parametrize(
    "words",
    [
        ("counts", "--against", "README.md"),
        ("counts", "-o", "README.md"),
        ("kernels", "--check", "README.md"),
        ("kernels", "--accept", "README.md"),
        ("kernels", "--predict", "README.md"),
        ("kernels", "--bundle", "README.md"),
        ("ceilings", "-o", "README.md"),
        ("ceilings", "-o", "README.md", "--force"),
        ("constants", "--dry", "-o", "README.md"),
        ("pieces", "--dry", "-o", "README.md"),
        ("selftest", "-o", "README.md"),
        ("env", "-o", "README.md"),
        ("layers", "resnet18/eager/fp32/b1/i32/stream", "-o", "README.md"),
        ("layers", "resnet18/eager/fp32/b1/i32/stream", "--trace", "README.md"),
        ("tune", "--dry", "-o", "README.md"),
        ("export", "results", "--format", "pytest-benchmark", "-o", "README.md"),
        ("report", "results", "--html", "README.md"),
        ("report", "results", "--parquet", "README.md"),
    ],
)
def test_no_command_writes_over_a_readme_or_advises_to(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Make
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Path("README.md").write_text(README)
    write(Path("results"), record(NAME))
    result = CliRunner().invoke(app, words)
    assert result.exit_code in (1, 2), result.output
    assert "README.md" in result.stderr
    for advice in ("writes one", "remove it", "measure again", "anew"):
        assert advice not in result.stderr
    assert Path("README.md").read_text() == README


@pytest.mark.parametrize("format", EXPORTS)
def test_an_export_replaces_an_export_of_its_format(format: str, tmp_path: Path, record: Make) -> None:
    write(tmp_path / "results", record(NAME))
    words = ["export", str(tmp_path / "results"), "--format", format, "-o", str(tmp_path / "out.json")]
    for _ in range(2):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output


def test_a_file_of_another_kind_is_replaced_by_force_for_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Make
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("results"), record(NAME))
    words = ["export", "results", "--format", "pytest-benchmark", "-o", "README.md"]
    for _ in "ab":
        Path("README.md").write_text(README)
        refused = CliRunner().invoke(app, words)
        assert refused.exit_code == 2
        assert "name another file, or replace it by --force" in refused.output
        forced = CliRunner().invoke(app, [*words, "--force"])
        assert forced.exit_code == 0, forced.output
        assert json.loads(Path("README.md").read_text())["benchmarks"]
