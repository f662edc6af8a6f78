"""Every option that names a file to write, whatever is in its place: replaced, written through, or refused and whole.

The commands are real. What takes a minute of work before it writes is tried where it must refuse before that work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from bench.cli import app
from bench.machine.environment import ROOT
from bench.records.store import FILE
from tests.bench.records.written import NAME, Make, write

CASE = "resnet18/eager/fp32/b1/i32/stream"
FORMATS = ("csv", "pytest-benchmark", "bencher", "github-action-benchmark")
# The words of a command that writes the file behind its last option; of each, where its content is cheap to make.
QUICK: dict[str, list[str]] = {
    "env": ["env", "-o"],
    **{name: ["export", "results", "--format", name, "-o"] for name in FORMATS},
    "page": ["report", "results", "--html"],
    "parquet": ["report", "results", "--parquet"],
}
SLOW: dict[str, list[str]] = {
    "accept": ["kernels", "--accept"],
    "bundle": ["kernels", "--bundle"],
    "predict": ["kernels", "--predict"],
    "ceilings": ["ceilings", "--quick", "-o"],
    "constants": ["constants", "--dry", "-o"],
    "counts": ["counts", CASE, "-o"],
    "layers": ["layers", CASE, "-o"],
    "trace": ["layers", CASE, "--trace"],
    "op": ["op", "torch.nn.functional:conv2d", "-o"],
    "pieces": ["pieces", "--dry", "-o"],
    "selftest": ["selftest", "-o"],
    "sensitivity": ["sensitivity", CASE, "-o"],
    "tune": ["tune", "--dry", "-o"],
    "picture-svg": ["compare", "results", "head", "--picture"],
    "picture-png": ["compare", "results", "head", "--picture"],
    "acknowledged": ["history", "results", "--acknowledge", "0123456", "--reason", "x", "--acknowledged"],
}
ENDS = {"picture-svg": ".svg", "picture-png": ".png"}  # of the names that they take
REWRITTEN = ("bundle", "constants", "pieces", "tune")  # again and again, as work goes on
FOREIGN = {
    "README.md": b"# A project\n\nIts words.\n",
    "badge.md": b"[![CI](https://example.org/ci.svg)](https://example.org)\n\n# A project\n",
    "example.md": b'[Counts](x) are `{"how": {}, "cases": {}}`.\n',
    "pyproject.toml": b"[project]\nname = 1\n",
    "table.csv": b"name,price\nx,1\n",
    "package.json": b'{"name": "mine", "version": "1.0.0"}',
    "logo.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><path/></svg>',
    "index.html": b"<!DOCTYPE html>\n<title>Mine</title>",
    "data.bin": b"\0\1\2",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Make) -> Path:
    """A folder to work in, with the results folder that the commands name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    write(tmp_path / "results", record(NAME))
    write(tmp_path / "head", record(NAME))
    return tmp_path


def state(folder: Path) -> dict[str, object]:
    """What is below a folder: links, and what files hold."""
    below = [path for path in folder.rglob("*") if not {"results", "head"} & set(path.parts)]
    return {
        str(path): os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes() for path in below
    }


