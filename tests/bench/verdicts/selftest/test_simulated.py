import json
from collections.abc import Callable
from dataclasses import replace
from math import log1p
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import StoreError
from bench.records.record import Record
from bench.records.store import FILE
from bench.report.markdown import splice
from bench.verdicts.alike import effects
from bench.verdicts.rule import RULE, WORDS, holm, verdicts
from bench.verdicts.selftest import simulated as selftest
from bench.verdicts.selftest import tables as error_rates
from bench.verdicts.selftest.simulated import SHAPES, Setting, rates, resample, residuals, spread

Make = Callable[..., Record]
CASE = "resnet50/eager/fp32/b1/i224/stream"


@pytest.mark.parametrize("paired", [False, True])
def test_the_rates_are_those_of_the_verdicts(paired: bool) -> None:
    """Taken word by word from the rule itself, in the same drawings."""
    setting, noise = Setting(cases=20, metrics=2, sweeps=40, seed=4), [0.01, 0.03]
    rows = rates(SHAPES["sitting"][1], paired, setting, noise)
    for row, level in zip(rows, noise, strict=True):
        rng = np.random.default_rng(setting.seed)
        (size,) = setting.sizes()
        base, head = (level * side for side in SHAPES["sitting"][1](rng, size, paired))
        estimates = effects(base, head, paired).estimate
        family = holm(estimates.p.reshape(40, 40)).reshape(40, 2, 20)
        words = verdicts(estimates, family, 0.02)
        assert row["same"] == pytest.approx(float((words == 2).mean()), abs=1e-9)
        assert row["per_sweep"] == pytest.approx(float((words < 2).any((-1, -2)).mean()))
        hits = 0
        for test in range(40):  # one that differs among those that do not
            one = np.eye(40)[test].reshape(2, 20)
            worse = replace(estimates, effect=estimates.effect + one * log1p(0.05))
            p = worse.p.reshape(40, 40)
            alone = holm(np.where(np.arange(40) == test, p, np.maximum(p, p[:, [test]]))).reshape(40, 2, 20)
            hits += int((verdicts(worse, alone, 0.02).reshape(40, 40)[:, test] == 0).sum())
        assert row["power"][selftest.EFFECTS.index(0.05)] == pytest.approx(hits / 40 / 40)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_identical_code_gives_alarms_as_rarely_as_promised(shape: str, paired: bool) -> None:
    # 5 % of 60 sweeps are 3; of 5 % there are more than 9 once in a thousand times
    (row,) = rates(SHAPES[shape][1], paired, Setting(metrics=1, sweeps=60, seed=1), [0.05])
    assert row["per_case"] <= 0.005
    assert row["per_sweep"] <= 9 / 60


@pytest.mark.parametrize("paired", [False, True])
def test_three_percent_are_found_in_ten_rounds_at_one_percent_noise(paired: bool) -> None:
    (row,) = rates(SHAPES["normal"][1], paired, Setting(sweeps=40, seed=2), [0.01])
    assert row["power"][selftest.EFFECTS.index(0.03)] >= 0.95
    assert row["same"] >= 0.95


def test_turns_take_out_what_the_machine_does_and_sittings_do_not() -> None:
    setting = Setting(cases=10, metrics=1, sweeps=100)
    for shape in ("drift", "sitting"):
        (turns,), (plain,) = (rates(SHAPES[kind][1], True, setting, [0.02]) for kind in (shape, "normal"))
        for name, rate in turns.items():
            assert rate == pytest.approx(plain[name])
        assert rates(SHAPES[shape][1], False, setting, [0.02])[0]["per_sweep"] > 0.2
        many = replace(setting, cases=100)  # which tell the machine
        assert rates(SHAPES[shape][1], False, many, [0.02])[0]["per_sweep"] <= 0.12


@pytest.mark.parametrize("paired", [False, True])
def test_a_disturbed_round_hides_nothing(paired: bool) -> None:
    """+30 % in all cases of one round at 1 % noise."""
    (row,) = rates(SHAPES["disturbed"][1], paired, Setting(sweeps=20, seed=2), [0.01])
    assert row["power"][selftest.EFFECTS.index(0.03)] >= 0.93
    assert row["power"][selftest.EFFECTS.index(0.10)] >= 0.999


def test_few_rounds_find_twenty_percent_and_seldom_more_than_there_is() -> None:
    rows = selftest.few_rounds(Setting(cases=50, sweeps=20), [0.01, 0.02])
    assert {row["rounds"] for row in rows} == {3, 4, 5}
    for row in rows:
        assert row["power_20"] >= 0.95
        assert row["alone"] <= 0.003


def test_a_change_of_many_cases_makes_no_other_one_faster() -> None:
    for row in selftest.shared_changes(Setting(cases=200, sweeps=3)):
        assert row["others"] in (None, 0.0)
        if row["slower"] is not None:
            # apart, what most cases share may be the machine
            assert row["slower"] == (1.0 if row["design"] == "in turns" or row["share"] < 0.75 else 0.0)


