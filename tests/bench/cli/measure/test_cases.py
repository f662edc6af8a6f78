"""What is said of a plan's cases before they run."""

from typing import Any

import pytest

from bench.cli.measure.cases import print_cases
from bench.plans.case import Case
from bench.plans.plan import Plan


def test_one_case_runs_here(here: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    print_cases(Plan("test", "", (Case("resnet18", "eager", "fp32", 1, 64, "stream"),)), here)
    assert "1 case: 1 runs here, 0 are skipped; 1 round." in " ".join(capsys.readouterr().out.split())
