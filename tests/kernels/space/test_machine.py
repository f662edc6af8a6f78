"""GPUs as the model sees them."""

import pytest

from kernels.space.machine import machine_of


def test_old_and_unknown_architectures() -> None:
    assert machine_of(87).arch == 86
    assert machine_of(121).arch == 120
    assert machine_of(90, 66).flops["fp16"] * 2 == pytest.approx(machine_of(90).flops["fp16"])
    with pytest.raises(ValueError, match="sm_75"):
        machine_of(75)
