"""Real runs of HEAD against HEAD, with delays: in a repository whose worker's clock is made up, once in this one."""

import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.machine import selftest as cli_selftest
from bench.errors import RevisionError
from bench.plans.plan import read
from bench.report.markdown import splice
from bench.runs.ab import looks
from bench.verdicts.selftest import tables as error_rates
from bench.verdicts.selftest.real import RealRuns, Trial, inject
from bench.worker.measure.delay import SPIN, Delayed, delayed, spin_cycles

# The clock is made up: a call takes 10 ms of it, 0.3 % more or less from process to process, and each look at it 1 µs.
WORKER = """
import json, os, random, sys, time
from types import SimpleNamespace

now = 0

def perf_counter_ns():
    global now
    now += 1000
    return now

time.perf_counter_ns = perf_counter_ns

if __name__ == "__main__":
    import resnet
    job = json.load(sys.stdin)
    if job["job"] == "reference":
        answer = {"paths": {}}
    else:
        noise = random.Random(os.getpid()).gauss(1, 0.003)
        run = resnet.prepare("eager", noise, SimpleNamespace(device=SimpleNamespace(type="cpu")), "fp32", "stream")
        times = []
        for number in range(20):
            start = now
            run(number)
            times.append(now - start)
        answer = {
            "latency_ns": times,
            "throughput": {"images": 20, "ns": sum(times)},
            "memory": {"weights": 4096},
            "details": run.details,
        }
        if "resnet50" in job["case"]:
            answer = {"status": "wrong", "reason": "made up"}
    os.write(int(sys.argv[1]), (json.dumps({"status": "ok"} | answer) + "\\n").encode())
"""
VARIANTS = """
import sys

class Runner:
    details = {"graph": False}

    def __init__(self, noise):
        self.noise = noise

    def place(self, batch):
        return batch

    def __call__(self, x):
        sys.modules["__main__"].now += round(10_000_000 * self.noise)
        return x

def prepare(name, model, example, precision, launch="stream"):
    return Runner(model)
"""
PLAN = """
why = "A test."
[[group]]
why = "Two cases."
model = ["resnet18", "resnet34"]
variant = "eager"
precision = "fp32"
batch = 1
image = 32
"""
ROOT = Path(__file__).resolve().parents[4]


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, check=True)


