import pytest

from bench.errors import CaseError
from bench.plans.case import Case
from bench.worker.once import run_once

CASE = Case.parse("resnet18/eager/fp32/bmax/i32/stream")


def test_once_refuses_a_search() -> None:
    with pytest.raises(CaseError, match="runs one batch"):
        run_once(CASE, 1, "noise", 0)
