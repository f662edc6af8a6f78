import pytest

from bench.errors import CaseError
from bench.plans.case import Case
from bench.plans.settings import Settings
from bench.worker.once import run_once

CASE = Case.parse("resnet18/eager/fp32/bmax/i32/stream")


def test_once_refuses_a_search() -> None:
    with pytest.raises(CaseError, match="runs one batch"):
        run_once(CASE, 1, "noise", 0)


@pytest.mark.slow
def test_once_prepares_8_bits_as_it_is_told() -> None:
    case = Case.parse("resnet18-digits/library-fused/int8/b1/i32/stream")
    answer = run_once(case, 1, "noise", 0, settings=Settings(calibrate="minmax", keep_wide="fc", score_pictures=8))
    assert answer["status"] == "ok", answer["reason"]
    assert (answer["quantized"]["calibrate"], answer["quantized"]["wide"]) == ("minmax", ["fc"])