def committed(folder: Path) -> Path:
    git(folder, "init", "--quiet")
    git(folder, "add", "--force", ".")
    git(folder, "commit", "--quiet", "--message", "all of it")
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    texts = {
        "pyproject.toml": "",
        "constraints.txt": "",
        "bench/__init__.py": "",
        "bench/worker.py": WORKER,
        "resnet/__init__.py": "from resnet.variants import prepare\n",
        "resnet/variants/__init__.py": VARIANTS,
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return committed(folder)


@pytest.fixture
def runs(repository: Path, here: dict[str, Any]) -> RealRuns:
    env = here | {"gpu": {"none": "hidden"}}
    return RealRuns(read(PLAN, "test", "test.toml"), env, [0.0, 0.1], repository=repository)


def test_identical_code_is_the_same_and_a_delay_is_found_at_its_size(runs: RealRuns, repository: Path) -> None:
    assert list(runs.run()) == [Trial(0.0, 0), Trial(0.1, 0)]
    words = Counter((row["delay"], row["metric"], row["word"]) for row in runs.tests)
    expected = {
        (delay, metric, word): 2
        for delay, word in ((0.0, "SAME"), (0.1, "SLOWER"))
        for metric in ("latency", "throughput")
    }
    assert words == expected
    for row in runs.tests:
        assert row["slower"] == pytest.approx(1 + row["delay"], abs=0.006)
        assert 0.001 < row["noise"] < 0.012
        assert row["rounds"] in looks(10)
    assert not runs.failed
    assert not runs.cut
    status = ["git", "-C", str(repository), "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, text=True, check=True).stdout == ""
    assert not list((repository / ".git" / "worktrees").glob("*"))


def test_a_comparison_that_the_budget_cuts_short_does_not_count(runs: RealRuns) -> None:
    runs.budget_s = 0.5
    assert list(runs.run()) == []
    assert runs.cut
    assert runs.tests == []


def test_a_case_that_fails_is_told(runs: RealRuns) -> None:
    runs.plan = read(PLAN.replace('"resnet18"', '"resnet50"'), "test", "test.toml")
    runs.rounds, runs.delays = 1, [0.1]
    assert list(runs.run()) == [Trial(0.1, 0)]
    assert {row["case"] for row in runs.tests} == {"resnet34/eager/fp32/b1/i32/stream"}
    assert len(runs.failed) == 2
    assert runs.failed[0].startswith("HEAD against HEAD, delayed by 10 %, repeat 1, ")
    assert runs.failed[0].endswith("resnet50/eager/fp32/b1/i32/stream: wrong: made up")


def test_a_checkout_without_variants_takes_no_delay(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="before a delay"):
        inject(tmp_path, 0.1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Each look at it takes 10 ns."""
    kept = SimpleNamespace(now=0)

    def look() -> int:
        kept.now += 10
        return int(kept.now)

    monkeypatch.setattr(time, "perf_counter_ns", look)
    return kept


class Runner:
    """Of so many nanoseconds as it is given."""

    def __init__(self, clock: SimpleNamespace, told: Callable[[str], None] = lambda text: None) -> None:
        self.clock, self.told, self.details = clock, told, {"graph": False}

    def place(self, batch: int) -> int:
        return batch + 1

    def __call__(self, x: int) -> int:
        self.told("call")
        self.clock.now += x
        return x


@pytest.mark.parametrize("share", [0.01, 0.03, 0.5])
def test_every_call_is_longer_by_the_share_of_what_it_took_itself(clock: SimpleNamespace, share: float) -> None:
    example = SimpleNamespace(device=SimpleNamespace(type="cpu"))
    slower = delayed(lambda *words: Runner(clock), share)("eager", None, example, "fp32")
    assert slower.place(1) == 2
    assert slower.details == {"graph": False, "delayed": share}
    for took in (1_000_000, 5_000_000, 20_000):
        before = clock.now
        assert slower(took) == took
        assert clock.now - before == pytest.approx(took * (1 + share), abs=50)


def test_the_device_waits_while_the_host_does(clock: SimpleNamespace) -> None:
    done = list[tuple[str, int]]()
    Delayed(Runner(clock, lambda text: done.append((text, clock.now))), 0.5, lambda: done.append(("wait", clock.now)))(
        1000
    )
    (first, _), (second, enqueued) = done
    assert (first, second) == ("call", "wait")
    assert enqueued < 1100  # before the host's wait
    assert clock.now >= 1500


def test_the_launch_of_the_devices_wait_is_part_of_the_delay() -> None:
    us = {"call": 1000.0, "call and launch": 1002.0, "launch": 5.0, "spin": 505.0}
    assert spin_cycles(us, 0.03) == round(SPIN / 500 * 28)
    assert spin_cycles(us, 0.001) == 1  # the launch alone is more


def selftest(*words: str) -> Any:
    return CliRunner().invoke(app, ["selftest", *words], env={"COLUMNS": "80"})


def test_the_command_writes_what_the_documents_show(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_selftest, "ROOT", repository)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "README.md").write_text(f"<!-- bench: {error_rates.REAL} -->\nold\n<!-- /bench -->\n")
    assert splice(tmp_path) == [tmp_path / "README.md"]
    assert f"Not measured yet: `{error_rates.HOW}`" in (tmp_path / "README.md").read_text()
    plan, target = tmp_path / "test.toml", tmp_path / error_rates.REAL
    plan.write_text(PLAN)
    done = selftest("--real", str(plan), "-f", "resnet18", "--delay", "25", "--rounds", "6", "-o", str(target))
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "0 of 1 cases with a false alarm" in " ".join(done.stdout.split())
    found = json.loads(target.read_text())
    assert error_rates.read(target) == found
    assert {row["case"] for row in found["tests"]} == {"resnet18/eager/fp32/b1/i32/stream"}
    assert found["setting"]["looks"] == [6]
    assert splice(tmp_path) == [tmp_path / "README.md"]
    text = (tmp_path / "README.md").read_text()
    assert "| none | latency | 0 | 0 | 1 | 0 |" in text
    assert "| +25 % | throughput | 1 | 0 | 0 | 0 | +2" in text
    assert "Machine: " in text


def test_a_block_of_another_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(error_rates.StoreError, match="cannot read"):
        error_rates.section(tmp_path, "results/selftest/simulated.json")


def result(words: list[str], failed: list[str] | None = None) -> dict[str, Any]:
    tests = [
        {"delay": 0.0, "repeat": 0, "case": f"{n // 2}", "metric": ("latency", "throughput")[n % 2], "word": word}
        for n, word in enumerate(words)
    ]
    return {"tests": [row | {"slower": 1.0, "noise": None} for row in tests], "failed": failed or []}


def test_more_false_alarms_than_chance_gives_fail() -> None:
    same = ["SAME"] * 38
    assert error_rates.met(result([*same, "SLOWER", "FASTER"]))  # of one case: 10 % of such tests have one in 20
    assert not error_rates.met(result(["SLOWER", "SAME"] * 4 + same[:12]))
    assert not error_rates.met(result(same, ["it crashed"]))
    assert error_rates.false_alarms(result(["FASTER", "SAME", "AMBIGUOUS", "SLOWER"])) == (2, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--real", "smoke", "--noise", "1"], "--noise is for the simulation"),
        (["--real", "smoke", "--from", "."], "--from is for the simulation"),
        (["--delay", "3"], "--delay is for real runs"),
        (["--real", "smoke", "--delay", "3;5"], "--delay wants percentages with commas"),
        (["--real", "smoke", "--delay", "0"], "each is more than 0"),
    ],
)
def test_what_is_typed_wrong_is_told(options: list[str], said: str) -> None:
    done = selftest(*options)
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", "").split())


@pytest.mark.slow
def test_the_real_worker_is_delayed_in_latency_and_throughput(
    tmp_path: Path, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way with this working tree's own code, as a commit of its own; too few rounds for a verdict.

    One thread and a delay of three calls, as tests run beside others: a process on two cores that are shared with six
    was up to ten times as slow as the next, one with a single thread by a third (2026-11, shared 2-core VM).
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    folder = tmp_path / "repository"
    for name in listed.stdout.split("\0"):
        if name.startswith(("bench/", "kernels/", "resnet/", "pyproject", "constraints")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    plan = read(
        "[measure]\nthroughput_s = 0.3\nflush_batch = 0\n" + PLAN.replace(', "resnet34"', "")[1:].partition("\n")[2],
        "test",
        "test.toml",
    )
    runs = RealRuns(plan, here | {"gpu": {"none": "hidden"}}, [3.0], 1, source="noise", repository=committed(folder))
    assert list(runs.run()) == [Trial(3.0, 0)]
    assert runs.failed == []
    assert {row["metric"] for row in runs.tests} == {"latency", "throughput"}
    for row in runs.tests:
        assert 2 < row["slower"] < 8
