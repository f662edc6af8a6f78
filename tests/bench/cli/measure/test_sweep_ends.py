"""How a sweep ends: its exit code by what failed, was throttled or skipped, and by --strict and --lenient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.measure.run import _settle
from bench.cli.measure.sweep import exit_code, run_sweep
from bench.cli.reported import run_again
from bench.machine.environment import ROOT
from bench.plans.case import Case
from bench.plans.settings import Settings
from bench.records.store import Store
from bench.runs.sweep import Sweep
from tests.bench.report.page.sweeps import stored
from tests.bench.report.shown import Make
from tests.bench.runs.played import EAGER, FAST, NS, PLAN, SLOW, FakeChild, Machine


@pytest.mark.parametrize(
    ("statuses", "usual", "strict", "lenient"),
    [
        (("ok", "skipped"), 0, 0, 0),
        (("ok", "throttled"), 0, 1, 0),
        (("ok", "throttled", "crash"), 1, 1, 0),
        (("ok", "wrong"), 1, 1, 0),
        (("skipped", "skipped"), 3, 3, 3),
        (("skipped", "error"), 1, 1, 1),
        (("throttled",), 1, 1, 1),
        ((), 1, 1, 1),
    ],
)
def test_one_case_of_many_is_told_and_nothing_measured_is_no_success(
    record: Make, statuses: tuple[str, ...], usual: int, strict: int, lenient: int
) -> None:
    records = [record(f"resnet18/eager/fp32/b{n}/i64/stream", status=s) for n, s in enumerate(statuses, 1)]
    assert [exit_code(records, how) for how in (None, True, False)] == [usual, strict, lenient]


@pytest.mark.parametrize(("status", "code"), [("skipped", 3), ("crash", 1)])
def test_a_report_of_nothing_measured_says_so(record: Make, tmp_path: object, status: str, code: int) -> None:
    folder = stored(tmp_path, [record("resnet18/eager/fp32/b1/i64/stream", status=status, reason="why")])  # type: ignore[arg-type]
    done = CliRunner().invoke(app, ["report", str(folder)])
    assert done.exit_code == code
    assert done.stdout.splitlines()[-1] == f"No case was measured: 1 {status}."
    assert "passed" not in done.stdout


@pytest.mark.parametrize("batch", [1, 2])
def test_a_stop_before_any_turn_of_a_part_prints_what_was_measured_on_stdout(
    batch: int,
    here: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As the third case is prepared at batch 1, or at batch 2, when those of batch 1 have records."""
    cases = tuple(replace(case, batch=b) for b in (1, 2) for case in (EAGER, FAST, SLOW))
    plan, machine = replace(PLAN, cases=cases, rounds=1, settings=Settings(turns=20)), Machine()
    made = Sweep(plan, Store(tmp_path / "out"), here, ask=FakeChild())
    alive = set[Case]()

    @contextmanager
    def start(_: object, case: Case) -> Iterator[Any]:
        if case.batch == batch and len([one for one in alive if one.batch == batch]) == 2:
            raise KeyboardInterrupt
        with machine.start(case) as child:
            alive.add(case)
            yield child

    monkeypatch.setattr(made, "_start", start)
    monkeypatch.setattr("bench.cli.measure.sweep.again", lambda **_: "bench run --resume")
    with pytest.raises(typer.Exit):
        run_sweep(made)
    printed, said = capsys.readouterr()
    rows = [line.split() for line in printed.splitlines() if line.startswith("resnet18/")]
    early = {Case.parse(name): float(p50_ms) for name, p50_ms in rows}
    assert len(early) == 2
    assert early == {case: NS[case.variant] / 1e6 for case in alive if case.batch == batch}
    assert ("vs eager" in printed) == (batch == 2)
    assert "2 cases were waiting for turns: above before their last check, and run" in said
    assert "To go on: bench run --resume" in said
    assert "p50 ms" not in said


@pytest.mark.parametrize("words", [["run", "smoke"], ["run", "smoke", "--dry-run"], ["verify", "smoke", "--dry-run"]])
def test_a_way_of_starting_that_is_none_is_refused_by_a_dry_run_too(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESNET_BENCH_START", "nonsense")
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "RESNET_BENCH_START=nonsense is neither fork nor fresh" in f"{done.output}{done.exception}"


def test_make_bench_is_lenient_and_its_own_words_come_last() -> None:
    assert "bench run $(PLAN) --lenient $(ARGS)" in (ROOT / "Makefile").read_text()


def test_what_settles_a_sweep_that_went_on_without_a_plan_names_its_cases(record: Make, tmp_path: Path) -> None:
    case = "resnet18/eager/fp32/b1/i224/stream"
    assert case in _settle(tmp_path, [record(case)], False, (), None, ())


def test_what_settles_sweeps_of_several_plans_names_no_case_that_this_machine_cannot_run(record: Make) -> None:
    measured = record("resnet18/eager/fp32/b1/i64/stream", settings={"samples": 7})
    elsewhere = record("resnet50/fused/fp16/b8/i224/graph", status="skipped", plan={"name": "other", "digest": "1"})
    assert "fused" not in run_again([elsewhere, measured])((), None, ())


def test_an_empty_folder_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["run", "smoke", "-o", ""]).exit_code == 2
    assert list(tmp_path.iterdir()) == []
