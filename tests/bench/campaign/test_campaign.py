"""The campaign: its data against commands and plans, faults planted in every stage, what is done and what is not."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bench.campaign import campaign as campaigns
from bench.campaign import standins
from bench.campaign.archive import ARCHIVE, LOG, SUMMARY
from bench.campaign.campaign import Campaign, code_of
from bench.campaign.summary import LINES, missing, summary
from bench.campaign.tasks import STAGES, TASKS, Stage, Task
from bench.cli import app
from bench.plans import plan as plans
from bench.plans.case import Case
from bench.records.record import Record
from bench.records.store import Store

ROOT = Path(__file__).resolve().parents[3]

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


def options(name: str) -> set[str]:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    return {word for parameter in command.params for word in parameter.opts}


def quiet(task: Task, seconds: float) -> None:
    """Nobody is told that a task begins."""


def program(task: Task, text: str, seconds: float = 60.0) -> Task:
    """The task with a Python program in place of its command; words in braces are the campaign's."""
    return replace(task, argv=("-c", text), dry=(), seconds=seconds, least_s=1.0, plan="", case="")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hangs are ended after a second or two."""
    monkeypatch.setattr(campaigns, "GRACE_S", 1.0)
    monkeypatch.setattr("bench.campaign.child.GRACE_S", 1.0)
    monkeypatch.setattr(campaigns, "DRY_S", 1.5)


@pytest.mark.parametrize("dry", [False, True])
def test_every_task_is_a_command_that_takes_these_options(here: dict[str, Any], tmp_path: Path, dry: bool) -> None:
    facts = here if dry else on_a_card(here)
    made = Campaign(facts, tmp_path, dry=dry)
    for task in TASKS.values():
        module, *words = made.command(task, 100)[2:]
        if module == "bench":
            assert {word for word in words if word.startswith("-")} <= options(words[0]), words
        else:
            assert module == "pytest"
            assert (ROOT / words[-1 - len(task.dry) if dry else -1]).is_dir()


def test_every_plan_of_a_card_has_a_stand_in_that_can_be_read(here: dict[str, Any]) -> None:
    for task in TASKS.values():
        if task.plan:
            chosen = plans.load(task.plan).only(*task.only)
            assert chosen.cases
            assert all(any(Case.parse(case.name) in plans.load(task.plan).only(glob).cases for case in chosen.cases)
                       for glob in task.only)  # fmt: skip
            dry = plans.read(standins.plan(chosen, here), task.plan, task.plan)
            assert all(case.image == 32 and case.launch == "stream" for case in dry.cases)


def test_the_limits_of_alive_leave_its_last_task_100_seconds() -> None:
    *first, last = STAGES["alive"].tasks
    assert STAGES["alive"].seconds < 300
    assert STAGES["alive"].seconds - sum(task.seconds + campaigns.GRACE_S for task in first) > 100
    assert last.name == "first"


def test_a_case_that_no_cpu_serves_gives_way_to_eager() -> None:
    assert standins.case(Case.parse("resnet50/fused/fp16/b128/i224/graph")).name == "resnet18/eager/fp32/b1/i32/stream"
    told = standins.case(Case.parse("resnet50/library-fused/bf16/b128/i224/graph"))
    assert told.name == "resnet18/library-fused/bf16/b1/i32/stream"


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
        bad, behind = made.run([program(first, text), good], 60, quiet)
        assert (bad.status == "ok", behind.status) == (False, "ok")
        assert (made.root / "behind").read_text() == "done"
        lines = summary(made)
        assert len(lines) <= LINES
        assert any(first.name in line and cause in line for line in lines), lines
        assert any("cannot write /dev/full" in line for line in lines)


def test_a_full_disk_where_the_results_go_back_is_told(here: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    made = Campaign(here, tmp_path, tiny, dry=True)
    noise = "import os, pathlib; pathlib.Path('{root}', 'noise').write_bytes(os.urandom(1 << 17))"
    assert [entry.status for entry in made.run([program(TASKS["pieces"], noise)], 60, quiet)] == ["ok"]
    assert any(ARCHIVE in line and "No space left" in line for line in summary(made))
    assert (tiny / SUMMARY).exists()
    assert not list(tiny.glob(".*"))


def test_everything_comes_back_in_three_files_while_a_task_runs(
    here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "LOOK_S", 0.0)
    out = tmp_path / "out"
    write = "import pathlib, time; pathlib.Path('{root}', 'one').write_text('1'); print('said')"
    wait = f"\nwhile not pathlib.Path('{out}', '{ARCHIVE}').exists(): time.sleep(0.05)"
    made = Campaign(here, tmp_path / "results", out, dry=True)
    assert [entry.status for entry in made.run([program(TASKS["pieces"], write + wait)], 60, quiet)] == ["ok"]
    assert sorted(path.name for path in out.iterdir()) == sorted((ARCHIVE, LOG, SUMMARY))
    assert "said" in (out / LOG).read_text()
    assert (out / SUMMARY).read_text().splitlines() == summary(made)


@pytest.mark.usefixtures("quick")
def test_no_task_begins_when_the_time_is_over_and_the_last_has_all_that_is_left(
    here: dict[str, Any], tmp_path: Path
) -> None:
    made = Campaign(on_a_card(here), tmp_path)
    limits: dict[str, float] = {}
    tasks = [program(task, "pass", 30) for task in STAGES["alive"].tasks]
    list(made.run(tasks, 50, lambda task, limit: limits.update({task.name: limit})))
    assert [round(limit) for limit in limits.values()][:-1] == [30] * (len(tasks) - 1)
    assert 40 < limits[tasks[-1].name] < 46
    limits.clear()
    list(
        made.run(
            [replace(task, least_s=15) for task in tasks], 10, lambda task, limit: limits.update({task.name: limit})
        )
    )
    assert not limits


def test_a_command_that_is_not_there_is_how_its_task_ended(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(here, tmp_path, dry=True)
    (entry,) = made.run([replace(TASKS["pieces"], argv=("{no_such_word}",))], 60, quiet)
    assert (entry.status, "no_such_word" in entry.reason) == ("failed", True)


def test_what_is_done_for_this_card_and_code_is_not_missing(here: dict[str, Any], tmp_path: Path) -> None:
    facts = on_a_card(here)
    made = Campaign(facts, tmp_path)
    assert missing(made) == list(TASKS.values())
    list(made.run([program(TASKS["pieces"], "pass")], 60, quiet))
    assert TASKS["pieces"] not in missing(Campaign(facts, tmp_path))
    other = facts | {"git": {"sha": "f" * 40, "dirty": False}}
    assert TASKS["pieces"] in missing(Campaign(other, tmp_path))
    assert TASKS["pieces"] in missing(Campaign(facts | {"gpu": facts["gpu"] | {"name": "NVIDIA Other"}}, tmp_path))


def test_what_fails_is_tried_twice(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(on_a_card(here), tmp_path)
    for kind in ("partial", "failed"):
        list(made.run([program(TASKS["pieces"], "raise SystemExit(3)")], 60, quiet))
        assert made.state(TASKS["pieces"]).kind == kind
    assert "exit 3" in made.state(TASKS["pieces"]).text


def test_a_sweep_is_done_by_its_records_and_goes_on_in_its_folder(
    here: dict[str, Any], tmp_path: Path, record: Callable[..., Record]
) -> None:
    facts, task = on_a_card(here), TASKS["gate-first"]
    made = Campaign(facts, tmp_path)
    settings = asdict(plans.gate_only(plans.load(task.plan)).settings)
    (first, _), *others = made._due(task)
    store = Store(made.folder(task))
    assert made.state(task).kind == "missing"
    with store.writing():
        store.append(record(first.name, device="cuda", environment=facts, settings=settings))
        assert (made.state(task).kind, made.folder(task)) == ("partial", store.folder)
        for case, _ in others:
            store.append(record(case.name, device="cuda", environment=facts, settings=settings))
    assert made.state(task).kind == "ok"
    for differing in ({"git": {"sha": "f" * 40, "dirty": False}}, {"python": "CPython 3.0"}):
        other = Campaign(facts | differing, tmp_path)
        assert other.folder(task) == store.folder.with_name(f"{store.folder.name}-2")
        assert other.state(task).kind == "missing"


def test_a_sweep_that_fails_and_leaves_nothing_is_not_tried_for_ever(here: dict[str, Any], tmp_path: Path) -> None:
    made, task = Campaign(on_a_card(here), tmp_path), TASKS["first"]
    for kind in ("partial", "failed"):
        list(made.run([replace(task, argv=("-c", "raise SystemExit(3)"))], 60, quiet))
        assert made.state(task).kind == kind
        assert "exit 3" in made.state(task).text


def test_a_line_of_the_journal_that_was_cut_short_costs_itself(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(on_a_card(here), tmp_path)
    made.root.mkdir(parents=True)
    made.journal.write_text('{"task": "tune", "st')
    list(made.run([program(TASKS["pieces"], "pass")], 60, quiet))
    assert made.state(TASKS["pieces"]).kind == "ok"


def test_what_an_earlier_call_measured_comes_back_too(here: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("one", "two"):
        made = Campaign(on_a_card(here), tmp_path / "results", out)
        list(
            made.run(
                [program(TASKS["pieces"], f"import pathlib; pathlib.Path('{{root}}', '{name}').touch()")], 60, quiet
            )
        )
    with tarfile.open(out / ARCHIVE) as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert {"one", "two", "campaign.jsonl"} <= names


def test_what_is_of_other_code_is_not_shown_as_this_ones(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(on_a_card(here), tmp_path)
    made.root.mkdir(parents=True)
    found = {"pieces": [{"name": "stem", "status": "ok"}], "provenance": {"environment": made.env}}
    for env, shown in ((made.env, True), (made.env | {"git": {"sha": "f" * 40, "dirty": False}}, False)):
        (made.root / "pieces.json").write_text(json.dumps(found | {"provenance": {"environment": env}}))
        assert any("stem" in line for line in summary(made)) == shown
    for damaged in ('{"pieces": null}', '{"pieces": [3], "provenance": 1}', "[]", '{"pieces": 3, "provenance": {}}'):
        (made.root / "pieces.json").write_text(damaged)
        assert summary(made)


def test_a_first_sweep_that_has_begun_waits_for_the_second_stage(
    here: dict[str, Any], tmp_path: Path, record: Callable[..., Record]
) -> None:
    facts = on_a_card(here)
    made, task = Campaign(facts, tmp_path), TASKS["first"]
    settings = asdict(plans.load("first").settings)
    store = Store(made.folder(task))
    with store.writing():
        store.append(record(made._due(task)[0][0].name, device="cuda", environment=facts, settings=settings))
    names = [task.name for task in missing(made)]
    assert names.index("pieces") < names.index("constants") < names.index("headline") < names.index("first")
    assert names.index("first") < names.index("tests")


def test_a_wrong_path_and_a_speed_have_a_line_each(
    here: dict[str, Any], tmp_path: Path, record: Callable[..., Record]
) -> None:
    facts = on_a_card(here)
    made = Campaign(facts, tmp_path)

    def keep(name: str, cases: dict[str, dict[str, Any]]) -> None:
        task = TASKS[name]
        plan = plans.load(task.plan)
        settings = asdict((plans.gate_only(plan) if "verify" in task.argv else plan).settings)
        store = Store(made.folder(task))
        with store.writing():
            for case, more in cases.items():
                store.append(record(case, device="cuda", environment=facts, settings=settings, **more))

    keep("gate-first", {"resnet50/fused/fp16/b3/i224/graph": {"status": "wrong", "reason": "before timing: 8 times"}})
    keep("first", {
        "resnet50/eager/fp16/b128/i224/graph": {"ms": 10.0},
        "resnet50/fused/fp16/b128/i224/graph": {"ms": 4.0},
        "resnet50/mixed/fp16/b128/i224/graph": {"status": "memory", "reason": "out of it"},
    })  # fmt: skip
    lines = summary(made)
    assert any(" ".join(line.split()) == "wrong gate fused fp16 graph b3: before timing: 8 times" for line in lines)
    assert any("32,000 images/s" in line and "fused" in line and "2.50 times eager" in line for line in lines)
    assert any(line.startswith("memory") and "mixed" in line for line in lines)


def test_no_more_than_forty_lines_and_what_is_not_ok_among_them(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(here, tmp_path, dry=True)
    pieces = [{"name": f"piece {number}", "status": "ok" if number % 10 else "wrong"} for number in range(200)]
    made.root.mkdir(parents=True)
    (made.root / "pieces.json").write_text(json.dumps({"pieces": pieces, "provenance": {"environment": here}}))
    lines = summary(made)
    assert len(lines) <= LINES
    assert sum(line.startswith("wrong") for line in lines) == 20
    assert any(line.startswith("ok      piece      180: piece 1, ") for line in lines)


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bench", "gpu", *words], capture_output=True, text=True, cwd=ROOT)


def test_bad_usage_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert bench().returncode == 3
    told = bench("live")
    assert told.returncode == 2
    assert "unknown stage or task 'live'; allowed: alive" in " ".join(told.stderr.replace("│", "").split())
    told = bench("--restore", "pyproject.toml")
    assert (told.returncode, "is no archive of results" in told.stderr) == (2, True)


def test_what_a_card_that_was_never_here_lacks() -> None:
    told = bench("--list", "--json", "--card", "NVIDIA None Such")
    tasks = json.loads(told.stdout)["tasks"]
    assert {task["kind"] for task in tasks} == {"missing"}
    assert [task["task"] for task in tasks] == list(TASKS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_told_to_end_it_puts_away_what_it_has(tmp_path: Path, number: signal.Signals) -> None:
    """And no second one runs beside it."""
    out, words = tmp_path / "out", [sys.executable, "-m", "bench", "gpu", "--dry", "software", "tests"]
    variables = os.environ | {"OUT": str(out), "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout
        while "software, " not in one.stdout.readline():
            pass
        two = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True)
        assert (two.returncode, "another campaign is running" in two.stderr) == (2, True)
        one.send_signal(number)
        told = one.stdout.read()
    assert one.returncode == 130, told
    assert "Missing: " in told
    assert (out / SUMMARY).exists()


def test_where_nothing_could_be_given_back_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OUT", str(tmp_path / "file"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    told = bench("--dry", "software")
    assert told.returncode == 2
    assert "cannot write" in told.stderr
    assert "software, " not in told.stdout


@pytest.mark.slow
def test_a_dry_run_walks_every_kind_of_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left out are further sweeps of the kind of `first`, and a gate of that of `gate-first`."""
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    walked = ("alive", "constants", "tune", "ceilings", "layers-b128", "tests")
    start = time.monotonic()
    told = bench(*walked, "--dry")
    assert told.returncode == 0, told.stdout + told.stderr
    assert 0 < len(list(tmp_path.iterdir())) <= 8
    listed = json.loads(bench("--list", "--dry", "--json").stdout)
    done = {task["task"] for task in listed["tasks"] if task["kind"] == "ok"}
    assert {task.name for name in walked for task in (STAGES[name].tasks if name in STAGES else (TASKS[name],))} <= done
    last = told.stdout.splitlines()[-LINES:]
    for name in ("piece ", "gate ", "experiment ", "images/s"):
        assert any(name in line for line in last), last
    assert time.monotonic() - start < 300


