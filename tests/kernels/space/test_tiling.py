"""How a configuration cuts a layer."""

from dataclasses import replace

from kernels.space.config import Config
from kernels.space.tiling import depth_steps
from tests.kernels.shapes import BULK, FOLDED, MIDDLE, STEM


def test_steps_stay_in_a_tap() -> None:
    assert depth_steps(MIDDLE, BULK) == (9, 0)
    assert depth_steps(replace(MIDDLE, c_in=65), BULK) == (18, 0)
    assert depth_steps(FOLDED, BULK) == (2, 4)
    assert depth_steps(STEM, Config("ptr", 64, 64, 32, 4, 3)) == (5, 0)