def test_a_rule_without_the_correction_would_be_caught() -> None:
    (row,) = rates(
        SHAPES["normal"][1], False, Setting(sweeps=20), [0.05], replace(RULE, family_alpha=5.0, test_alpha=0.05)
    )
    assert row["per_case"] > 0.005
    assert row["per_sweep"] > 0.9


@pytest.mark.parametrize("shape", ["normal", "heavy", "slow", "halves"])
def test_a_shape_has_the_size_it_says(shape: str) -> None:
    base, head = SHAPES[shape][1](np.random.default_rng(0), (1, 1, 1000, 500), False)
    for side in (base, head):
        assert side.std() == pytest.approx(1, rel=0.1)


@pytest.fixture
def folder(tmp_path: Path, record: Make) -> Path:
    draw = np.random.default_rng(0)
    lines = [
        record(
            CASE.replace("b1", f"b{batch}"), ms=10 * float(np.exp(0.02 * draw.standard_normal())), round=number
        ).line()
        for number in range(40)
        for batch in (1, 2, 4)
    ]
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_noise_of_records_is_drawn_as_it_is(folder: Path) -> None:
    from bench.records.frame import load

    pool = residuals(load(folder))
    assert len(pool) == 6  # latency and throughput of three cases
    assert spread(pool)["median"] == pytest.approx(0.02, rel=0.3)
    base, head = resample(pool)(np.random.default_rng(0), (50, 1, 20, 10), False)
    assert base.std() == pytest.approx(0.02, rel=0.3)
    assert abs(np.corrcoef(base.ravel(), head.ravel())[0, 1]) < 0.05
    assert np.isin(base, np.concatenate(pool)).all()


def test_the_command_writes_what_the_documents_show(folder: Path) -> None:
    target = folder / "deep" / "rates.json"
    options = ["--simulations", "10", "--cases", "20", "--noise", "1,2", "--from", str(folder), "-o", str(target)]
    done = CliRunner().invoke(app, ["selftest", "--only", "comparison", *options], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    assert max(len(line) for line in done.output.splitlines() if "  " in line.strip()) <= 80
    results = json.loads(target.read_text())
    assert error_rates.read_error_rates(target) == results
    assert results["setting"]["cases"] == 20
    assert {row["shape"] for row in results["rates"]} == {*SHAPES, "measured"}
    (folder / "README.md").write_text("<!-- bench: deep/rates.json -->\nold\n<!-- /bench -->\n")
    assert splice(folder) == [folder / "README.md"]
    text = (folder / "README.md").read_text()
    assert "| normal | in turns |" in text
    assert "`measured` draws from the rounds of 6 series of records" in text
    assert "| apart | 20 | 3 | 15 | " in text  # the claims by cases and metrics
    assert "| apart | 3 | 1 % | 0" in text
    assert "| in turns | 100 | 100 | - |" in text
    assert text.index("Apart, false alarms") < text.index("In turns, false alarms")
    assert splice(folder) == []


def test_a_file_of_another_kind_is_no_result(tmp_path: Path) -> None:
    for text in ("{}", "[1]", "no", '{"schema": 99, "rates": []}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(StoreError):
            error_rates.read_error_rates(tmp_path / "x.json")
    with pytest.raises(StoreError, match="cannot read"):
        error_rates.read_error_rates(tmp_path / "none.json")


def test_too_many_alarms_fail() -> None:
    def results(per_case: float, per_sweep: float, shape: str = "normal") -> dict[str, object]:
        row = {"shape": shape, "design": "apart", "noise": 0.01, "per_case": per_case, "per_sweep": per_sweep}
        return {"rates": [row], "setting": {"sweeps": 1000, "cases": 450}}

    assert error_rates.meets_targets(results(0.004, 0.05))
    assert not error_rates.meets_targets(results(0.006, 0.05))
    assert not error_rates.meets_targets(results(0.004, 0.08))
    assert not error_rates.meets_targets(results(0.1, 0.7, "sitting"))
    few = results(0.1, 0.7, "sitting") | {"setting": {"sweeps": 1000, "cases": 10}}
    assert error_rates.meets_targets(few)  # which no rule can tell


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--noise", "1;2"], "--noise wants percentages with commas"),
        (["--noise", "0"], "each is more than 0"),
        (["--rounds", "2"], "--rounds"),
    ],
)
def test_what_is_typed_wrong_is_told(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["selftest", *options])
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", "").split())


def test_records_of_too_few_rounds_tell_no_noise(tmp_path: Path, record: Make) -> None:
    (tmp_path / FILE).write_text(record(CASE).line() + "\n")
    done = CliRunner().invoke(app, ["selftest", "--from", str(tmp_path)])
    assert done.exit_code == 2
    assert "has 5 rounds to estimate its noise from" in " ".join(done.output.split())


def test_every_verdict_has_a_word() -> None:
    assert WORDS == ("SLOWER", "FASTER", "SAME", "AMBIGUOUS")
