"""Two commits in turns: real worktrees and processes, of a repository whose worker makes its speeds up."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.measure import ab as cli_ab
from bench.errors import StoreError
from bench.plans.case import Case
from bench.plans.plan import parse_plan
from bench.plans.settings import Settings
from bench.records.store import Store
from bench.runs import process
from bench.runs.ab import LOOKS, SIDES, Duel, ask_checkout, interim_looks
from bench.runs.job import CaseJob
from bench.runs.worktree import Checkout, checkouts
from tests.repositories import git

WORKER = """
import json, os, random, sys

SPEED = {speed}

if __name__ == "__main__":
    job = json.load(sys.stdin)
    if job["job"] == "reference":
        answer = {{"paths": {{}}}}
    else:
        ns = 10_000_000 * (SPEED if "resnet18" in job["case"] else 1)
        ns *= random.Random(os.getpid()).gauss(1, 0.003)
        answer = {{
            "latency_ns": [int(ns) + k for k in range(20)],
            "throughput": {{"images": 100, "ns": int(100 * ns)}},
            "memory": {{"weights": 4096}},
        }}
    os.write(int(sys.argv[1]), (json.dumps({{"status": "ok"}} | answer) + "\\n").encode())
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


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`slow` takes a tenth more for resnet18 than `fast`."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("pyproject.toml", "constraints.txt", "bench/__init__.py", "resnet/__init__.py", "resnet/variants.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    git(folder, "init", "--quiet")
    for tag, speed in (("fast", 1.0), ("slow", 1.1)):
        (folder / "bench" / "worker.py").write_text(WORKER.format(speed=speed))
        commit(folder, tag)
    return folder


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker is `bench/worker.py` at `before`, and the package `bench/worker/` at `after`, a tenth slower."""
    folder = tmp_path_factory.mktemp("moved")
    for name in ("pyproject.toml", "constraints.txt", "bench/__init__.py", "resnet/__init__.py", "resnet/variants.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    git(folder, "init", "--quiet")
    (folder / "bench" / "worker.py").write_text(WORKER.format(speed=1.0))
    commit(folder, "before")
    (folder / "bench" / "worker.py").unlink()
    (folder / "bench" / "worker").mkdir()
    (folder / "bench" / "worker" / "__init__.py").touch()
    (folder / "bench" / "worker" / "__main__.py").write_text(WORKER.format(speed=1.1))
    commit(folder, "after")
    return folder


def commit(folder: Path, tag: str) -> None:
    git(folder, "add", "--all", ".")
    git(folder, "commit", "--quiet", "--message", tag)
    git(folder, "tag", tag)


@pytest.fixture
def duel(repository: Path, tmp_path: Path, here: dict[str, Any]) -> Iterator[Duel]:
    plan = parse_plan(PLAN, "test", "test.toml")
    with checkouts(["fast", "slow"], repository=repository) as (base, head):
        yield Duel(plan, (base, head), tmp_path / "out", here | {"gpu": {"none": "hidden"}}, rounds=4)


def test_both_sides_take_turns_case_by_case_and_either_may_be_first(duel: Duel) -> None:
    ran = [(record.round, record.case.model, side) for side, record in duel.run()]
    assert len(ran) == 4 * 2 * 2
    for one, other in zip(ran[::2], ran[1::2], strict=True):
        assert one[:2] == other[:2]
        assert {one[2], other[2]} == set(SIDES)
    assert {side for _, _, side in ran[::2]} == set(SIDES)
    assert {(number, model) for number, model, _ in ran} == {(n, m) for n in range(4) for m in ("resnet18", "resnet34")}
    assert (duel.done, duel.stopped) == (4, "all 4 rounds are done")
    shas = [{record.environment["git"]["sha"] for record in Store(duel.folder / side).read()} for side in SIDES]
    assert shas == [{checkout.sha} for checkout in duel.sides]


def test_it_stops_when_enough_is_known_and_asks_at_the_looks_alone(duel: Duel) -> None:
    asked = list[int]()

    def enough() -> bool:
        asked.append(duel.done)
        return len(asked) == 2

    duel.rounds, duel.is_decided = 12, enough
    assert len(list(duel.run())) == 8 * 2 * 2
    assert asked == [6, 8]
    assert duel.stopped == "every case is decided"


def test_no_round_starts_that_would_end_after_the_budget(duel: Duel) -> None:
    duel.rounds, duel.budget_s = 1000, 0.5  # more than the fastest machine can do
    assert list(duel.run())
    assert duel.stopped == "the budget is spent"
    records = [Store(duel.folder / side).read() for side in SIDES]
    assert len(records[0]) == len(records[1]) == 2 * duel.done


def test_it_goes_on_where_it_was_stopped(duel: Duel) -> None:
    running = duel.run()
    first = [next(running) for _ in range(5)]  # in the midst of a pair
    running.close()
    duel.resume = True
    rest = list(duel.run())
    assert len(first) + len(rest) == 16
    assert len({(side, record.round, record.case) for side, record in first + rest}) == 16
    duel.sides = duel.sides[::-1]
    with pytest.raises(StoreError, match="of another commit"):
        list(duel.run())


def test_both_sides_have_as_many_threads_also_where_a_worker_does_not_read_the_setting(
    duel: Duel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    real = process.ask

    def ask(job: Any, limit_s: float, on_stage: Any, home: process.Home) -> process.Answer[Any]:
        seen.append(home.variables.get("OMP_NUM_THREADS"))
        return real(job, limit_s, on_stage, home=home)

    monkeypatch.setattr(process, "ask", ask)
    duel.plan, duel.rounds = replace(duel.plan, settings=replace(duel.plan.settings, threads=3)), 1
    list(duel.run())
    assert len(seen) > 4
    assert set(seen) == {"3"}


def test_looks_end_with_the_last_round() -> None:
    assert interim_looks(LOOKS[-1]) == list(LOOKS)
    assert interim_looks(5) == [5]
    assert interim_looks(12) == [6, 8, 11, 12]


def ab(repository: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setattr(cli_ab, "ROOT", repository)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return CliRunner().invoke(app, ["ab", *words])


def test_the_command_finds_the_slower_commit_and_says_which_case(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "test.toml"
    plan.write_text(PLAN)
    told = ab(repository, monkeypatch, "fast", "slow", str(plan), "-o", str(tmp_path / "out"), "--json")
    assert told.exit_code == 1, told.output
    found = json.loads(told.stdout)
    words = {(one["case"].split("/")[0], one["metric"]): one["word"] for one in found["verdicts"]}
    assert words["resnet18", "latency"] == words["resnet18", "throughput"] == "SLOWER"
    assert words["resnet34", "latency"] == "SAME"
    assert words["resnet18", "weights"] == "SAME"
    assert "every case is decided" in found["ended"]
    assert any("measuring code differs" in text for text in found["told"])  # the toy's speed is in its worker


def test_a_base_whose_worker_is_one_file_runs_beside_a_head_whose_worker_is_a_package(
    moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "test.toml"
    plan.write_text(PLAN)
    told = ab(moved, monkeypatch, "before", "after", str(plan), "-o", str(tmp_path / "out"), "--json")
    assert told.exit_code == 1, told.output
    found = json.loads(told.stdout)
    words = {(one["case"].split("/")[0], one["metric"]): one["word"] for one in found["verdicts"]}
    assert words["resnet18", "latency"] == "SLOWER"
    assert words["resnet34", "latency"] == "SAME"
    assert any("measuring code differs" in text for text in found["told"])


def test_a_commit_against_itself_is_the_same(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "test.toml"
    plan.write_text(PLAN)
    told = ab(repository, monkeypatch, "slow", "slow", str(plan), "-o", str(tmp_path / "out"), "--markdown")
    assert told.exit_code == 0, told.output
    assert "0 SLOWER, 0 FASTER, 0 AMBIGUOUS" in told.stdout


def test_bad_usage(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ab(repository, monkeypatch, "fast", "slow", "smoke", "--resume").exit_code == 2
    assert ab(repository, monkeypatch, "fast", "slow", "nowhere").output.startswith("bench: no plan 'nowhere'")
    assert "no revision" in ab(repository, monkeypatch, "fats", "slow", "smoke").output


@pytest.mark.slow
def test_this_checkout_against_itself(tmp_path: Path) -> None:
    """The whole way, with this project's own worker: two rounds of one small case."""
    root = Path(__file__).resolve().parents[3]
    if subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True).returncode:
        pytest.skip("this is no git checkout")
    words = [
        "HEAD",
        "HEAD",
        "smoke",
        "-f",
        "eager/fp32/b2",
        "--rounds",
        "2",
        "--input",
        "noise",
        "-o",
        str(tmp_path / "out"),
    ]
    before = set(root.glob(".git/worktrees/*"))  # the user's own
    told = CliRunner().invoke(app, ["ab", *words, "--json"])
    if told.exit_code == 2 and "in no commit" in told.output:
        pytest.skip(told.output)
    assert told.exit_code == 4, told.output  # two rounds cannot tell
    for side in SIDES:
        assert [record.status for record in Store(tmp_path / "out" / side).read()] == ["ok", "ok"]
    assert set(root.glob(".git/worktrees/*")) == before


