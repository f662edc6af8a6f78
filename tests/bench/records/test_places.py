"""Which run is the latest, what a saved name means, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import compare, load, paths
from bench.errors import ArgumentError, BenchError, StoreError
from bench.plans.settings import ONCE
from bench.records import places
from bench.records.places import Run, latest_like, latest_run, latest_two, results_at, runs_in, save
from bench.records.record import Record
from bench.records.store import FILE

Make = Callable[..., Record]
Fill = Callable[..., Path]
CASE, OTHER = (f"resnet50/{variant}/fp32/b1/i224/stream" for variant in ("eager", "compile"))


@pytest.fixture
def fill(tmp_path: Path, record: Make, monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Makes a folder of records in results/local: its name, the hour of its start, its plan and cases."""
    monkeypatch.setattr(paths, "LOCAL", tmp_path / "local")

    def make(name: str, hour: int, plan: str = "quick", cases: tuple[str, ...] = (CASE,), **fields: Any) -> Path:
        folder = tmp_path / "local" / name
        folder.mkdir(parents=True, exist_ok=True)
        started = f"2026-01-31T{hour:02}:00:00+00:00"
        made = [record(case, started=started, plan={"name": plan, "digest": "0"}, **fields) for case in cases]
        (folder / FILE).write_text("".join(one.line() + "\n" for one in made))
        return folder

    return make


def test_the_latest_is_by_number_of_one_plan_and_by_time_of_several(fill: Fill) -> None:
    fill("quick-20260131-120000-1", 12)
    fill("quick-20260131-100000-2", 10)  # the clock had gone back
    fill("smoke-20260131-110000-7", 11, "smoke")
    fill("mine", 13)
    os.utime(paths.LOCAL / "smoke-20260131-110000-7" / FILE)  # touched last, and that counts for nothing
    names = [run.folder.name for run in runs_in(paths.LOCAL)]
    assert names == ["smoke-20260131-110000-7", "quick-20260131-120000-1", "quick-20260131-100000-2", "mine"]
    assert latest_run().folder.name == "mine"


def test_what_is_no_run_is_never_the_latest(fill: Fill) -> None:
    fill("quick-20260131-120000-1", 12)
    fill("verify-quick-20260131-130000-1", 13)
    fill("ab-quick-20260131-140000-1/base", 14)
    fill("campaign-dry/nvidia-h200", 15)
    save("main", fill("saved-soon", 11))
    assert [run.folder.name for run in runs_in(paths.LOCAL)] == ["saved-soon", "quick-20260131-120000-1"]
    (paths.LOCAL / "broken").mkdir()
    (paths.LOCAL / "broken" / FILE).write_text("no record\n")
    assert latest_run().folder.name == "quick-20260131-120000-1"


def test_without_a_run_the_cure_is_said(fill: Fill) -> None:
    with pytest.raises(StoreError, match=r"no run in .* yet: name a results folder, or measure: `.* run quick`"):
        latest_run()


def test_a_run_is_described_by_its_records(fill: Fill) -> None:
    folder = fill("quick-20260131-120000-1", 12, cases=(CASE, OTHER, CASE))
    with (folder / FILE).open("a") as file:
        file.write('{"schema":4,"case":"half')  # still being written
    run = Run(folder)
    assert (run.plan, run.when, len(run.statuses), run.failed) == ("quick", "2026-01-31 12:00", 2, 0)
    assert run.describe().endswith("quick-20260131-120000-1 (quick, 2026-01-31 12:00, 2 cases)")
    assert Run(fill("other", 1, status="crash")).failed == 1


def test_the_two_to_compare_are_of_one_plan_and_case(fill: Fill) -> None:
    first = fill("quick-20260131-100000-1", 10)
    fill("smoke-20260131-110000-1", 11, "smoke")
    fill("quick-20260131-113000-2", 11, cases=(OTHER,))
    last = fill("quick-20260131-120000-3", 12)
    assert tuple(run.folder for run in latest_two()) == (first, last)
    fill("smoke-20260131-130000-2", 13, "smoke", cases=(OTHER,))
    with pytest.raises(StoreError, match=r"no run before .*smoke-20260131-130000-2"):
        latest_two()


def test_a_baseline_is_compared_with_what_came_after_it(fill: Fill) -> None:
    first = fill("quick-20260131-100000-1", 10)
    save("main", first)
    baseline = Run(results_at("main"))
    with pytest.raises(StoreError, match=r"no run after .*main .*is of the same plan"):
        latest_like(baseline)
    last = fill("quick-20260131-120000-2", 12)
    fill("smoke-20260131-130000-1", 13, "smoke")
    assert latest_like(baseline).folder == last
    assert latest_like(Run(first)).folder == last


