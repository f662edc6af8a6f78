"""Grids against the numbers that there are: every code, its neighbours, the ties between them, and the ends."""

import pytest
import torch
from torch import Tensor

from resnet.quant.steps import CODES, Grid

FLOAT8 = torch.float8_e4m3fn


def all_codes(kind: str) -> Tensor:
    """Every code of a kind, ascending, in float64; e4m3's from the bits of all its numbers, without NaN."""
    least, largest, _ = CODES[kind]
    if kind != "e4m3":
        return torch.arange(least, largest + 1, dtype=torch.float64)
    numbers = torch.arange(256, dtype=torch.int16).to(torch.uint8).view(FLOAT8).double()
    return numbers[numbers.isfinite()].unique()


@pytest.mark.parametrize("kind", CODES)
def test_every_code_is_the_code_of_its_value(kind) -> None:
    grid = Grid(kind, 0.037, 131 if kind == "uint8" else 0)
    codes = all_codes(kind)
    assert len(codes) == (253 if kind == "e4m3" else 256)
    values = grid.values(codes.to(grid.dtype))
    assert torch.equal(grid.codes(values).double(), codes)
    assert grid.codes(values).dtype == grid.dtype == CODES[kind][2]


@pytest.mark.parametrize("kind", CODES)
def test_between_two_codes_the_nearer_is_taken_and_the_step_is_their_distance(kind) -> None:
    """Of e4m3 also below and above a power of two, where the distance changes, and among subnormal numbers."""
    codes = all_codes(kind)
    below, above, grid = codes[:-1], codes[1:], Grid(kind, 1.0)
    for share, nearer in ((0.01, below), (0.49, below), (0.51, above), (0.99, above)):
        places = below + share * (above - below)
        assert torch.equal(grid.codes(places).double(), nearer)
        assert torch.equal(grid.steps(places), above - below)
    middle = grid.codes((below + above) / 2).double()
    even = (middle if kind != "e4m3" else middle.to(FLOAT8).view(torch.uint8).double()) % 2 == 0
    assert bool(even.all())
    assert bool(((middle == below) | (middle == above)).all())


def test_e4m3_rounds_as_torch_does() -> None:
    places = torch.cat([torch.linspace(-460, 460, 100_001), torch.logspace(-12, 0, 10_001, 2)]).double()
    assert torch.equal(Grid("e4m3", 1.0).codes(places).double(), places.clamp(-448, 448).float().to(FLOAT8).double())


@pytest.mark.parametrize("kind", CODES)
def test_values_beyond_the_codes_are_cut_off(kind) -> None:
    least, largest, _ = CODES[kind]
    far = torch.tensor([-1e9, 1e9], dtype=torch.float64)
    assert Grid(kind, 0.5).codes(far).double().tolist() == [least, largest]
    assert Grid(kind, 0.5).places(far).tolist() == [least, largest]