def test_a_commit_that_refuses_what_it_does_not_know_gets_no_later_words_that_are_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(process, "ask", lambda job, *_, **__: asked.append(job))
    job = CaseJob(Case.parse("resnet18/eager/fp32/b1/i32/stream"), Settings(threads=2), "cpu", 0, "noise", {})
    ask_checkout(Checkout("before", "0" * 40, process.Home(tmp_path)), job.to_json(), 1.0, print)
    later = asked[0]["settings"].keys() & {"threads", "turns", "turn_s", "group_s"}
    assert later == {"threads"}
    assert "build" not in asked[0]


@pytest.mark.parametrize(("file", "name"), [("mixed.py", "mixed"), ("per_layer.py", "per-layer")])
def test_a_commit_from_before_a_variant_was_renamed_hears_the_old_name(
    file: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(process, "ask", lambda job, *_, **__: asked.append(job))
    (tmp_path / "resnet" / "variants").mkdir(parents=True)
    (tmp_path / "resnet" / "variants" / file).touch()
    checkout = Checkout("before", "0" * 40, process.Home(tmp_path))
    reference = {"job": "reference"}
    for job in (reference, {"job": "case", "case": "resnet18/per-layer/fp16/b1/i32/graph"}):
        ask_checkout(checkout, job, 1.0, print)
    assert asked == [reference, {"job": "case", "case": f"resnet18/{name}/fp16/b1/i32/graph"}]
