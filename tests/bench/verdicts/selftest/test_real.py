"""Real runs of HEAD against HEAD, with delays: in a repository whose worker's clock is made up, once in this one."""

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RevisionError
from bench.plans.plan import parse_plan
from bench.runs.ab import interim_looks
from bench.verdicts.selftest.real import RealRuns, Trial, inject
from tests.bench.verdicts.selftest.repository import PLAN, committed, repository_in
from tests.repositories import copy_checkout

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repository_in(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def runs(repository: Path, here: dict[str, Any]) -> RealRuns:
    env = here | {"gpu": {"none": "hidden"}}
    return RealRuns(parse_plan(PLAN, "test", "test.toml"), env, [0.0, 0.1], repository=repository)


def test_identical_code_is_the_same_and_a_delay_is_found_at_its_size(runs: RealRuns, repository: Path) -> None:
    assert list(runs.run_trials()) == [Trial(0.0, 0), Trial(0.1, 0)]
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
        assert row["rounds"] in interim_looks(10)
    assert not runs.failed
    assert not runs.cut
    status = ["git", "-C", str(repository), "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, text=True, check=True).stdout == ""
    assert not list((repository / ".git" / "worktrees").glob("*"))


def test_a_comparison_that_the_budget_cuts_short_does_not_count(runs: RealRuns) -> None:
    runs.budget_s = 0.5
    assert list(runs.run_trials()) == []
    assert runs.cut
    assert runs.tests == []


def test_a_case_that_fails_is_told(runs: RealRuns) -> None:
    runs.plan = parse_plan(PLAN.replace('"resnet18"', '"resnet50"'), "test", "test.toml")
    runs.rounds, runs.delays = 1, [0.1]
    assert list(runs.run_trials()) == [Trial(0.1, 0)]
    assert {row["case"] for row in runs.tests} == {"resnet34/eager/fp32/b1/i32/stream"}
    assert len(runs.failed) == 2
    assert runs.failed[0].startswith("HEAD against HEAD, delayed by 10 %, repeat 1, ")
    assert runs.failed[0].endswith("resnet50/eager/fp32/b1/i32/stream: wrong: made up")


def test_a_checkout_without_variants_takes_no_delay(tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="before a delay"):
        inject(tmp_path, 0.1)


@pytest.mark.slow
@pytest.mark.timed
def test_the_real_worker_is_delayed_in_latency_and_throughput(
    tmp_path: Path, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way with this working tree's own code, as a commit of its own; too few rounds for a verdict.

    One thread and a delay of three calls, as tests run beside others: a process on two cores that are shared with six
    was up to ten times as slow as the next, one with a single thread by a third (2026-11, shared 2-core VM).
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "repository"
    copy_checkout(folder, ("bench/", "kernels/", "resnet/", "pyproject", "constraints"))
    plan = parse_plan(
        "[measure]\nthroughput_s = 0.3\nflush_batch = 0\n" + PLAN.replace(', "resnet34"', "")[1:].partition("\n")[2],
        "test",
        "test.toml",
    )
    runs = RealRuns(plan, here | {"gpu": {"none": "hidden"}}, [3.0], 1, source="noise", repository=committed(folder))
    assert list(runs.run_trials()) == [Trial(3.0, 0)]
    assert runs.failed == []
    assert {row["metric"] for row in runs.tests} == {"latency", "throughput"}
    for row in runs.tests:
        assert 2 < row["slower"] < 8
