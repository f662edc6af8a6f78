"""Commands on results without a folder, with a saved name, and on a folder of runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench import paths
from bench.cli import app
from bench.records import places
from tests.bench.verdicts.sides import CASE, OTHER, Folder, Make, folders_in

FIRST, LATEST = "test-20260131-120000-1", "test-20260201-120000-2"


def bench(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.fixture
def local(tmp_path: Path, record: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "LOCAL", tmp_path)
    return tmp_path


@pytest.fixture
def run(local: Path, record: Make) -> Folder:
    return folders_in(local, record)


@pytest.fixture
def two(run: Folder) -> tuple[Path, Path]:
    """Two runs of one plan; in the second, a case is slower."""
    return run(FIRST, {CASE: 10.0, OTHER: 5.0}), run(LATEST, {CASE: 10.5, OTHER: 5.0})


@pytest.mark.parametrize("command", ["report", "compare", "recommend", "capacity", "export"])
def test_without_any_run_a_sentence_says_what_to_do(local: Path, command: str) -> None:
    done = bench(command)
    assert done.exit_code == 2
    assert "there is no run in" in done.stderr
    assert " run quick`" in done.stderr


def test_bare_report_is_of_the_latest_run_and_says_so(two: tuple[Path, Path]) -> None:
    done, named = bench("report"), bench("report", two[1])
    assert (done.exit_code, done.stdout) == (0, named.stdout)
    assert done.stderr == f"The latest run: {places.Run(two[1]).describe()}\n"
    assert named.stderr == ""
    quiet = bench("report", "-q")
    assert (quiet.stdout, quiet.stderr) == (named.stdout, "")


def test_a_baseline_that_is_no_results_folder_is_a_sentence(two: tuple[Path, Path], tmp_path: Path) -> None:
    for word in (two[0] / "records.jsonl", tmp_path / "none", two[0].parent / FIRST / ".."):
        done = bench("compare", word)
        assert (done.exit_code, done.exception.__class__) == (2, SystemExit), done.output
        assert done.stderr.startswith("bench: ")


def test_bare_compare_is_of_the_two_latest_runs_and_says_so(two: tuple[Path, Path]) -> None:
    done, named = bench("compare"), bench("compare", *two)
    assert (done.exit_code, done.stdout) == (1, named.stdout)
    assert f"Base: {two[0]}" in done.stderr
    assert f"Head: {two[1]}" in done.stderr


def test_a_saved_name_is_the_baseline_of_what_comes_after(run: Folder) -> None:
    first = run(FIRST, {CASE: 10.0})
    saved = bench("report", first, "--save", "main")
    assert (saved.exit_code, "Saved as main" in saved.stderr) == (0, True)
    assert "--rounds 6" not in saved.stderr  # as it has eight, enough for a verdict
    early = bench("compare", "main")
    assert (early.exit_code, "no run after" in early.stderr) == (2, True)
    run(LATEST, {CASE: 10.5})
    done = bench("compare", "main")
    assert done.exit_code == 1
    assert "1 case" in done.stdout
    assert f"Head: {paths.LOCAL / LATEST}" in done.stderr
    for words in (
        ("report", "main"),
        ("recommend", "main"),
        ("export", "main"),
    ):
        assert bench(*words).exit_code == 0, words
    assert bench("capacity", "main", "--p99-ms", "99").exit_code == 4  # of too few samples
    back = bench("compare", LATEST, "main")
    assert (back.exit_code, "nor a saved name" in back.stderr) == (2, True)
    assert bench("compare", paths.LOCAL / LATEST, "main").exit_code == 0


def test_a_folder_of_runs_is_listed(two: tuple[Path, Path], local: Path) -> None:
    places.save("main", two[0])
    done = bench("report", local)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].split() == ["run", "date", "plan", "cases", "failed"]
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [FIRST, LATEST, "main"]
    rows = json.loads(bench("report", local, "--json").stdout)
    assert [row["run"] for row in rows] == [FIRST, LATEST, "main"]
    assert [row["cases"] for row in rows] == [2, 2, 2]
    assert rows[2]["saved_from"] == FIRST
    table = list(csv.DictReader(io.StringIO(bench("report", local, "--csv").stdout)))
    assert [row["plan"] for row in table] == ["test"] * 3
    assert "| run | date | plan | cases | failed |" in bench("report", local, "--markdown").stdout
    for option in ("--html", "--stills", "--parquet", "--save"):  # which are of records, not of a list of runs
        refused = bench("report", local, option, local / "made")
        assert (refused.exit_code, f"{local} is a folder of runs" in refused.stderr) == (2, True)
        assert not (local / "made").exists()
    wrong = bench("recommend", local)
    assert (wrong.exit_code, "holds runs, not records" in wrong.stderr) == (2, True)


def test_history_counts_a_saved_copy_once(two: tuple[Path, Path], local: Path) -> None:
    before = bench("history", local, "--csv", "--all")
    places.save("main", two[0])
    assert before.stdout == bench("history", local, "--csv", "--all").stdout


def test_too_few_rounds_to_judge_anything_are_exit_code_4(run: Folder) -> None:
    run(FIRST, {CASE: 10.0}, rounds=2)
    run(LATEST, {CASE: 10.5}, rounds=2)
    done = bench("compare")
    assert done.exit_code == 4
    assert "No case could be judged" in done.stdout
    assert bench("compare", "--fail-on", "nothing").exit_code == 0
    assert bench("compare", "--fail-on", "ambiguous").exit_code == 1
    assert bench("compare", "--metric", "weights").exit_code == 0  # exact, so that one round tells
    assert bench("compare", "--metric", "weights", "--metric", "latency").exit_code == 4


def test_noise_alone_is_no_want_of_rounds(run: Folder) -> None:
    run(FIRST, {CASE: 10.0}, noise=0.1)
    run(LATEST, {CASE: 10.2}, noise=0.1)
    done = bench("compare", "--metric", "latency")
    assert "1 AMBIGUOUS" in done.stdout
    assert done.exit_code == 0


def test_the_verdicts_as_csv(two: tuple[Path, Path]) -> None:
    done = bench("compare", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    data = json.loads(bench("compare", "--json").stdout)["verdicts"]
    assert len(rows) == len(data)
    assert rows[0]["verdict"] == "SLOWER"
    by_key = {(one["case"], one["metric"]): one for one in data}
    for row in rows:
        one = by_key[row["case"], row["metric"]]
        assert (row["verdict"], float(row["ratio"]), row["base_rounds"]) == (one["word"], one["ratio"], "8")


def test_recommend_tells_no_from_cannot_tell(two: tuple[Path, Path]) -> None:
    assert bench("recommend", "--p99-ms", "20").exit_code == 4  # 15 samples a round
    assert bench("recommend", "--memory-gib", "0.1").exit_code == 1
    assert bench("recommend", "--memory-gib", "1").exit_code == 0
    rows = list(csv.DictReader(io.StringIO(bench("recommend", "--memory-gib", "1", "--csv").stdout)))
    assert [(row["case"], row["answer"]) for row in rows] == [(OTHER, "best"), (CASE, "within the limits")]
    assert "| variant | prec | batch |" in bench("recommend", "--markdown").stdout


def test_the_frame_is_exported_as_csv(two: tuple[Path, Path], tmp_path: Path) -> None:
    from bench.records.frame import load

    done = bench("export")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    frame = load(two[1])
    assert list(rows[0]) == list(frame.columns)
    assert [float(row["p50_ns"]) for row in rows] == frame["p50_ns"].tolist()
    assert bench("export", "--format", "csv", "-o", tmp_path / "x.csv").exit_code == 0
    assert (tmp_path / "x.csv").read_text() == done.stdout


def test_cases_are_narrowed_alike_by_every_command(two: tuple[Path, Path]) -> None:
    for command in ("report", "compare", "recommend", "export"):
        for words in (("-f", "compile"), ("--exclude", "eager")):
            rows = list(
                csv.DictReader(io.StringIO(bench(command, *words, "--csv" if command != "export" else "-q").stdout))
            )
            assert {row["case"] for row in rows} == {OTHER}, (command, words)
        done = bench(command, "-f", "compil")
        assert done.exit_code == 2
        assert "matches compil (near it: compile)" in done.stderr
    for command in ("history", "capacity"):
        done = bench(command, *([paths.LOCAL] if command == "history" else []), "-f", "compil")
        assert (done.exit_code, "matches compil" in done.stderr) == (2, True), done.stderr
