"""What a dry run does in place of a card's plans and cases."""

from typing import Any

from bench.campaign import standins
from bench.campaign.tasks import TASKS
from bench.plans import plan as plans
from bench.plans.case import Case
from resnet.calibration import EIGHT_BITS


def test_every_plan_of_a_card_has_a_stand_in_that_can_be_read(here: dict[str, Any]) -> None:
    for task in TASKS.values():
        if task.plan:
            plan = plans.load_plan(task.plan)
            chosen = plan.only(*task.only)
            assert chosen.cases
            assert all(any(Case.parse(case.name) in plan.only(glob).cases for case in chosen.cases)
                       for glob in task.only)  # fmt: skip
            dry = plans.parse_plan(standins.small_plan(chosen, here), task.plan, task.plan)
            assert all(case.image == 32 and case.launch == "stream" for case in dry.cases)
            assert sorted({case.precision in EIGHT_BITS for case in dry.cases}) == sorted(
                {case.precision in EIGHT_BITS for case in chosen.cases}
            ), task.name  # a case of each kind that the plan has
            assert len(dry.cases) <= 2


def test_a_case_that_no_cpu_serves_gives_way_to_eager() -> None:
    assert (
        standins.small_case(Case.parse("resnet50/fused/fp16/b128/i224/graph")).name
        == "resnet18/eager/fp32/b1/i32/stream"
    )
    small = standins.small_case(Case.parse("resnet50/library-fused/bf16/b128/i224/graph"))
    assert small.name == "resnet18/library-fused/bf16/b1/i32/stream"


def test_8_bits_that_no_cpu_serves_give_way_to_8_bits() -> None:
    for name in ("fused/int8", "fused/fp8", "onnxruntime-trt/int8"):
        small = standins.small_case(Case.parse(f"resnet50/{name}/b128/i224/graph"))
        assert small.name == "resnet18/library-fused/int8/b1/i32/stream"
