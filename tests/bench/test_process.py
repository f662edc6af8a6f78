import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from bench.environment import ROOT
from bench.process import Answer, ask


def child(do: str, limit_s: float = 30, **job: Any) -> Answer:
    return ask({"do": do} | job, limit_s, module="tests.bench.misbehaving")


def gone(pid: int) -> bool:
    """Whether a process has ended; an orphan nobody has reaped yet has."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def soon(holds: Callable[[], bool]) -> bool:
    for _ in range(100):
        if holds():
            return True
        time.sleep(0.1)
    return False


def test_an_answer_and_the_stages_before_it() -> None:
    stages: list[str] = []
    answer = ask({"do": "nothing", "extra": {"x": [1, 2]}}, 30, stages.append, "tests.bench.misbehaving")
    assert (answer.status, answer.data["x"], stages) == ("ok", [1, 2], ["nothing"])
    assert answer.data["pid"] != os.getpid()


def test_a_segmentation_fault() -> None:
    answer = child("segfault")
    assert answer.status == "crash"
    assert "SIGSEGV, in: segfault" in answer.reason


def test_killed_from_outside_is_likely_for_want_of_memory() -> None:
    answer = child("killed")
    assert answer.status == "memory"
    assert "killed from outside" in answer.reason


def test_an_exit_without_an_answer_keeps_the_last_words() -> None:
    answer = child("leaves")
    assert answer.status == "crash"
    assert "exit status 7" in answer.reason
    assert "words on stdout" in answer.reason


def test_a_hang_is_killed_and_tells_where_it_hung() -> None:
    answer = child("hangs", limit_s=2)
    assert answer.status == "timeout"
    assert answer.wall_s < 20
    assert "killed after 2 s, in: hangs" in answer.reason
    assert "misbehaving.py" in answer.reason  # the stack


def test_a_child_that_ignores_signals_is_killed_too() -> None:
    answer = child("ignores_sigterm", limit_s=1)
    assert answer.status == "timeout"
    assert answer.wall_s < 20


def test_a_megabyte_on_stdout_and_stderr_is_no_obstacle() -> None:
    assert child("talks").status == "ok"
    failed = child("talks", silent=True)
    assert failed.status == "crash"
    assert len(failed.reason) < 3000


def test_a_fork_that_holds_the_pipe_does_not_hold_the_parent() -> None:
    answer = child("forks")
    assert answer.status == "ok"
    assert answer.wall_s < 20


def test_what_a_child_started_dies_with_it() -> None:
    answer = child("spawns")
    assert soon(lambda: gone(answer.data["grandchild"]))


PARENT = """
import sys
from bench.process import ask
ask({"job": "reference"}, 600, print, "tests.bench.sleeper")
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killing_the_parent_leaves_no_child(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout
        told = parent.stdout.readline()  # the child's first stage is its process number
        parent.send_signal(how)
    assert soon(lambda: gone(int(told)))


def test_a_job_arrives_whole() -> None:
    job = {"do": "nothing", "extra": {"text": "ü" * 200_000}}
    answer = ask(job, 30, module="tests.bench.misbehaving")
    assert json.dumps(answer.data["text"]) == json.dumps(job["extra"]["text"])
