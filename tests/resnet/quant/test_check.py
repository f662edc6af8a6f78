"""What is said of runners in 8 bits that are honest, and of planted faults, on networks of two depths."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import resnet
from resnet.model import ResNet
from resnet.quant.check import DISTANCE, Refused, check_declaration, check_steps, one_code
from resnet.quant.network import Scheme
from resnet.quant.steps import Grid, Step, Taps, Term, Weight
from tests.cheats.quantized import CONV, DECLARED, FAULTS, UINT8, honest_steps, planted

OTHERS = {"half"}  # what the gate sees, not the steps
FP8 = Scheme("e4m3", "e4m3")


class Made(NamedTuple):
    model: ResNet
    steps: tuple[Step, ...]
    pictures: Tensor
    exact: Tensor


@pytest.fixture(scope="module")
def made() -> Callable[..., Made]:
    """Returns a model, its steps in 8 bits, and two pictures that calibrated nothing with the model's answers."""
    known: dict[tuple[str, str], Made] = {}

    def make(name: str, scheme: Scheme = UINT8) -> Made:
        if (name, scheme.activations) not in known:
            model = resnet.build(name, source="noise")
            pictures = resnet.pictures(6, 32, source="noise")
            with torch.no_grad():
                steps = honest_steps(model, pictures[:4], scheme)
                exact = resnet.build(name, source="noise").double()(pictures[4:].double())
            known[name, scheme.activations] = Made(model, steps, pictures[4:], exact)
        return known[name, scheme.activations]

    return make


def judge(made: Made, fault: str, precision: str = "int8") -> float:
    """The distance of the farthest code. Raises Refused."""
    toy = planted(made.steps, fault, made.model)
    if fault not in FAULTS:  # those declare what the honest one does
        wide = toy.details["quantized"]["wide"]
        check_declaration(toy.steps, precision, wide, made.model, made.pictures[:1], made.exact[:1])
    return check_steps(toy.steps, made.pictures[1:], toy.taps(made.pictures), 1).distance


@pytest.mark.parametrize(("model", "scheme"), [("resnet18", None), ("resnet50", None), ("resnet18v2-A", FP8)])
def test_an_honest_runner_is_within_half_a_code(made: Callable[..., Made], model: str, scheme: Scheme | None) -> None:
    distance = judge(made(model, scheme or UINT8), "honest", "fp8" if scheme else "int8")
    assert 0.49 < distance < DISTANCE


@pytest.mark.parametrize(
    ("model", "fault"),
    [("resnet18", fault) for fault in FAULTS | DECLARED if fault not in OTHERS]
    + [("resnet50", fault) for fault in ("scale", "zero", "saturates", "truncates", "leaves-out", "adds-late")],
)
def test_a_fault_is_refused_with_a_sentence_that_says_where(made: Callable[..., Made], model: str, fault: str) -> None:
    with pytest.raises(Refused) as refused:
        judge(made(model), fault)
    assert (FAULTS | DECLARED)[fault] in str(refused.value)


def test_codes_of_another_precision_are_refused(made: Callable[..., Made]) -> None:
    with pytest.raises(Refused, match="it declares codes of uint8 under the name of fp8"):
        judge(made("resnet18"), "honest", "fp8")


def test_one_code_at_the_input_moves_the_logits_a_little(made: Callable[..., Made]) -> None:
    steps, pictures, exact = made("resnet18").steps, made("resnet18").pictures, made("resnet18").exact
    share = one_code(steps, pictures) / float(exact.square().mean().sqrt())
    assert 0.001 < share < 0.3


def test_one_code_that_is_not_the_nearest_is_refused(made: Callable[..., Made]) -> None:
    """Next to the exact value as it is, and so within a code of it."""
    model, steps, pictures, _ = made("resnet18")
    taps = planted(steps, "honest", model).taps(pictures)
    step = next(step for step in steps if step.name == CONV)
    assert step.output is not None
    source = next(other.output for other in steps if other.name == step.reads[0])
    assert source is not None
    places = step.output.places(step.value({step.reads[0]: source.values(taps.activations[step.reads[0]])}))[1]
    codes = taps.activations[CONV][1].double()
    distances = torch.where(codes > 0, (places - codes).abs(), 0.0).flatten()
    place = int((distances - 0.4).abs().argmin())  # the next code is 0.6 codes away
    other = codes.flatten()[place] + (places - codes).flatten()[place].sign()
    taps.activations[CONV][1].view(-1)[place] = int(other)
    with pytest.raises(Refused, match=rf"{CONV} is wrong: a code of channel \d+ is 0\.6"):
        check_steps(steps, pictures[1:], taps, 1)


def test_products_of_floats_may_be_off_by_what_their_sums_round() -> None:
    """A layer that is kept wide ends in integers, and its sums in float32 need not; sums of integers are exact."""
    picture = torch.ones(1, 3, 1, 1)

    def distance(third: float, dtype: torch.dtype, code: int) -> float:
        codes = torch.tensor([2048.0, -2047.0, third]) if dtype == torch.float16 else torch.tensor([127, -126, 1])
        scale = torch.tensor([1.0 if dtype == torch.float16 else third / 2], dtype=torch.float64)
        weight = Weight("conv", codes.to(dtype).view(1, 3, 1, 1), scale)
        steps = (Step("sum", (Term("input", weight),), Grid("int8", 1.0)), Step("end", (Term("sum"),), None))
        sums = torch.full((1, 1, 1, 1), code, dtype=torch.int8)
        return check_steps(steps, picture, Taps({"sum": sums}, sums.float()), 0).distance

    assert distance(0.4985, torch.float16, 2) < 0.5  # 1.4985 exactly, of magnitudes that sum to 4095
    with pytest.raises(Refused, match=r"0\.54"):
        distance(0.45, torch.float16, 2)
    with pytest.raises(Refused, match=r"codes from its exact value"):
        distance(1.4985, torch.int8, 2)
