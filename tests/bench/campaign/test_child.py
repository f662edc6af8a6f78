"""A command of a campaign: its words in the log, its end, the line that says why."""

import sys
from pathlib import Path

import pytest

from bench.campaign import child as campaign_child
from bench.campaign.child import Log, likely_cause, run_logged
from bench.machine.environment import child_variables


def run(text: str, log: Log, seconds: float = 60.0) -> campaign_child.CommandEnd:
    return run_logged([sys.executable, "-c", text], log, seconds, child_variables())


def test_all_words_are_in_the_log_and_of_many_the_first_and_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_child, "HEAD_BYTES", 4000)
    log = Log(tmp_path / "log")
    assert run("print('one'); import sys; print('two', file=sys.stderr)", log).code == 0
    run("for number in range(5000): print('line', number)", log)
    kept = log.path.read_text()
    assert "one\n" in kept
    assert "two\n" in kept
    assert "line 0\n" in kept
    assert "line 4999\n" in kept
    assert "line 2500\n" not in kept
    assert "bytes left out; the last lines:" in kept


def test_what_a_command_leaves_behind_dies_with_it(tmp_path: Path) -> None:
    log, mark = Log(tmp_path / "log"), tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(mark)!r}).touch()"
    ended = run(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])", log)
    assert (ended.code, ended.late) == (0, False)
    assert ended.seconds < 3
    assert not mark.exists()


def test_a_command_that_heeds_an_interruption_may_put_away_what_it_has(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    text = f"import time, pathlib\ntry: time.sleep(60)\nexcept KeyboardInterrupt: pathlib.Path({str(kept)!r}).touch()"
    ended = run(text, Log(tmp_path / "log"), 1.5)
    assert (ended.code, ended.late, kept.exists()) == (0, True, True)


def test_a_log_that_cannot_be_written_costs_words_alone(tmp_path: Path) -> None:
    log = Log(Path("/dev/full"))
    assert run("print('one')", log).code == 0
    assert log.trouble == "/dev/full: No space left on device"


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (
            ["Traceback", "  File", "ModuleNotFoundError: No module named 'x'", ""],
            "ModuleNotFoundError: No module named 'x'",
        ),
        (["╭─ Error ─────╮", "│ No such option: --jobs │", "╰─────╯"], "No such option: --jobs"),
        (["bench: the disk is full", "left: 3 files"], "bench: the disk is full"),
        (["E   torch.AcceleratorError: CUDA error", "1 failed"], "E   torch.AcceleratorError: CUDA error"),
        (["\x1b[31mone\x1b[0m", "two"], "two"),
        ([], ""),
    ],
)
def test_the_line_that_says_why(lines: list[str], cause: str) -> None:
    assert likely_cause(lines) == cause