def on_a_card(here: dict[str, Any]) -> dict[str, Any]:
    """This machine's description with a card in it."""
    gpu = {"name": "NVIDIA Test 9000", "capability": [9, 0], "driver": "580.1", "memory_bytes": 80 << 30}
    return here | {"gpu": gpu, "torch_cuda": "13.0", "git": {"sha": "0" * 40, "dirty": False}}


def test_the_code_is_told_by_its_commit_where_nothing_tells_it_better(here: dict[str, Any]) -> None:
    facts = on_a_card(here)
    assert code_of(facts).startswith("0" * 10)
    assert code_of(facts) != code_of(facts | {"git": {"sha": "0" * 40, "dirty": True}})
    alike = [{"sha": digit * 40, "dirty": False, "code": "abc"} for digit in "12"]
    assert len({code_of(facts | {"git": found}) for found in alike}) == 1
    assert code_of(facts) != code_of(facts | {"packages": facts["packages"] | {"triton": "0.0"}})
    assert code_of(facts) != code_of(facts | {"gpu": facts["gpu"] | {"driver": "1"}})


# A module of the network is changed as it is imported, in every child: what it computes is wrong from then on.
WRONG = """
import importlib.util, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "resnet.fold":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def changed(module):
            run(module)
            fold = module.fold
            def wrong(model, *args, **kwargs):
                folded = fold(model, *args, **kwargs)
                folded.conv1.weight.data.mul_(1.05)
                return folded
            module.fold = wrong
        spec.loader.exec_module = changed
        return spec

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.slow
def test_a_wrong_network_is_told_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted into the real command's real processes; the task behind it is done."""
    (tmp_path / "sitecustomize.py").write_text(WRONG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    told = bench("gate-first", "tests", "--dry")
    assert told.returncode == 1, told.stdout + told.stderr
    last = told.stdout.splitlines()[-LINES:]
    assert any(line.startswith("wrong   gate       resnet18 library-fused") and "times" in line for line in last), last
    assert any(line.startswith("failed  task       gate-first: exit 1: ") for line in last), last
    assert not any("tests: " in line and line.startswith(("failed", "late")) for line in last), last
