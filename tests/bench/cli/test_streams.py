"""A reader of the output who leaves, as `| head` does, is no failure, and hides none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import streams
from bench.machine.environment import ROOT

INSTALLED = "import sys; sys.argv[0] = 'bench'; from bench.cli import main; main()"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-m", "bench", "list", "full"), 0),
        (("-m", "bench", "report", "results/cpu-quick", "--json"), 0),
        (("-c", INSTALLED, "--help"), 0),
        (("-m", "bench", "compare", "results/cpu-quick", "results/cpu-quick"), 2),
    ],
)
def test_the_exit_code_is_the_commands_own_where_nobody_reads(words: tuple[str, ...], code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr
        if code:  # where there is something to say on stderr
            silent = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=writing)
            assert silent.returncode == code
    finally:
        os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_output_that_cannot_be_written_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "bench", "list", "full"]
        done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "No space left on device" in done.stderr
        silent = subprocess.run([*words[:-1], "nothing-such"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=full)
        assert silent.returncode == 2


def test_a_pipe_to_head_gives_its_line() -> None:
    script = f"set -o pipefail; {sys.executable} -m bench list full | head -1"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("full: ")


@pytest.mark.parametrize(("encoding", "written"), [("ascii", b"? 3 ? ? ~>"), ("utf-8", "± 3 √ ? ≈★".encode())])
def test_what_an_outputs_encoding_lacks_is_a_question_mark(encoding: str, written: bytes, tmp_path: Path) -> None:
    with (tmp_path / "output").open("w", encoding=encoding) as file:
        stream = streams._outliving(file)
        print("± 3 √ \udc9b ≈★", end="", file=stream, flush=True)
    assert (tmp_path / "output").read_bytes() == written


def test_a_report_in_ascii_alone() -> None:
    variables = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = [sys.executable, "-m", "bench", "report", "results/cpu-quick", "--markdown"]
    done = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
