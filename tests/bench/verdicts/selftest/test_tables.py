"""What real runs' results say: false alarms, and a result that is missing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.verdicts.selftest import parts
from bench.verdicts.selftest import tables as error_rates


def test_a_block_of_another_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(error_rates.StoreError, match="cannot read"):
        error_rates.section(tmp_path, "results/selftest/simulated.json")


def result(words: list[str], failed: list[str] | None = None) -> dict[str, Any]:
    tests = [
        {"delay": 0.0, "repeat": 0, "case": f"{n // 2}", "metric": ("latency", "throughput")[n % 2], "word": word}
        for n, word in enumerate(words)
    ]
    return {"tests": [row | {"slower": 1.0, "noise": None} for row in tests], "failed": failed or []}


def test_more_false_alarms_than_chance_gives_fail() -> None:
    same = ["SAME"] * 38
    assert error_rates.meets_targets(
        result([*same, "SLOWER", "FASTER"])
    )  # of one case: 10 % of such tests have one in 20
    assert not error_rates.meets_targets(result(["SLOWER", "SAME"] * 4 + same[:12]))
    assert not error_rates.meets_targets(result(same, ["it crashed"]))
    assert error_rates.false_alarms(result(["FASTER", "SAME", "AMBIGUOUS", "SLOWER"])) == (2, 2)


def test_parts_are_simulated_shown_and_kept_alone_and_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, bool]] = []

    def simulate_history(seed: int, quick: bool) -> dict[str, Any]:
        asked.append((seed, quick))
        return {"detected": 7}

    def history_blocks(results: dict[str, Any]) -> list[error_rates.Block]:
        return [error_rates.Block("A part", ("noise", "detected"), 1, [("normal", str(results["detected"]))])]

    module = SimpleNamespace(simulate_history=simulate_history, history_blocks=history_blocks)
    module.simulate_processes, module.process_blocks = (lambda seed, quick: {"covered": 9}), (lambda results: [])
    monkeypatch.setattr(parts, "import_module", lambda name: module)
    target = tmp_path / "history.json"
    words = ["selftest", "--only", "history", "--quick", "--seed", "3", "-o", str(target)]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    assert asked == [(3, True)]
    assert "A part:" in done.output
    assert error_rates.read_error_rates(target)["history"] == {"detected": 7}
    assert "| normal | 7 |" in error_rates.section(tmp_path, "history.json")
    done = CliRunner().invoke(app, ["selftest", "--quick", "--simulations", "10", "--cases", "3", "-o", str(target)])
    assert done.exit_code in (0, 1), done.output  # so few sweeps tell no rate
    every = error_rates.read_error_rates(target)
    assert (every["history"], every["processes"]) == ({"detected": 7}, {"covered": 9})
    assert every["rates"]