def test_a_baseline_from_elsewhere_is_compared_with_what_began_later(fill: Fill, tmp_path: Path) -> None:
    fill("quick-20260131-100000-1", 10)
    save("main", fill("../elsewhere", 11))
    with pytest.raises(StoreError, match="no run after"):
        latest_like(Run(results_at("main")))
    last = fill("quick-20260131-120000-2", 12)
    assert latest_like(Run(results_at("main"))).folder == last


def test_a_run_of_the_gate_alone_is_told_by_its_settings(fill: Fill) -> None:
    first = fill("quick-20260131-100000-1", 10)
    fill("checked", 12, settings=ONCE)
    assert latest_run().folder == first


def test_a_saved_name_that_is_a_folder_of_results_too_is_refused(fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    save("main", fill("quick-20260131-100000-1", 10))
    monkeypatch.chdir(paths.LOCAL.parent)
    Path("main").mkdir()
    assert results_at("main") == Path("local/saved/main")
    theirs = fill("../main", 11)
    with pytest.raises(StoreError, match=r"main is a saved name, and .*: write local/saved/main or /.*/main"):
        results_at("main")
    assert results_at(theirs) == theirs


def test_what_cannot_be_saved_leaves_the_baseline_and_its_mark(fill: Fill) -> None:
    folder = fill("quick-20260131-100000-1", 10)
    save("main", folder)
    with pytest.raises(StoreError, match="cannot read"):
        save("main", folder / FILE)
    assert places.saved_facts(results_at("main"))["from"] == folder.name


def test_a_saved_copy_stays_as_it_was_where_the_run_goes_on(fill: Fill) -> None:
    folder = fill("quick-20260131-100000-1", 10)
    said = save("main", folder)
    assert said.startswith("Saved as main: ")
    assert " compare main` compares the latest run with it" in said
    before = (results_at("main") / FILE).read_bytes()
    (folder / FILE).write_bytes(before * 2)
    assert (results_at("main") / FILE).read_bytes() == before
    assert places.saved_facts(results_at("main"))["from"] == folder.name
    assert places.result_words() == ["main", str(folder)]


def test_a_name_that_exists_is_replaced_and_that_is_said(fill: Fill) -> None:
    save("main", fill("quick-20260131-100000-1", 10))
    other = fill("smoke-20260131-110000-1", 11, "smoke")
    assert "in place of" in save("main", other)
    assert Run(results_at("main")).plan == "smoke"


def test_what_save_did_not_write_is_not_replaced(fill: Fill) -> None:
    folder = fill("quick-20260131-100000-1", 10)
    theirs = fill("saved/theirs", 9)
    with pytest.raises(StoreError, match="`--save` did not write it"):
        save("theirs", folder)
    assert Run(theirs).when.endswith("09:00")


@pytest.mark.parametrize("name", ["", "a/b", "..", "-o", "a b", "x" * 65, ".hidden"])
def test_a_name_is_one_plain_word(name: str) -> None:
    with pytest.raises(ArgumentError, match="a name has up to 64 letters"):
        places.check_name(name)


def test_a_word_is_a_name_or_a_path(fill: Fill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill("quick-20260131-100000-1", 10)
    assert results_at(folder) == folder
    assert results_at(folder / FILE) == folder / FILE
    with pytest.raises(StoreError, match="nothing is saved yet"):
        results_at("mian")
    save("main", folder)
    with pytest.raises(StoreError, match=r"did you mean main\?.*; saved: main"):
        results_at("mian")
    with pytest.raises(StoreError, match=r"holds runs, not records: name one .*quick-.*; `.* report .*` lists them"):
        results_at(paths.LOCAL)
    monkeypatch.chdir(tmp_path)
    assert results_at("main") == Path("local/saved/main")
    assert load("main")["case"].tolist() == [CASE]
    with pytest.raises(BenchError, match="are the same"):
        compare("main", "local/saved/main")


def test_a_run_began_with_its_first_case_that_ran(record: Make, tmp_path: Path) -> None:
    lines = [record(OTHER, status="skipped", started=""), record(CASE, started="2026-01-31T12:00:00+00:00")]
    (tmp_path / FILE).write_text("".join(line.line() + "\n" for line in lines))
    assert Run(tmp_path).when == "2026-01-31 12:00"
    (tmp_path / FILE).write_text(lines[0].line() + "\n")
    assert Run(tmp_path).when == ""
