"""`bench run --save` and `--compare`: the rounds of a verdict, a baseline that does not fit, and the verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.cli.measure.baseline import print_verdicts
from bench.machine.environment import environment
from bench.plans.case import Case
from bench.plans.plan import Plan
from bench.records.same import SweepConditions
from bench.records.store import Store
from bench.runs.sweep import Sweep
from tests.bench.report.page.sweeps import stored
from tests.bench.verdicts.sides import CASE, OTHER, Folder, Make, folders_in

RUN = ("run", CASE, "--dry-run")


def bench(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.fixture
def folder(tmp_path: Path, record: Make) -> Folder:
    return folders_in(tmp_path, record)


@pytest.mark.parametrize(
    ("options", "executions"),
    [((), 1), (("--save", "x"), 6), (("--save", "x", "--rounds", 2), 2), (("--save", "x", "--rounds", 9), 9)],
)
def test_what_is_saved_to_be_compared_has_the_rounds_of_a_verdict(options: tuple[object, ...], executions: int) -> None:
    done = bench(*RUN, *options, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["executions"] == executions
    assert ("as a verdict takes so many" in done.stderr) == (executions == 6)


def test_a_baseline_of_other_settings_or_cases_is_refused_before_anything_runs(folder: Folder) -> None:
    base = folder("base", {CASE: 10.0}, settings={"samples": 12345})
    unlike = bench(*RUN, "--compare", base)
    assert (unlike.exit_code, "was not measured as this would be" in unlike.stderr) == (2, True), unlike.output
    other = bench("run", "resnet34/eager/fp32/b1/i64/stream", "--dry-run", "--compare", base)
    assert (other.exit_code, "has no case of" in other.stderr) == (2, True), other.output
    none = bench(*RUN, "--compare", base.parent / "none")
    assert (none.exit_code, "is no results folder" in none.stderr) == (2, True), none.output
    twice = bench(*RUN, "--compare", base, "--json")
    assert (twice.exit_code, "--compare prints a second table" in twice.output) == (2, True)


def test_a_baseline_measured_alike_is_taken(tmp_path: Path, record: Make) -> None:
    plan, facts = Plan("adhoc", "", (Case.parse(CASE),)), environment()
    now = SweepConditions.of(plan, facts, 0, "photos")
    fields = {"environment": facts, "settings": now.settings, "device": now.device, "input": {"source": "noise"}}
    done = bench(*RUN, "--compare", stored(tmp_path / "base", [record(CASE, **fields)]))
    assert (done.exit_code, "6 executions" in done.stdout) == (0, True), done.output


@pytest.mark.parametrize(("head", "code"), [(10.0, 0), (11.0, 1)])
@pytest.mark.parametrize("as_markdown", [False, True])
def test_the_verdicts_are_those_of_compare_on_the_cases_that_ran(
    folder: Folder, capsys: pytest.CaptureFixture[str], head: float, code: int, as_markdown: bool
) -> None:
    base, after = folder("base", {CASE: 10.0, OTHER: 10.0}), folder("head", {CASE: head, OTHER: 20.0})
    sweep = Sweep(Plan("adhoc", "", (Case.parse(CASE),)), Store(after), environment())
    assert print_verdicts(base, sweep, as_markdown) == code
    printed = capsys.readouterr().out
    assert "on 1 case" in printed
    assert OTHER not in printed


def test_cases_that_the_budget_left_out_are_no_error(folder: Folder) -> None:
    base, after = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0})
    sweep = Sweep(Plan("adhoc", "", (Case.parse(CASE), Case.parse(OTHER))), Store(after), environment())
    assert print_verdicts(base, sweep, False) == 0
