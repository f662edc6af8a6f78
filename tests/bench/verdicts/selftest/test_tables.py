"""What real runs' results say: false alarms, and a result that is missing."""

from pathlib import Path
from typing import Any

import pytest

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
