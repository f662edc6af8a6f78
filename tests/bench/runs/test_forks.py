"""Cases that are forked from a server: when, what their records say, and that nothing outlives its parent."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ArgumentError
from bench.machine.environment import ROOT
from bench.plans.choose import Selection, choose
from bench.plans.plan import ONCE
from bench.records.record import Record
from bench.records.store import Store
from bench.runs.forks import VARIABLE, Forks, Server, why_fresh
from bench.runs.process import HERE, ask, worker_variables
from bench.runs.sweep import Sweep
from bench.runs.turns import Events
from tests.bench.runs.test_process import CASE, child, gone, soon

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cases are forked on Linux alone")
MISBEHAVING = "tests.bench.runs.misbehaving"


@pytest.fixture(autouse=True)
def wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "fork")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, ""),
        ({"job": "fit"}, "it is no case"),
        ({"caches": "/tmp/x"}, "its imports are measured"),
        ({"device": "cuda"}, "not yet compared with fresh ones on a GPU"),
        ({"case": "resnet18/my:way/fp32/b1/i64/stream"}, "it runs code from outside"),
        ({"case": "timm:resnet18/eager/fp32/b1/i64/stream"}, "it runs code from outside"),
    ],
)
def test_what_is_forked(fields: dict[str, str], why: str) -> None:
    assert why in why_fresh(CASE | fields)
    assert bool(why) == bool(why_fresh(CASE | fields))


def test_the_environment_says_how_cases_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert why_fresh(CASE) == "Triton is interpreted"
    monkeypatch.setenv(VARIABLE, "fresh")
    assert why_fresh(CASE) == "RESNET_BENCH_START is not fork"
    monkeypatch.setenv(VARIABLE, "spoon")
    with pytest.raises(ArgumentError, match="RESNET_BENCH_START=spoon is neither fork nor fresh"):
        Forks()


def test_a_server_with_a_second_thread_forks_nothing() -> None:
    """A child of one that has run a parallel convolution hangs in its own first, with torch 2.13 and its libgomp."""
    server = Server("parallel", worker_variables(HERE) | {"OMP_NUM_THREADS": "2"}, MISBEHAVING)
    with closing(server):
        assert server.hear() == {"why": ""}
        assert re.fullmatch("its server has [2-9] threads, so a child of it may hang", str(server.fork()))


def test_a_server_that_cannot_import_is_not_started_again() -> None:
    with closing(Forks("tests.bench.runs.children")) as forks:  # which serves nobody
        answers = [ask(CASE | {"do": "nothing"}, 30, module=MISBEHAVING, forks=forks) for _ in range(2)]
        assert [answer.status for answer in answers] == ["ok", "ok"]
        why = answers[1].data["runtime"]["process_why"]
        assert why.startswith("its server ended (exit status")


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with closing(Forks(MISBEHAVING)) as forks:
        yield forks


def test_after_a_servers_death_there_is_another(forks: Forks) -> None:
    first = child("nothing", forks=forks).data["pid"]
    (server,) = forks._servers.values()
    os.kill(server.process.pid, signal.SIGKILL)
    assert soon(lambda: gone(server.process.pid))
    answer = child("kills", forks=forks, victim=0)
    assert answer.data["pid"] != first
    (second,) = forks._servers.values()
    assert second is not server
    # the death of its server is nothing to a case that runs
    assert child("kills", forks=forks, victim=second.process.pid).status == "ok"
    assert second.process.wait() == -signal.SIGKILL


def test_a_server_that_dies_as_it_forks_costs_no_case(forks: Forks) -> None:
    forks.prepare(CASE)
    (server,) = forks._servers.values()
    os.kill(server.process.pid, signal.SIGKILL)
    assert soon(lambda: gone(server.process.pid))
    assert forks.fork() == "its server ended (exit status -9)"


def test_a_server_that_hangs_costs_a_little_time_and_no_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runs.forks.WORD_S", 0.2)
    with closing(Forks(MISBEHAVING)) as forks:
        forks.prepare(CASE)
        (server,) = forks._servers.values()
        os.kill(server.process.pid, signal.SIGSTOP)
        assert forks.fork() == "its server did not answer: timed out"
        assert server.process.returncode == -signal.SIGKILL


DRIVER = """
from bench.runs.forks import Forks
from bench.runs.process import ask
from tests.bench.runs.test_process import CASE
forks = Forks("tests.bench.runs.sleeper")
forks.prepare(CASE)
print(forks._servers["lean"].process.pid)
ask(CASE, 600, print, forks=forks)
"""


def test_nothing_outlives_a_killed_driver() -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-c", DRIVER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as driver:
        assert driver.stdout
        server = int(driver.stdout.readline())
        while not (word := driver.stdout.readline().strip()).isdigit():
            assert word
        assert not gone(server)
        assert not gone(int(word))
        driver.kill()
    assert soon(lambda: gone(int(word)))
    assert soon(lambda: gone(server))


class Watching(Events):
    """It notes the number of the server of each case."""

    def __init__(self) -> None:
        self.sweep: Sweep | None = None
        self.servers: list[int] = []

    def stage(self, name: str) -> None:
        if name == "build" and self.sweep:
            self.servers += [server.process.pid for server in self.sweep._forks._servers.values()]


def measured(folder: Path, here: dict[str, Any], rounds: int) -> tuple[list[Record], list[int]]:
    plan = choose(Selection("resnet18/eager/fp32/b1/i32/stream"))
    plan = replace(plan, rounds=rounds, settings=replace(plan.settings, **ONCE))
    events = Watching()
    events.sweep = Sweep(plan, Store(folder), here, source="noise", events=events)  # type: ignore[arg-type]
    records = list(events.sweep.run())
    assert not events.sweep._forks._servers
    return records, events.servers


def test_a_forked_cases_record_is_a_fresh_ones(
    tmp_path: Path, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rounds have two servers, as the children of one share addresses and hash seed."""
    forked, servers = measured(tmp_path / "forked", here, 2)
    monkeypatch.setenv(VARIABLE, "fresh")
    (fresh,), none = measured(tmp_path / "fresh", here, 1)
    assert len(set(servers)) == 2
    assert none == []
    assert [record.runtime.pop("process") for record in (*forked, fresh)] == ["forked", "forked", "fresh"]
    assert fresh.runtime.pop("process_why") == "RESNET_BENCH_START is not fork"
    for record in forked:
        assert record.cold.pop("import_s") is None
        for name in ("status", "reason", "weights", "network", "input", "runtime", "settings", "environment"):
            assert getattr(record, name) == getattr(fresh, name), name
        assert record.cold.keys() == fresh.cold.keys() - {"import_s"}
        # `details` has what was faster at a time, of which the last bits of an answer depend
        for name in ("details", "gate", "memory", "warmup", "throughput"):
            assert getattr(record, name).keys() == getattr(fresh, name).keys(), name
    assert fresh.cold["import_s"]


def test_an_exception_is_the_same_in_both() -> None:
    """References that are not there."""
    job = CASE | {"seed": 0, "source": "noise", "reference": {}}
    with closing(Forks()) as forks:
        forked, fresh = ask(job, 60, forks=forks), ask(job, 60)
    assert forked.data.pop("runtime") == {"process": "forked"}
    assert (forked.status, forked.reason, forked.data) == (fresh.status, fresh.reason, fresh.data)
    assert fresh.status == "error"
