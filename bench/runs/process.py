"""One child process: its start, its messages, its time limit, its end.

The child sends its messages, one JSON object a line, on a separate pipe. Its stdout and stderr belong to noisy
libraries, and only their end is kept, in memory. Nothing here is written to a disk that may be full.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Generic, cast

from bench.ends import interrupts_deferred
from bench.machine.environment import ROOT, child_variables
from bench.runs.pipes import Pipes
from bench.runs.wire import A, Job, Json, MessageError, parse_answer
from resnet.cache import tell_notes
from resnet.code import FOLDERS

if TYPE_CHECKING:
    from bench.runs.forks import Forks

WORKER = "bench.worker"
VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True)
class Answer(Generic[A]):
    """The answer of a child, or the reason why there is none. `status` is a record's.

    `data` is whole where the status is `ok`; else it has the fields measured by then, if any.
    """

    status: str
    reason: str
    data: A
    wall_s: float


Ask = Callable[..., Answer[Any]]  # the type of `ask`, and of what replaces it in tests and for another commit


class Stopped(Exception):
    """The child was ended before it had answered, as its answer is no longer wanted."""


@dataclass(frozen=True)
class Home:
    """The code that a child runs: a checkout, the interpreter with its packages, further environment variables."""

    root: Path = ROOT
    python: str = sys.executable
    variables: dict[str, str] = field(default_factory=dict)


HERE = Home()


class Child:
    """A running child process; `wall_s` are the seconds that it was at work, without its pauses."""

    def __init__(self, pipes: Pipes, oom_kills_before: int | None, start: float, home: Home | None = None) -> None:
        self._pipes, self._oom_kills_before, self._start = pipes, oom_kills_before, start
        self._home = home  # where it is a worker, which names the checkout whose code it runs
        self._limit_s, self._timed_out, self._killed = 0.0, False, False
        self.wall_s = 0.0
        self.runtime: dict[str, str] = {}  # how it was started, for its record

    def work(self, limit_s: float, stop: Event | None = None) -> Json | None:
        """Let it work for `limit_s` seconds at most; return what it says as it pauses, None if it does not pause.

        Raises Stopped.
        """
        self._limit_s, self._timed_out = limit_s, not self._pipes.wait(self._start + limit_s, stop)
        self.wall_s += time.monotonic() - self._start
        if stop and stop.is_set():
            raise Stopped
        return self._pipes.paused

    def go_on(self, command: Json, limit_s: float) -> Json | None:
        """Send a child that has paused a command, and let it work as `work` does."""
        self._start = time.monotonic()
        self._pipes.send(command)
        return self.work(limit_s)

    def answer(self) -> Answer[Json]:
        """End it, and return its answer, or the reason why it has none."""
        if self._timed_out:
            self._pipes.dump_stack()
        self.kill()
        self._pipes.poll(0)
        if self._home and (reason := self._pipes.foreign_code(self._home.root, self._home is HERE)):
            return Answer("error", reason, {}, self.wall_s)
        answer = _answer_from(self._pipes, self._timed_out, self._limit_s, self._oom_kills_before, self.wall_s)
        if self.runtime:
            answer.data["runtime"] = answer.data.get("runtime", {}) | self.runtime
        return answer

    def kill(self) -> None:
        """Kill it and its forks, once: its number may be another process's later."""
        if not self._killed:
            self._killed = True
            _kill(self._pipes.child)


class Unstarted(Child):
    """A child whose process could not be started."""

    def __init__(self, error: OSError) -> None:
        self.wall_s, self._error = 0.0, error

    def work(self, limit_s: float, stop: Event | None = None) -> None:
        """There is nothing to wait for."""

    def answer(self) -> Answer[Json]:
        status = "memory" if self._error.errno == errno.ENOMEM else "crash"
        return Answer(status, f"its process could not be started: {self._error.strerror}", {}, 0.0)


@contextmanager
def started(
    job: Json,
    on_stage: Callable[[str], None] = lambda name: None,
    module: str = WORKER,
    home: Home = HERE,
    talks: bool = False,
    forks: Forks | None = None,
) -> Iterator[Child]:
    """Start a process of `module` that does `job`; it, and every process started by it, is dead after this.

    `on_stage` is called with the name of each stage that the child enters. One that `talks` may pause. It is a fresh
    one, unless `forks` can fork it.
    """
    if forks:
        on_stage("import")
        forks.prepare(job)
    start, oom_kills_before = time.monotonic(), _count_oom_kills()
    with ExitStack() as stack:
        with interrupts_deferred():  # one in the middle would leave a child that nobody knows of
            try:
                forked = forks.fork() if forks else ""
                process, reader = _spawn(module, home) if isinstance(forked, str) else forked
            except OSError as error:  # too many processes or open files, or no memory for one more
                child: Child = Unstarted(error)
            else:
                pipes = stack.enter_context(closing(Pipes(process, reader, job, on_stage, talks)))
                child = Child(pipes, oom_kills_before, start, home if module == WORKER else None)
                stack.callback(child.kill)
                if forks:
                    why = {"process_why": forked} if isinstance(forked, str) else {}
                    child.runtime = {"process": "fresh" if why else "forked"} | why
        yield child


