"""What the tool costs is measured in turns, recorded with where it comes from, and stands in docs/PERFORMANCE.md."""

import os
import re
import signal
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.costs import __main__ as program
from tests.costs import record as records
from tests.costs.__main__ import Place, measure, measure_all
from tests.costs.alternate import CostError, Side, alternate, exponent, sides, spend, this_checkout
from tests.costs.table import COSTS, CPU, PASS, PEAK, WALL, Cost, Goal
from tests.repositories import git

BOTH = {"before": this_checkout("before"), "after": this_checkout()}
HERE = BOTH["after"]
FILLS = "import sys; filled = b'1' * (int(sys.argv[1]) << 20)"


def test_a_cost_is_a_row_a_measure_with_values_of_each_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goals = {CPU: Goal("unit", 1000.0), PEAK: Goal("after", 1.0), "answer": Goal("ratio", 1.0)}
    argv = ("python", "-c", "print('words'); print('    8.0 s  answer')")
    cost = Cost("test", "a question", "bench test", argv, 3, goals, unit="pass", unit_argv=PASS, per=2)
    path = tmp_path / "costs.json"
    assert measure_all([cost], BOTH, path) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in shown] == [
        "test, CPU-s / pass",
        "test, peak MiB / pass",
        "test, answer",
    ]
    assert shown[2] == "test, answer: 4.000 -> 4.000, 1.000 [1.000, 1.000]; at most 1 of before: met"
    record = records.read(path)
    by_measure = {row["measure"]: row for row in record["rows"]}
    assert list(by_measure) == [CPU, PEAK, "answer"]
    assert [row["standing"] for row in record["rows"]] == ["met", "not met", "met"]
    for row in record["rows"]:
        (point,) = row["points"]
        units = () if row["measure"] == "answer" else ("before_unit", "after_unit")
        assert all(len(point[name]) == 3 for name in ("before", "after", *units))
        assert point["after_median"] == median(point["after"])
        assert point["ratio"]["low"] <= point["ratio"]["value"] <= point["ratio"]["high"]
        about = record["runs"][row["run"]]
        assert about["before"]["code"] == about["after"]["code"]
        assert about["environment"]["cpu"]["cores"]
    assert by_measure["answer"]["points"][0]["after"] == [4.0] * 3
    table = records.markdown(record)
    assert "| `test`: a question | `bench test` | CPU-s / pass | " in table
    assert "| at most 1 of before | met |" in table


def test_a_try_changes_no_record_and_no_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "COSTS", [Cost("test", "", "bench test", PASS, 1)])
    monkeypatch.setattr(program, "sides", lambda base: nullcontext((BOTH["before"], HERE)))
    files = (records.RECORD, records.PAGE)
    before = [file.read_bytes() for file in files]
    try:
        assert program.main(["--only", "test"]) == 0
        assert [file.read_bytes() for file in files] == before
    finally:
        for file, content in zip(files, before, strict=True):
            file.write_bytes(content)
    assert re.match(r"test, CPU-s: [\d.]+ -> [\d.]+, ", capsys.readouterr().out)
    assert program.main(["--only", "test", "--record", str(tmp_path / "r.json")]) == 0
    assert [row["name"] for row in records.read(tmp_path / "r.json")["rows"]] == ["test"]


def test_the_table_names_the_costs_that_it_lacks() -> None:
    rows = [
        {"name": cost.name, "question": "", "command": "", "measure": CPU, "reason": "x", "run": "1"} for cost in COSTS
    ]
    about = records.read()["runs"]
    record = {"rows": rows[2:], "runs": {"1": next(iter(about.values()))}}
    assert f"Not measured yet: `{COSTS[0].name}`, `{COSTS[1].name}`." in records.markdown(record)
    assert "Not measured yet" not in records.markdown(record | {"rows": rows})


def test_sizes_have_the_power_that_a_measure_grows_by(tmp_path: Path) -> None:
    cost = Cost("test", "", "", ("python", "-c", FILLS, "{size}"), 1, {PEAK: None}, sizes=(1, 20, 60), before=False)
    (row,) = measure(cost, BOTH, Place(tmp_path))
    peaks = [point["after_median"] for point in row["points"]]
    assert peaks[0] < 40, "the peak of whoever started it is taken for its own"
    assert peaks[2] - peaks[1] == pytest.approx(40, abs=4)
    assert row["exponents"] == {"after": pytest.approx(1, abs=0.1)}
    assert "before" not in row["points"][0]


