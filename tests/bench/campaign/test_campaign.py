"""The campaign: faults planted in every stage, what is done and what is not."""

import tarfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench.campaign import campaign as campaigns
from bench.campaign.archive import ARCHIVE, LOG, SUMMARY
from bench.campaign.campaign import Campaign, code_of
from bench.campaign.summary import MAX_LINES, summarize
from bench.campaign.tasks import STAGES, TASKS, Stage
from bench.plans import plan as plans
from bench.records.record import Record
from bench.records.store import Store
from tests.bench.campaign.programs import on_a_card, program, quiet

# Programs that end in each way a task may: what they are, and what is told of them.
FAULTS = {
    "import error": ("import no_such_package", "No module named 'no_such_package'"),
    "wrong kernel": ("import sys; sys.exit('bench: conv 3x3: wrong: 7 of 9 elements differ')", "wrong: 7 of 9"),
    "hang": ("import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)", "at its limit"),
    "out of memory": (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29)); bytearray(1 << 30)",
        "MemoryError",
    ),
    "killed": ("import os; os.kill(os.getpid(), 9)", "by signal 9"),
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hangs are ended after a second or two."""
    monkeypatch.setattr(campaigns, "GRACE_S", 1.0)
    monkeypatch.setattr("bench.campaign.child.GRACE_S", 1.0)
    monkeypatch.setattr(campaigns, "DRY_S", 1.5)


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
@pytest.mark.usefixtures("quick")
def test_a_fault_costs_itself_alone_and_is_told_in_the_last_lines(
    here: dict[str, Any], tmp_path: Path, stage: Stage
) -> None:
    """Every kind of fault in each stage, a good task behind each; the outbox cannot be written."""
    first, second = stage.tasks[:2]
    good = program(second, "import pathlib; pathlib.Path('{root}', 'behind').write_text('done')")
    for number, (text, cause) in enumerate(FAULTS.values()):
        made = Campaign(here, tmp_path / f"{number}", Path("/dev/full"), dry=True)
        bad, behind = made.run_tasks([program(first, text), good], 60, quiet)
        assert (bad.status == "ok", behind.status) == (False, "ok")
        assert (made.root / "behind").read_text() == "done"
        lines = summarize(made)
        assert len(lines) <= MAX_LINES
        assert any(first.name in line and cause in line for line in lines), lines
        assert any("cannot write /dev/full" in line for line in lines)


def test_a_full_disk_where_the_results_go_back_is_told(here: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    made = Campaign(here, tmp_path, tiny, dry=True)
    noise = "import os, pathlib; pathlib.Path('{root}', 'noise').write_bytes(os.urandom(1 << 17))"
    assert [entry.status for entry in made.run_tasks([program(TASKS["pieces"], noise)], 60, quiet)] == ["ok"]
    assert any(ARCHIVE in line and "No space left" in line for line in summarize(made))
    assert (tiny / SUMMARY).exists()
    assert not list(tiny.glob(".*"))


def test_everything_comes_back_in_three_files_while_a_task_runs(
    here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "UPDATE_S", 0.0)
    out = tmp_path / "out"
    write = "import pathlib, time; pathlib.Path('{root}', 'one').write_text('1'); print('said')"
    wait = f"\nwhile not pathlib.Path('{out}', '{ARCHIVE}').exists(): time.sleep(0.05)"
    made = Campaign(here, tmp_path / "results", out, dry=True)
    assert [entry.status for entry in made.run_tasks([program(TASKS["pieces"], write + wait)], 60, quiet)] == ["ok"]
    assert sorted(path.name for path in out.iterdir()) == sorted((ARCHIVE, LOG, SUMMARY))
    assert "said" in (out / LOG).read_text()
    assert (out / SUMMARY).read_text().splitlines() == summarize(made)


@pytest.mark.usefixtures("quick")
def test_no_task_begins_when_the_time_is_over_and_the_last_has_all_that_is_left(
    here: dict[str, Any], tmp_path: Path
) -> None:
    made = Campaign(on_a_card(here), tmp_path)
    limits: dict[str, float] = {}
    tasks = [program(task, "pass", 30) for task in STAGES["alive"].tasks]
    list(made.run_tasks(tasks, 50, lambda task, limit: limits.update({task.name: limit})))
    assert [round(limit) for limit in limits.values()][:-1] == [30] * (len(tasks) - 1)
    assert 40 < limits[tasks[-1].name] < 46
    limits.clear()
    list(
        made.run_tasks(
            [replace(task, least_s=15) for task in tasks], 10, lambda task, limit: limits.update({task.name: limit})
        )
    )
    assert not limits


def test_a_command_that_is_not_there_is_how_its_task_ended(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(here, tmp_path, dry=True)
    (entry,) = made.run_tasks([replace(TASKS["pieces"], argv=("{no_such_word}",))], 60, quiet)
    assert (entry.status, "no_such_word" in entry.reason) == ("failed", True)


def test_what_fails_is_tried_twice(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(on_a_card(here), tmp_path)
    for kind in ("partial", "failed"):
        list(made.run_tasks([program(TASKS["pieces"], "raise SystemExit(3)")], 60, quiet))
        assert made.state(TASKS["pieces"]).kind == kind
    assert "exit 3" in made.state(TASKS["pieces"]).text


def test_a_sweep_is_done_by_its_records_and_goes_on_in_its_folder(
    here: dict[str, Any], tmp_path: Path, record: Callable[..., Record]
) -> None:
    facts, task = on_a_card(here), TASKS["gate-first"]
    made = Campaign(facts, tmp_path)
    settings = asdict(plans.gate_only(plans.load_plan(task.plan)).settings)
    (first, _), *others = made._due_executions(task)
    store = Store(made.folder(task))
    assert made.state(task).kind == "missing"
    with store.writing():
        store.append(record(first.name, device="cuda", environment=facts, settings=settings, plan={"name": task.plan}))
        assert (made.state(task).kind, made.folder(task)) == ("partial", store.folder)
        for case, _ in others:
            store.append(
                record(case.name, device="cuda", environment=facts, settings=settings, plan={"name": task.plan})
            )
    assert made.state(task).kind == "ok"
    for differing in ({"git": {"sha": "f" * 40, "dirty": False}}, {"python": "CPython 3.0"}):
        other = Campaign(facts | differing, tmp_path)
        assert other.folder(task) == store.folder.with_name(f"{store.folder.name}-2")
        assert other.state(task).kind == "missing"


def test_a_sweep_that_fails_and_leaves_nothing_is_not_tried_for_ever(here: dict[str, Any], tmp_path: Path) -> None:
    made, task = Campaign(on_a_card(here), tmp_path), TASKS["first"]
    for kind in ("partial", "failed"):
        list(made.run_tasks([replace(task, argv=("-c", "raise SystemExit(3)"))], 60, quiet))
        assert made.state(task).kind == kind
        assert "exit 3" in made.state(task).text


def test_a_line_of_the_journal_that_was_cut_short_costs_itself(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(on_a_card(here), tmp_path)
    made.root.mkdir(parents=True)
    made.journal.write_text('{"task": "tune", "st')
    list(made.run_tasks([program(TASKS["pieces"], "pass")], 60, quiet))
    assert made.state(TASKS["pieces"]).kind == "ok"


def test_what_an_earlier_call_measured_comes_back_too(here: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("one", "two"):
        made = Campaign(on_a_card(here), tmp_path / "results", out)
        list(
            made.run_tasks(
                [program(TASKS["pieces"], f"import pathlib; pathlib.Path('{{root}}', '{name}').touch()")], 60, quiet
            )
        )
    with tarfile.open(out / ARCHIVE) as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert {"one", "two", "campaign.jsonl"} <= names


def test_the_code_is_told_by_its_commit_where_nothing_tells_it_better(here: dict[str, Any]) -> None:
    facts = on_a_card(here)
    assert code_of(facts).startswith("0" * 10)
    assert code_of(facts) != code_of(facts | {"git": {"sha": "0" * 40, "dirty": True}})
    alike = [{"sha": digit * 40, "dirty": False, "code": "abc"} for digit in "12"]
    assert len({code_of(facts | {"git": found}) for found in alike}) == 1
    assert code_of(facts) != code_of(facts | {"packages": facts["packages"] | {"triton": "0.0"}})
    assert code_of(facts) != code_of(facts | {"gpu": facts["gpu"] | {"driver": "1"}})
