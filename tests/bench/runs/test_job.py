"""What a child is asked for where a case is a search for what fits."""

from bench.plans.case import Case
from bench.plans.plan import Settings
from bench.runs.job import PICTURES, reference_job

CASE = Case.parse("resnet18/eager/fp32/bmax/i32/stream")


def test_seven_pictures_tell_every_power_of_two_apart() -> None:
    assert all(2**bits % PICTURES for bits in range(64))


def test_the_reference_of_a_search_is_of_its_pictures_alone() -> None:
    settings = Settings(buffers=3)
    other = Case.parse("resnet18/eager/fp32/b2/i32/stream")
    assert reference_job([CASE], settings, "cpu", 0, "noise").count == PICTURES
    assert reference_job([CASE, other], settings, "cpu", 0, "noise").count == 8
