"""How a sweep ends: its exit code by what failed, was throttled or skipped, and by --strict and --lenient."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.measure.run import _settle
from bench.cli.measure.sweep import exit_code
from bench.cli.reported import run_again
from bench.machine.environment import ROOT
from tests.bench.report.page.sweeps import stored
from tests.bench.report.shown import Make


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
    assert done.stdout.startswith(f"No case was measured: 1 {status}.")
    assert "passed" not in done.stdout


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
