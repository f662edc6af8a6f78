"""The row of a case that waits for its turns."""

from typing import Any

import pytest

from bench.cli.progress import Progress
from bench.plans.case import Case

LONGEST = Case("resnet50", "channels-last-amp", "bf16", 32, 224, "stream")


def test_a_case_that_waits_for_its_turns_has_a_row(here: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    progress = Progress("quick", here)
    progress.starts(LONGEST)
    progress.ready(LONGEST, 693.8e6)
    row = capfd.readouterr().err.splitlines()[-1]
    assert row == f"{LONGEST.name}  so far 693.8 ms, 46.12 images/s"
    assert len(row) <= 80
    assert progress.running == set()  # it sleeps
