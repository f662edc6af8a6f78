"""What is said of runners in 8 bits that are honest, and of planted faults, on networks of two depths."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from resnet.model import ResNet
from resnet.quant.check import DISTANCE, Refused, check_declaration, check_steps, one_code
from resnet.quant.network import INPUT, Scheme
from resnet.quant.steps import Grid, Step, Taps, Term, Weight
from tests.cheats.quantized import CONV, DECLARED, FAULTS, UINT8, honest_steps, planted

OTHERS = {"half", "fp16", "first-row"}  # what the gate sees, not the steps
FP8 = Scheme("e4m3", "e4m3")
SHALLOW, DEEP = "resnet18-digits", "resnet50-digits"  # a quarter of the channels


class Network(NamedTuple):
    model: ResNet
    steps: tuple[Step, ...]
    pictures: Tensor
    exact: Tensor


@pytest.fixture(scope="module")
def network(build: Callable[[str], ResNet]) -> Callable[..., Network]:
    """Returns a model, its steps in 8 bits, and two pictures that calibrated nothing with the model's answers."""

    @cache
    def make(name: str, scheme: Scheme = UINT8) -> Network:
        model, pictures = build(name), torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            exact = deepcopy(model).double()(pictures[4:].double())
            return Network(model, honest_steps(model, pictures[:4], scheme), pictures[4:], exact)

    return make


def judge(network: Network, fault: str, precision: str = "int8") -> float:
    """The distance of the farthest code. Raises Refused."""
    model, steps, pictures, exact = network
    toy = planted(steps, fault, model)
    if fault not in FAULTS:  # those declare what the honest one does
        check_declaration(toy.steps, precision, toy.details["quantized"]["wide"], model, pictures[:1], exact[:1])
    return float(check_steps(toy.steps, pictures[1:], toy.taps(pictures), 1)["code_distance"])


@pytest.mark.parametrize(("model", "scheme"), [(SHALLOW, UINT8), (DEEP, UINT8), ("resnet18v2-A-digits", FP8)])
def test_an_honest_runner_is_within_half_a_code(network: Callable[..., Network], model: str, scheme: Scheme) -> None:
    distance = judge(network(model, scheme), "honest", "fp8" if scheme == FP8 else "int8")
    assert 0.49 < distance < DISTANCE


@pytest.mark.parametrize(
    ("model", "fault"),
    [(SHALLOW, fault) for fault in FAULTS | DECLARED if fault not in OTHERS]
    + [(DEEP, fault) for fault in ("scale", "zero", "saturates", "truncates", "leaves-out", "adds-late")],
)
def test_a_fault_is_refused_with_a_sentence_that_says_where(
    network: Callable[..., Network], model: str, fault: str
) -> None:
    with pytest.raises(Refused) as refused:
        judge(network(model), fault)
    assert (FAULTS | DECLARED)[fault] in str(refused.value)


def test_codes_of_another_precision_are_refused(network: Callable[..., Network]) -> None:
    with pytest.raises(Refused, match="it declares codes of uint8 under the name of fp8"):
        judge(network(SHALLOW), "honest", "fp8")


def test_one_code_at_the_input_moves_the_logits_a_little(network: Callable[..., Network]) -> None:
    _, steps, pictures, exact = network(SHALLOW)
    share = one_code(steps, pictures) / float(exact.square().mean().sqrt())
    assert 0.001 < share < 0.3


def test_one_code_that_is_not_the_nearest_is_refused(network: Callable[..., Network]) -> None:
    """Next to the exact value as it is, and so within a code of it."""
    model, steps, pictures, _ = network(SHALLOW)
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
        return check_steps(steps, picture, Taps({"sum": sums}, sums.float()), 0)["code_distance"]

    assert distance(0.4985, torch.float16, 2) < 0.5  # 1.4985 exactly, of magnitudes that sum to 4095
    with pytest.raises(Refused, match=r"0\.54"):
        distance(0.45, torch.float16, 2)
    with pytest.raises(Refused, match=r"codes from its exact value"):
        distance(1.4985, torch.int8, 2)


def rounded(places: Tensor, count: int, off: float) -> Taps:
    """Taps of so many steps, each of which rounds pictures to codes, and is off by a part of a code."""
    codes = (places + off).round().clamp(0, 255).to(torch.uint8)
    return Taps({f"codes{number}": codes for number in range(count)}, codes.float().mean((2, 3)))


def rounding(count: int) -> list[Step]:
    codes = [Step(f"codes{number}", (Term(INPUT),), Grid("uint8", 1.0)) for number in range(count)]
    return [*codes, Step("mean", (Term("codes0"),), None, pool="mean")]


@pytest.mark.parametrize(
    ("pixels", "count", "who"), [(224, 1, "codes0 is wrong: 0.001 "), (24, 50, "of the codes of all steps are not")]
)
def test_a_kernel_that_is_always_off_by_less_than_the_distance_is_refused(pixels: int, count: int, who: str) -> None:
    """In one large step, and in many small ones, where chance alone may flip a code of any."""
    picture = 255 * torch.rand(1, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))
    check_steps(rounding(count), picture, rounded(picture.double(), count, 1e-5), 0)
    with pytest.raises(Refused, match=who):
        check_steps(rounding(count), picture, rounded(picture.double(), count, 9e-4), 0)


def test_a_tie_that_comes_many_times_is_one() -> None:
    """As sums of codes of zero with a few others do: they round alike, by the last bit of a float32."""
    picture = torch.full((1, 3, 32, 32), 7.499995)
    checked = check_steps(rounding(1), picture, rounded(picture.double(), 1, 1e-5), 0)
    assert checked["code_flips"] == 1
    assert checked["code_distance"] == pytest.approx(0.500005, abs=1e-6)