@pytest.mark.parametrize(("low", "high", "word"), [(0.9, 1.1, "cannot tell"), (0.5, 0.9, "met"), (1.1, 1.2, "not met")])
def test_a_goal_is_met_where_the_interval_is_on_one_side(low: float, high: float, word: str) -> None:
    assert records.standing(Goal("ratio", 1.0), [{"ratio": {"value": 0.99, "low": low, "high": high}}])[0] == word


def test_one_turn_has_no_interval_and_says_so() -> None:
    word, _ = records.standing(Goal("ratio", 1.0), [{"ratio": {"value": 0.99, "low": None, "high": None}}])
    assert word == "met, of one turn"


def test_turns_alternate() -> None:
    order: list[str] = []
    works = [lambda name=name: order.append(name) or name for name in "abc"]
    assert alternate(works, 3) == [["a"] * 3, ["b"] * 3, ["c"] * 3]
    assert "".join(order) == "abccbaabc"
    assert exponent([1, 10, 100], [3, 300, 30_000]) == pytest.approx(2)


def test_processes_that_outlive_the_command_are_counted() -> None:
    burn = "import time; begun = time.process_time()\nwhile time.process_time() < begun + 0.3: pass"
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}], start_new_session=True)"
    assert spend(["python", "-c", start], HERE).cpu_s > 0.3


def test_a_command_that_fails_is_a_row_with_its_reason_and_the_next_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    bad = Cost("bad", "", "bench bad", ("python", "-c", "import sys; sys.exit('no such /place/thing')"), 1)
    assert measure_all([bad, Cost("good", "", "bench good", PASS, 1)], BOTH, path) == 1
    first, second = records.read(path)["rows"]
    assert first["reason"] == "of before: it ends with 1: no such thing"
    assert "not measured: of before" in records.markdown(records.read(path))
    assert "points" in second
    with pytest.raises(CostError, match="ends with -9: it printed nothing"):
        spend(["python", "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], HERE)


def test_rows_of_a_cost_replace_those_before_and_the_rest_keeps_its_run() -> None:
    record: dict[str, Any] = {"runs": {}, "rows": []}
    for run, names in (("1", ["help", "list"]), ("2", ["list"]), ("3", ["help"])):
        for name in names:
            records.replace(record, run, {"started": run}, [{"name": name, "measure": CPU}])
    assert [(row["name"], row["run"]) for row in record["rows"]] == [("help", "3"), ("list", "2")]
    assert list(record["runs"]) == ["2", "3"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit, with what is read of a checkout."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    folder = tmp_path / "repository"
    for name in ("pyproject.toml", "bench/__init__.py", "kernels/__init__.py", "resnet/__init__.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_an_interrupt_ends_the_command_and_removes_the_checkouts(repository: Path) -> None:
    told = repository.parent / "told"
    sleeps = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    seen: list[Side] = []

    def interrupt() -> None:
        while not (told.exists() and told.read_text()):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt, daemon=True)
    with suppress(KeyboardInterrupt), sides("HEAD", repository) as pair:
        seen += pair
        watcher.start()
        spend(["python", "-c", sleeps, str(told)], pair[0])
        pytest.fail("it was not interrupted")
    assert not Path(f"/proc/{told.read_text()}").exists()
    assert git(repository, "worktree", "list").count("\n") == 1
    assert not any(Path(place).exists() for side in seen for place in (side.root, *side.variables.values()))
    assert seen[0].root != seen[1].root
    assert seen[0].variables != seen[1].variables


def test_the_costs_can_be_named_and_ask_for_what_is_measured() -> None:
    names = [cost.name for cost in COSTS]
    assert len(names) == len(set(names))
    for cost in COSTS:
        assert cost.goals, cost.name
        for measure_name, goal in cost.goals.items():
            assert cost.sweep or measure_name in (CPU, PEAK, WALL), cost.name
            assert goal is None or goal.of in ("after", "ratio", "unit"), cost.name
            assert goal is None or goal.of != "unit" or cost.unit_argv, cost.name
        assert list(cost.sizes) == sorted(cost.sizes), cost.name


def test_the_page_is_as_the_record_says() -> None:
    record = records.read()
    table = records.PAGE.read_text(encoding="utf-8").split("<!-- costs -->\n")[1].split("\n<!-- /costs -->")[0]
    assert table == records.markdown(record), "python -m tests.costs --splice"
    assert {row["name"] for row in record["rows"]} <= {cost.name for cost in COSTS}