def refuse(words: list[str], target: str, folder: Path) -> str:
    """Run a command that must refuse and change nothing; return what it says."""
    before = state(folder)
    result = CliRunner().invoke(app, [*words, target])
    assert result.exit_code in (1, 2), (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert state(folder) == before
    return " ".join(result.output.split())


@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_no_command_replaces_a_file_of_another_kind(name: str, link: bool, here: Path) -> None:
    for file, content in FOREIGN.items():
        target = here / (file + ENDS.get(name, ""))
        target.write_bytes(content)
        if link:
            target = here / f"link-{file}{ENDS.get(name, '')}"
            target.symlink_to(file + ENDS.get(name, ""))
        said = refuse((QUICK | SLOW)[name], str(target), here)
        assert target.name in said.replace(" ", "")
    parquet.write_table(pyarrow.table({"price": [1]}), here / "mine.parquet")
    if name not in ENDS:
        refuse((QUICK | SLOW)[name], "mine.parquet", here)


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_what_cannot_be_written_is_a_sentence_before_the_work(name: str, here: Path) -> None:
    end, words = ENDS.get(name, ""), (QUICK | SLOW)[name]
    (here / "file").write_text("")
    (here / f"folder{end}").mkdir()
    (here / f"loop{end}").symlink_to(f"loop{end}")
    (here / f"within{end}").symlink_to("file/x")
    for target in (f"folder{end}", f"loop{end}", f"within{end}", f"file/x{end}"):
        said = refuse(words, target, here)
        assert target.split("/")[0] in said.replace(" ", "")


@pytest.mark.skipif(os.getuid() != 0, reason="a file system that is read-only takes root")
@pytest.mark.parametrize("name", [name for name in (*QUICK, *SLOW) if name != "acknowledged"])
def test_a_read_only_folder_is_a_sentence_before_the_work(name: str, here: Path) -> None:
    folder = here / "read-only"
    folder.mkdir()
    if subprocess.run(["mount", "--bind", "-o", "ro", folder, folder], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert "read-only" in refuse((QUICK | SLOW)[name], f"{folder}/new{ENDS.get(name, '')}", here)
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", REWRITTEN)
def test_what_is_rewritten_as_work_goes_on_takes_no_pipe(name: str, here: Path) -> None:
    os.mkfifo(here / "pipe")
    assert "which a pipe or a device does not keep" in refuse(SLOW[name], "pipe", here)


@pytest.mark.parametrize("name", QUICK)
def test_what_a_command_may_replace_or_write_through(name: str, here: Path) -> None:
    def run(target: Path) -> None:
        result = CliRunner().invoke(app, [*QUICK[name], str(target)])
        assert result.exit_code == 0, result.output

    run(here / "new")
    content = (here / "new").read_bytes()
    assert content
    (here / "dangling").symlink_to("deep/real")
    run(here / "dangling")
    os.link(here / "new", here / "other name")
    os.utime(here / "new", (1, 1))
    (here / "link").symlink_to("new")
    run(here / "link")  # of the same kind, which the link leads to
    assert (here / "dangling").is_symlink()
    assert (here / "link").is_symlink()
    assert (here / "deep/real").read_bytes()
    assert (here / "new").stat().st_mtime > 1
    assert (here / "other name").read_bytes() == content
    assert (here / "other name").stat().st_mtime == 1
    pipe, read = here / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    run(pipe)
    reader.join(60)
    assert pipe.is_fifo()
    assert len(read[0]) > len(content) / 2
    run(Path(os.devnull))
    assert Path(os.devnull).is_char_device()


def test_a_command_s_own_output_is_a_file_to_write(here: Path) -> None:
    words = [sys.executable, "-m", "bench", "export", "results", "-o", "/dev/stdout"]
    printed = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=True).stdout
    assert printed.startswith(b"folder,case,")


@pytest.mark.parametrize("command", [["run", CASE, "-q"], ["verify", CASE], ["accuracy", CASE], ["import", "in.json"]])
@pytest.mark.parametrize("there", ["text", "JSON", "link", "pipe", "folder", "itself"])
def test_records_are_appended_to_records_alone(command: list[str], there: str, here: Path) -> None:
    assert CliRunner().invoke(app, [*QUICK["pytest-benchmark"], "in.json"]).exit_code == 0
    (here / "out").mkdir()
    file = here / "out" / FILE
    if there == "text":
        file.write_text("words\n")
    elif there == "JSON":
        file.write_text('{"text": "a data set of mine"}\n' * 3)
    elif there == "link":
        (here / "README.md").write_bytes(FOREIGN["README.md"])
        file.symlink_to("../README.md")
    elif there == "pipe":
        os.mkfifo(file)
    elif there == "folder":
        file.mkdir()
    else:
        (here / "out").rmdir()
        (here / "out").write_text("words\n")
    (here / "out" / ".lock").touch() if there != "itself" else None
    said = refuse([*command, "-o"], "out", here)
    assert "choose another" in said
