import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from bench.machine.environment import ROOT
from bench.runs import pipes, process
from bench.runs.forks import Forks
from bench.runs.process import Answer, ask

CASE = {"job": "case", "case": "resnet18/eager/fp32/b1/i64/stream", "device": "cpu", "caches": ""}
CASE |= {"settings": {"threads": 0}}  # a job that may be forked
both = pytest.mark.parametrize("forks", ["fresh", "forked"], indirect=True)  # ways of starting a process


@pytest.fixture(scope="module")
def server() -> Iterator[Forks]:
    with closing(Forks("tests.bench.runs.misbehaving")) as forks:
        yield forks


@pytest.fixture
def forks(request: pytest.FixtureRequest) -> Forks | None:
    return request.getfixturevalue("server") if request.param == "forked" else None


def child(do: str, limit_s: float = 30, forks: Forks | None = None, **job: Any) -> Answer:
    os.environ.pop("PYTEST_CURRENT_TEST", None)  # a server is for one environment
    answer = ask(CASE | {"do": do} | job, limit_s, module="tests.bench.runs.misbehaving", forks=forks)
    assert answer.data.pop("runtime", None) == (forks and {"process": "forked"})
    return answer


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
    answer = ask({"do": "nothing", "extra": {"x": [1, 2]}}, 30, stages.append, "tests.bench.runs.misbehaving")
    assert (answer.status, answer.data["x"], stages) == ("ok", [1, 2], ["nothing"])
    assert answer.data["pid"] != os.getpid()


@both
def test_a_segmentation_fault(forks: Forks | None) -> None:
    answer = child("segfault", forks=forks)
    assert answer.status == "crash"
    assert "SIGSEGV, in: segfault" in answer.reason


@both
@pytest.mark.skipif(process._count_oom_kills() is None, reason="this kernel does not count what its OOM killer kills")
def test_killed_from_outside_is_not_for_want_of_memory(forks: Forks | None) -> None:
    answer = child("killed", forks=forks)
    assert answer.status == "crash"
    assert "killed from outside (SIGKILL), not by the kernel's OOM killer, in: killed" in answer.reason