def ask(
    job: Json,
    limit_s: float,
    on_stage: Callable[[str], None] = lambda name: None,
    module: str = WORKER,
    home: Home = HERE,
    stop: Event | None = None,
    forks: Forks | None = None,
) -> Answer[Json]:
    """Run `job` in a process, as `started` does, and wait for its answer, `limit_s` seconds at most.

    In a thread, which no keyboard interrupts, Stopped is raised soon after another thread sets `stop`.
    """
    with started(job, on_stage, module, home, forks=forks) as child:
        child.work(limit_s, stop)
        return child.answer()


def request(
    job: Job[A],
    limit_s: float,
    on_stage: Callable[[str], None] = lambda name: None,
    by: Ask | None = None,
    **options: Any,
) -> Answer[A]:
    """Run a typed job in a fresh process, by `ask` or what replaces it, with `options`; its answer is `checked`."""
    return checked(job, (by or ask)(job.to_json(), limit_s, on_stage, **options))


def checked(job: Job[A], answer: Answer[Json]) -> Answer[A]:
    """Return the answer to `job` as its type; one with a field of the wrong type becomes a crash, with no data."""
    try:
        data = parse_answer(answer.data, job, whole=answer.status == "ok")
    except MessageError as error:
        return Answer("crash", f"its process answered with a wrong message: {error}", cast(A, {}), answer.wall_s)
    return Answer(answer.status, answer.reason, data, answer.wall_s)


def _spawn(module: str, home: Home) -> tuple[subprocess.Popen[bytes], int]:
    """Start a child; returns it, and the file descriptor of its messages."""
    reader, writer = os.pipe()
    try:
        child = subprocess.Popen(
            # -P: a user's folder may have a resnet.py; it is searched for a user's code alone (FOLDERS)
            [home.python, "-P", "-m", module, str(writer), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=(writer,),
            env=worker_variables(home),
            cwd=None if home is HERE else home.root,
            start_new_session=True,  # a process group, so that its forks die with it
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return child, reader


def worker_variables(home: Home) -> dict[str, str]:
    """Return the environment variables of a child."""
    return child_variables(home.root) | {FOLDERS: _code_folders(home)} | home.variables


def _code_folders(home: Home) -> str:
    """Return the folders in which a child looks for a user's code: the current one, before it that of another checkout.

    So code that a commit has is that commit's, and code that no commit has is still there.
    """
    here = Path.cwd()
    inside = [home.root / here.relative_to(ROOT)] if here.is_relative_to(ROOT) else []
    return os.pathsep.join(map(str, dict.fromkeys([*inside, here])))


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _count_oom_kills() -> int | None:
    """Return the number of processes that the kernel has killed for lack of memory; None where it does not say.

    It includes a control group's kills, so a container's limit shows here (kernel 6.18, cgroup v1, 2026-11-23).
    """
    try:
        match = re.search(r"^oom_kill (\d+)$", VMSTAT.read_text(), re.M)
    except OSError:
        return None
    return int(match[1]) if match else None


def _answer_from(pipes: Pipes, timed_out: bool, limit_s: float, oom_kills_before: int | None, wall_s: float) -> Answer:
    if pipes.answer is not None and not timed_out:
        data = dict(pipes.answer)
        tell_notes(data.pop("notes", ()))
        # an error that names a file may have half a surrogate pair, which no terminal prints
        reason = data.pop("reason", "").encode(errors="replace").decode()
        return Answer(data.pop("status"), reason, data, wall_s)
    status, cause = _failure(pipes, timed_out, limit_s, oom_kills_before)
    last_output = pipes.last_output.decode(errors="replace").strip()
    last = f"Its last output: {last_output}" if last_output else "It printed nothing."
    return Answer(status, f"{cause}. {last}", {}, wall_s)


def _failure(pipes: Pipes, timed_out: bool, limit_s: float, oom_kills_before: int | None) -> tuple[str, str]:
    """Return the status and the reason of a child that did not answer."""
    where = f", in: {pipes.stage}" + (", in the middle of a message" if pipes.partial_line else "")
    if pipes.garbage:
        return "crash", f"what is no message came on its answer pipe{where}: {pipes.garbage}"
    if timed_out:
        return "timeout", f"killed after {limit_s:g} s{where}"
    code = pipes.child.returncode
    if code == -signal.SIGKILL:
        oom_kills = _count_oom_kills()
        if oom_kills_before is None or oom_kills is None:
            return "memory", f"killed from outside, likely for want of host memory{where}"
        if oom_kills > oom_kills_before:
            return "memory", f"killed by the kernel's OOM killer{where}"
        return "crash", f"killed from outside (SIGKILL), not by the kernel's OOM killer{where}"
    if code >= 0:
        return "crash", f"left without an answer, exit status {code}{where}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = str(-code)
    return "crash", f"died by signal {name}{where}"
