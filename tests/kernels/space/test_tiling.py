"""How a configuration cuts a layer."""

from dataclasses import replace

from kernels.space.config import Config
from kernels.space.tiling import steps
from tests.kernels.shapes import BULK, FOLDED, MIDDLE, STEM


def test_steps_stay_in_a_tap() -> None:
    assert steps(MIDDLE, BULK) == (9, 0)
    assert steps(replace(MIDDLE, c_in=65), BULK) == (18, 0)
    assert steps(FOLDED, BULK) == (2, 4)
    assert steps(STEM, Config("ptr", 64, 64, 32, 4, 3)) == (5, 0)
