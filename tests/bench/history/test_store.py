"""Histories of stores of real records, and the command with its gate."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.results import history as cli_history
from bench.commands import command_line
from bench.errors import UNDECIDED, StoreError
from bench.history.history import judge_history
from bench.history.series import Series, read_series, results_folders
from bench.records.frame import Damage
from bench.records.record import Record
from bench.records.store import Store
from tests.bench.history.test_history import CASE, START
from tests.bench.records.written import quick, write

# of the tenth commit of `store`; the command's test has it
pytestmark = pytest.mark.filterwarnings("ignore:left out. 2 records measured with uncommitted")


def read_history(
    stores: list[Path], metrics: list[str], order: dict[str, int] | None = None, **how: bool
) -> list[Series]:
    """The series of some stores, judged."""
    return judge_history(read_series(stores, metrics, order, **how), order).series


@pytest.fixture
def store(tmp_path: Path, record: Callable[..., Record]) -> Path:
    """Ten commits, a folder each, written in no order; half as fast from the sixth on. And one of no commit."""
    for i in (3, 9, 0, 1, 7, 5, 4, 2, 8, 6):
        folder = Store(tmp_path / "nightly" / f"{i}")
        with folder.writing():
            for number in range(2):
                made = record(CASE, round=number)
                made.started = (START + timedelta(days=i)).isoformat()
                slower = 2 if i >= 5 else 1
                made.latency_ns = [slower * (1_000_000 + 1000 * ((7 * i + k) % 5)) for k in range(20)]
                made.environment = made.environment | {"git": {"sha": f"{i:040x}", "dirty": i == 9}}
                folder.append(made)
    return tmp_path / "nightly"


def test_a_store_is_read_in_the_order_of_its_commits(store: Path) -> None:
    (one,) = read_history([store], ["latency"])
    assert [int(point.sha, 16) for point in one.points] == list(range(9))  # the tenth had changes of no commit
    assert all(point.rounds == 2 for point in one.points)
    assert int(one.changes[0].after.sha, 16) == 5
    order = {f"{i:040x}": place for place, i in enumerate(reversed(range(10)))}
    (back,) = read_history([store], ["latency"], order)
    assert [int(point.sha, 16) for point in back.points] == list(reversed(range(9)))
    assert not back.changes[0].worse


def test_runs_with_other_threads_are_a_series_of_their_own(store: Path, record: Callable[..., Record]) -> None:
    made = record(CASE, settings={"threads": 3}, environment={"git": {"sha": f"{0:040x}", "dirty": False}})
    with Store(store / "threads").writing() as folder:
        folder.append(made)
    points = {one.name: len(one.points) for one in read_history([store], ["latency"])}
    assert points.pop(f"{CASE} (threads 3)") == 1
    assert list(points.values()) == [9]


@pytest.mark.parametrize("metric", ["host", "latency"])
def test_forked_processes_are_a_series_of_their_own_that_a_command_confirms(tmp_path: Path, metric: str) -> None:
    for i, (way, threads) in product(range(20), (("fresh", 0), ("forked", 0), ("forked", 3))):
        size = (400 + 60 * (i > 9) + 200 * (way == "forked") + i % 3) << 20
        some = quick(round=i, memory={"host_resident_peak": size}, latency_ns=[size] * 50, runtime={"process": way})
        some.settings, some.environment = (
            {"threads": threads} if threads else {},
            {"git": {"sha": f"{i:012x}".ljust(40, "0"), "dirty": False}},
        )  # type: ignore[typeddict-item]
        write(tmp_path / f"{way}{threads}", some)
    history = read_history([tmp_path], [metric])
    assert {one.choices: len(one.points) for one in history} == {"as usual": 20, "forked": 20, "threads 3, forked": 20}
    at = f"{9:012x}", f"{10:012x}", CASE
    commands = {one.choices: one.changes[0].confirm(CASE) for one in history}
    assert commands.pop("threads 3, forked") == command_line("ab", *at, "--threads", 3)
    assert set(commands.values()) == {command_line("ab", *at)}


def test_commits_without_a_place_are_left_out_and_told_or_refused_in_a_shallow_clone(store: Path) -> None:
    order = {f"{i:040x}": i for i in range(9) if i not in (2, 3)}
    with pytest.warns(Damage, match="2 commits that this checkout lacks"):
        (one,) = read_history([store], ["latency"], order)
    assert [int(point.sha, 16) for point in one.points] == [0, 1, 4, 5, 6, 7, 8]
    with pytest.raises(StoreError, match="fetch --unshallow") as refused:
        read_history([store], ["latency"], order, shallow=True)
    assert refused.value.exit_code == UNDECIDED
    (whole,) = read_history([store], ["latency"], {f"{i:040x}": i for i in range(9)}, shallow=True)
    assert len(whole.points) == 9


def test_linked_folders_are_entered_once_and_files_of_records_are_stores(store: Path, tmp_path: Path) -> None:
    (links := tmp_path / "links").mkdir()
    for number in range(10):
        (links / f"{number}").symlink_to(store / f"{number}")
    (links / "again").symlink_to(store / "0")
    (links / "around").symlink_to(links)
    assert len(results_folders([links])) == 10
    (one,) = read_history([links], ["latency"])
    assert len(one.points) == 9
    lines = b"".join((store / f"{number}" / "records.jsonl").read_bytes() for number in range(1))
    (tmp_path / "some.jsonl").write_bytes(lines)
    ((alone,),) = (series.points for series in read_history([tmp_path / "some.jsonl"], ["latency"]))
    assert int(alone.sha, 16) == 0


def test_a_place_without_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no records"):
        results_folders([tmp_path])


def test_the_command(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_history, "commit_order", dict)  # of a checkout without git: by when they were measured
    monkeypatch.setattr(cli_history, "is_shallow", bool)
    runner = CliRunner()
    told = runner.invoke(app, ["history", str(store), "--metric", "latency", "--fail-on-change"], env={"COLUMNS": "80"})
    assert told.exit_code == 1, told.stderr
    assert "1 series over 9 commits: 1 changed, 1 for the worse." in told.stdout
    assert "bench ab 000000000000 000000000000" in told.stdout
    rows = [line for line in told.stdout.splitlines() if line.startswith("  ") and "bench ab" not in line]
    assert rows, told.stdout
    assert max(map(len, rows)) <= 80, told.stdout
    (plain,) = json.loads(runner.invoke(app, ["history", str(store), "--metric", "latency", "--json"]).stdout)
    assert plain["changes"][0]["ratio"] == pytest.approx(2, rel=0.01)
    table = runner.invoke(app, ["history", str(store), "--metric", "latency", "--markdown"]).stdout
    assert "**1 worse at 0000000000 (2026-01-06), after 0000000000**" in table
    assert re.search(rf"\| `{CASE}` \| latency [\d.]+ ms \| \+100 %", table)
    assert table.startswith("**1 series over 9 commits: 1 changed, 1 for the worse.")
    assert runner.invoke(app, ["history", str(store), "--metric", "speed"]).exit_code == 2
    nowhere = runner.invoke(app, ["history", str(store), "--metric", "energy"])
    assert (nowhere.exit_code, nowhere.stdout) == (2, "")
    assert "no case of these stores was measured at a commit with a value of energy" in nowhere.stderr
    other = runner.invoke(app, ["history", str(store), "--machine", "Cray"])
    assert other.exit_code == 2
    assert "--machine Cray leaves no series; these stores are of" in other.stderr
    assert runner.invoke(app, ["history", str(store), "-f", "resnet152"]).exit_code == 2


def test_the_gate_is_about_news_and_names_the_command_that_accepts(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_history, "commit_order", lambda: {f"{i:040x}": i for i in range(10)})
    monkeypatch.setattr(cli_history, "is_shallow", bool)
    file, runner = tmp_path / "acknowledged.toml", CliRunner()

    def gate(*words: object) -> tuple[int, str, str]:
        options = ["history", store, "--metric", "latency", "--fail-on-change", "--acknowledged", file, *words]
        done = runner.invoke(app, list(map(str, options)), env={"COLUMNS": "200"})
        return done.exit_code, " ".join(done.stdout.split()), done.stderr  # wherever a terminal breaks its lines

    code, _, said = gate()
    assert code == 1
    assert f"--acknowledge {5:040x}"[:26] in said
    assert f"--reason TEXT -f {CASE} --metric latency --acknowledged {file}" in said
    assert command_line("history", store, "--acknowledge") in said
    assert "left out: 2 records measured with uncommitted changes" in said
    code, shown, _ = gate("--since", "2026-01-09")
    assert (code, "1 of 1 changes is older than --since" in shown, "older than --since" in shown) == (0, True, True)
    assert gate("--since", "2026-01-02")[0] == 1
    assert gate("--acknowledge", f"{5:040x}")[0] == 2  # without a reason
    assert gate("--acknowledge", f"{5:040x}", "-f", "eager", "--reason", "fp32 sums")[0] == 0
    code, shown, _ = gate("--markdown")
    assert (code, "; acknowledged: fp32 sums**" in shown) == (0, True)
    assert "acknowledged: fp32 sums" in gate()[1]
    (one,) = json.loads(gate("--json")[1])
    assert one["changes"][0]["acknowledged"] == "fp32 sums"
    assert gate("--machine", "no such machine")[0] == 2


def test_a_gate_that_cannot_fail_yet_says_so(
    tmp_path: Path, record: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_history, "commit_order", dict)
    monkeypatch.setattr(cli_history, "is_shallow", bool)
    for i in range(3):
        with Store(tmp_path / f"{i}").writing() as folder:
            one = record(CASE, environment={"git": {"sha": f"{i:040x}", "dirty": False}})
            one.started = (START + timedelta(days=i)).isoformat()
            folder.append(one)
    done = CliRunner().invoke(app, ["history", str(tmp_path), "--metric", "latency", "--fail-on-change", "--json"])
    assert done.exit_code == 0, done.stderr
    assert "nothing could have been found yet: The longest series has 3 commits" in done.stderr


def test_filters_act_before_series_are_judged(tmp_path: Path, record: Callable[..., Record]) -> None:
    """The family is what is shown: what could be found is told of that alone."""
    draw = np.random.default_rng(0)
    for i in range(12):
        with Store(tmp_path / "nightly" / f"{i}").writing() as folder:
            for batch in range(1, 31):
                one = record(CASE.replace("b1", f"b{batch}"), round=0)
                one.started = (START + timedelta(days=i)).isoformat()
                level = 1e6 * (1.045 if batch == 1 and i >= 6 else 1) * np.exp(draw.normal(0, 0.01))
                one.latency_ns = [round(level)] * 20
                one.environment = one.environment | {"git": {"sha": f"{i:040x}", "dirty": False}}
                folder.append(one)
    runner, least = CliRunner(), []
    for words in ([], ["-f", "b1", "-f", "b2", "-f", "b3"]):
        options = ["history", str(tmp_path / "nightly"), "--metric", "latency", "--json", *words]
        least.append(json.loads(runner.invoke(app, options).stdout)[0]["detectable"])
    assert least[0] != least[1]


def test_commits_in_the_order_of_their_measurement_are_told(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_history, "commit_order", dict)
    monkeypatch.setattr(cli_history, "is_shallow", bool)
    done = CliRunner().invoke(app, ["history", str(store), "--metric", "latency"], env={"COLUMNS": "300"})
    assert "none of these 9 commits: they are in the order in which they were first measured" in done.stderr