def test_killed_from_outside_is_likely_for_want_of_memory_where_the_kernel_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "VMSTAT", tmp_path / "vmstat")
    assert child("killed").status == "memory"
    (tmp_path / "vmstat").write_text("nr_free_pages 7\n")  # before kernel 4.13
    answer = child("killed")
    assert answer.status == "memory"
    assert "killed from outside, likely for want of host memory, in: killed" in answer.reason


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group that may hold 64 MiB."""
    first = Path("/sys/fs/cgroup/memory")
    names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    if not first.exists():
        first, names = Path("/sys/fs/cgroup"), ("memory.max", "memory.swap.max")
    folder = first / f"resnet-bench-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a control group: {error}")
    try:
        (folder / names[0]).write_text(str(64 << 20))
        if (folder / names[1]).exists():  # it may not swap instead
            (folder / names[1]).write_text(str(64 << 20 if "memsw" in names[1] else 0))
        yield folder
    except OSError as error:
        pytest.skip(f"cannot limit a control group's memory: {error}")
    finally:
        assert soon(lambda: removed(folder))


def removed(group: Path) -> bool:
    with suppress(OSError):  # busy, while the last of it dies
        group.rmdir()
    return not group.exists()


@both
def test_the_oom_killer(group: Path, forks: Forks | None) -> None:
    answer = child("eats", forks=forks, group=str(group / "cgroup.procs"))
    assert answer.status == "memory"
    assert "killed by the kernel's OOM killer, in: eats" in answer.reason


@both
def test_a_signal_without_a_name(forks: Forks | None) -> None:
    answer = child("real_time_signal", forks=forks)
    assert answer.status == "crash"
    assert f"died by signal {signal.SIGRTMIN + 3}, in: real_time_signal" in answer.reason


@both
def test_an_exit_without_an_answer_keeps_the_last_words(forks: Forks | None) -> None:
    answer = child("leaves", forks=forks)
    assert answer.status == "crash"
    assert "exit status 7" in answer.reason
    assert "words on stdout" in answer.reason


@both
def test_an_exit_of_0_without_an_answer_is_a_crash(forks: Forks | None) -> None:
    answer = child("nothing", silent=True, forks=forks)
    assert answer.status == "crash"
    assert "left without an answer, exit status 0, in: nothing" in answer.reason


@pytest.mark.parametrize(
    "line",
    [
        "a library's banner",
        "",
        "\xff\xfe",
        "3",
        "[]",
        "{}",
        '{"stage": 3}',
        '{"status": "great"}',
        '{"status": []}',
        '{"status": "error", "reason": 3}',
        '{"status": "ok", "wall_s": NaN}',
        "[" * 100_000,
        '{"n": ' + "1" * 10_000 + "}",
    ],
)
def test_garbage_on_the_answer_pipe_is_a_crash_at_once(line: str) -> None:
    answer = child("says", bytes=line + "\n", hangs=True)
    assert answer.status == "crash"
    assert answer.wall_s < 20
    shown = repr(line.encode("latin-1").decode(errors="replace"))
    assert f"what is no message came on its answer pipe, in: says: {shown[:100]}" in answer.reason
    assert len(answer.reason) < 2500


def test_half_a_message_is_a_crash() -> None:
    answer = child("says", bytes='{"status": "ok", "late', hangs=False, silent=True)
    assert answer.status == "crash"
    assert "exit status 0, in: says, in the middle of a message" in answer.reason


def test_a_line_without_end_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "LINE_BYTES", 1 << 24)
    answer = child("never_ends_a_line")
    assert answer.status == "crash"
    assert "a line of more than 16 MiB" in answer.reason


def test_half_a_character_in_a_reason_can_be_printed() -> None:
    answer = child("nothing", extra={"status": "error", "reason": "no such file: \udcff"})
    assert answer.status == "error"
    assert answer.reason == "no such file: ?"


@both
@pytest.mark.parametrize("how", ["prepares_to_hang", "prepares_to_crash"])
def test_an_answer_counts_whatever_comes_after_it(how: str, forks: Forks | None) -> None:
    answer = child(how, forks=forks)
    assert answer.status == "ok"
    assert answer.wall_s < 20
    assert gone(answer.data["pid"])


def test_a_child_that_closes_its_pipe_is_heard_to_the_end() -> None:
    answer = child("closes_the_pipe", for_s=0.5)
    assert answer.status == "crash"
    assert "left without an answer, exit status 0" in answer.reason
    assert child("closes_the_pipe", limit_s=1.5, for_s=600).status == "timeout"


def test_a_child_that_leaves_its_job_unread() -> None:
    """Of a job that is longer than a pipe holds it reads the beginning."""
    assert child("turns from its job", much="x" * (1 << 20)).status == "ok"
    answer = child("sits before its job", limit_s=1, much="x" * (1 << 20))
    assert answer.status == "timeout"
    assert answer.wall_s < 20


CROWDED = """
import resource
from bench.runs.process import ask
resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))
answer = ask({"do": "nothing"}, 30, module="tests.bench.runs.misbehaving")
print(answer.status, answer.reason)
"""


def test_a_process_that_cannot_be_started_is_a_crash() -> None:
    told = subprocess.run([sys.executable, "-c", CROWDED], cwd=ROOT, capture_output=True, text=True)
    assert told.stdout == "crash its process could not be started: Too many open files\n", told.stderr


@both
def test_no_descriptor_stays_open(forks: Forks | None) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for how in ("nothing", "killed", "prepares_to_hang"):
        child(how, forks=forks)
    assert sorted(os.listdir("/proc/self/fd")) == before


@both
def test_a_hang_is_killed_and_tells_where_it_hung(forks: Forks | None) -> None:
    answer = child("hangs", limit_s=2, forks=forks)
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


def test_words_without_end_fill_no_disk() -> None:
    answer = child("never_stops_talking", limit_s=2)
    assert answer.status == "timeout"
    assert answer.wall_s < 20
    assert 1000 < len(answer.reason) < 3000


@both
def test_a_fork_that_holds_the_pipe_does_not_hold_the_parent(forks: Forks | None) -> None:
    answer = child("forks", forks=forks)
    assert answer.status == "ok"
    assert answer.wall_s < 20


@both
def test_what_a_child_started_dies_with_it(forks: Forks | None) -> None:
    answer = child("spawns", forks=forks)
    assert soon(lambda: gone(answer.data["grandchild"]))


PARENT = """
import sys
from bench.runs.process import ask
ask({"job": "reference"}, 600, print, "tests.bench.runs.sleeper")
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_a_child_starts_leaves_no_child(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned: list[int] = []
    spawn = process._spawn

    def interrupted_spawn(*arguments: Any) -> Any:
        started = spawn(*arguments)
        spawned.append(started[0].pid)
        os.kill(os.getpid(), number)
        return started

    monkeypatch.setattr(process, "_spawn", interrupted_spawn)
    before = signal.signal(number, signal.default_int_handler)  # as of a command, which all of them interrupt
    try:
        with pytest.raises(KeyboardInterrupt):
            child("nothing")
    finally:
        signal.signal(number, before)
    assert gone(spawned[0])


def test_a_job_arrives_whole() -> None:
    job = {"do": "nothing", "extra": {"text": "ü" * 200_000}}
    answer = ask(job, 30, module="tests.bench.runs.misbehaving")
    assert json.dumps(answer.data["text"]) == json.dumps(job["extra"]["text"])


def test_a_users_code_is_the_sides_where_that_has_it_and_else_the_current_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = process.Home(tmp_path / "side")
    monkeypatch.chdir(process.ROOT / "docs")
    assert process._code_folders(side) == f"{tmp_path}/side/docs:{process.ROOT}/docs"
    assert process._code_folders(process.HERE) == f"{process.ROOT}/docs"
    monkeypatch.chdir(tmp_path)
    assert process._code_folders(side) == str(tmp_path)


def test_a_file_in_the_users_folder_stands_in_for_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `resnet.py` of the user's, say: only code that is named is looked for there."""
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert child("nothing", extra={"text": "x"}).status == "ok"
