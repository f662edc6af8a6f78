"""The configurations of layers in 8 bits."""

from dataclasses import replace

import pytest

from kernels.kinds import space_of
from kernels.space.config import Config
from kernels.space.fit import incompatibility_reason
from kernels.space.layer import Layer, packed_columns
from kernels.space.machine import machine_of
from kernels.space.registers import may_spill, multiply_unit
from tests.kernels.shapes import ACTIVATED, LAST, LATE, MIDDLE

HEAD = Layer(32, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True, reads="int8")


@pytest.mark.parametrize("dtype", ["int8", "fp8"])
@pytest.mark.parametrize("arch", [80, 90, 100])
def test_a_step_is_32_codes_at_least(arch, dtype) -> None:
    for layer in (replace(layer, dtype=dtype) for layer in (MIDDLE, LAST, LATE)):
        space = space_of(layer)
        found = list(space.candidates(layer, arch))
        assert min(config.block_k for config in found) >= 32
        assert not may_spill(layer, space.default_config(layer, arch), arch)
        # half of the bytes and twice the rate: predicted faster than 16 bits in the same configuration
        config = replace(found[0], block_k=64, stages=3)
        machine = machine_of(arch)
        assert space.predicted_us(layer, config, machine) <= space.predicted_us(
            replace(layer, dtype="fp16"), config, machine
        )
    assert "32 deep" in str(incompatibility_reason(replace(MIDDLE, dtype=dtype), Config("ptr", 64, 64, 16, 4, 3)))
    assert "32 deep" in str(incompatibility_reason(replace(ACTIVATED, dtype=dtype), Config("ptr", 64, 64, 64, 4, 3)))


def test_columns_of_codes_are_aligned_to_16_bytes() -> None:
    assert packed_columns(37, (3, 3), 5, "int8").per_tap == 48
    assert packed_columns(37, (3, 3), 5, "fp8").total == 9 * 48 + 16


def test_averages_of_codes_are_stored() -> None:
    space = space_of(HEAD)
    assert all(config.block_m > 1 for config in space.candidates(HEAD, 90))
    assert space.default_config(replace(HEAD, n=1), 90).block_m > 1
    fused = space.default_config(replace(HEAD, n=1, reads=""), 90)
    assert fused.block_m == 1
    assert "averages of codes" in str(space.rejection_reason(HEAD, fused, 90))


def test_a_wide_product_of_codes_waits_on_hopper_and_has_no_bulk_copy() -> None:
    wide = replace(MIDDLE, reads="int8", writes="int8")
    config = Config("ptr", 64, 64, 64, 4, 3)
    assert "triton#9433" in str(space_of(wide).rejection_reason(wide, config, 90))
    assert space_of(wide).rejection_reason(wide, replace(config, serial=True), 90) is None
    assert all(config.impl == "ptr" for config in space_of(wide).candidates(wide, 90))


@pytest.mark.parametrize("arch", [89, 120])
def test_short_sums_of_e4m3_are_serial(arch) -> None:
    layer, config = replace(MIDDLE, dtype="fp8"), Config("ptr", 64, 64, 64, 4, 3)
    assert "14 bits" in str(space_of(layer).rejection_reason(layer, config, arch))
    assert all(config.serial for config in space_of(layer).candidates(layer, arch))
    assert space_of(layer).rejection_reason(layer, config, 90) is None
    assert space_of(layer).rejection_reason(replace(MIDDLE, dtype="int8"), config, arch) is None


def test_int8_has_no_tcgen05_in_triton() -> None:
    units = {(arch, dtype): multiply_unit(replace(MIDDLE, dtype=dtype), arch) for arch in (80, 90, 100, 103)
             for dtype in ("int8", "fp8", "fp16")}  # fmt: skip
    assert [units[arch, "int8"] for arch in (80, 90, 100, 103)] == ["mma", "wgmma", "mma", "mma"]
    assert [units[arch, "fp8"] for arch in (90, 100, 103)] == ["wgmma", "tcgen05", "tcgen05"]
