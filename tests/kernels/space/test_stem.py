"""How a stem may be cut, and the model's choice."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import Config, Layer, kinds
from kernels.cards.archs import ARCHS
from kernels.cards.cards import CARDS
from kernels.space import stem as stem_space
from kernels.space.layer import BYTES
from kernels.space.machine import machine_of
from kernels.space.tiling import stem_grid
from kernels.table import Entry, Table, config_for, install

STEM = Layer(32, 224, 224, 3, 64, (7, 7), 2, 3, pool=True)


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 15), st.integers(1, 7), st.integers(1, 4), st.integers(0, 4), st.sampled_from(["fp16", "fp32"]))
def test_a_window_holds_the_pair_and_is_aligned(c, kernel_w, stride, padding, dtype) -> None:
    layer = Layer(1, 9, 9, c, 8, (3, kernel_w), stride, padding, dtype=dtype)
    run, lead = layer.window
    assert run >= max(lead + (stride + kernel_w) * c, 16)
    assert run & (run - 1) == 0
    vector = next(v for v in (8, 4, 2, 1) if v * BYTES[dtype] <= 16 and (2 * stride * c) % v == 0)
    first = padding * c + lead
    assert first % vector == 0 or 2 * (stride + kernel_w) * c > run  # unaligned only where a lead would double the run


@pytest.mark.parametrize("arch", sorted({card.arch for card in CARDS}))
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("n", [1, 3, 32, 256])
def test_the_model_has_a_choice_for_every_stem(arch, dtype, n) -> None:
    layer = replace(STEM, n=n, dtype=dtype)
    config = kinds.space_of(layer).default_config(layer, arch)
    assert config in kinds.space_of(layer).candidates(layer, arch)
    assert kinds.space_of(layer).rejection_reason(layer, config, arch) is None
    assert config.pdl == (arch >= 90)
    assert Config.parse(str(config)) == config
    m, strips, k = stem_grid(layer, config)
    assert m * (config.block_m - 1) >= n * 56
    assert strips * config.group_m >= 56
    assert k * config.block_n >= 64


def test_what_fits_no_architecture_is_refused() -> None:
    wide = Layer(1, 64, 64, 15, 64, (15, 15), 2, 7, pool=True)
    with pytest.raises(ValueError, match=r"^packed: a \(15, 15\) window"):
        kinds.space_of(wide).default_config(wide, 120)
    run = STEM.window[0]
    for config in (Config("ptr", 64, 64, run, 4, 2), Config("ptr", 64, 64, 64, 4, 1), Config("ptr", 8, 64, run, 4, 1)):
        assert "block_k 32, one stage" in stem_space.rejection_reason(STEM, config, 90)
    assert "shared memory" in stem_space.rejection_reason(
        replace(STEM, dtype="fp32"), Config("ptr", 64, 64, run, 4, 1), 89
    )


def test_the_limits_are_those_of_the_core() -> None:
    """The configurations stem.default chooses from keep two programs on an SM of every architecture."""
    for arch in ARCHS:
        config = stem_space.default_config(STEM, arch)
        used = min(stem_space.registers(STEM, config), 255)
        assert ARCHS[arch].resident_blocks(config.warps, used, stem_space.shared_bytes(STEM, config, arch)) >= 2


def test_the_space_holds_what_fits_and_only_that() -> None:
    machine = machine_of(90)
    found = kinds.space_of(STEM).candidates(STEM, 90)
    assert len(set(found)) == len(found) > 100
    assert {config.warps for config in found} == {4, 8}
    assert all(stem_space.rejection_reason(STEM, config, 90) is None for config in found)
    times = [round(kinds.space_of(STEM).predicted_us(STEM, config, machine), 1) for config in found]
    assert times == sorted(times)


def test_a_measured_stem_is_taken_from_the_table_and_a_measured_convolution_is_not() -> None:
    assert STEM.key == "fp16-n32-224x224x3-7x7-s2-p3-k64-relu-pool"
    measured = "ptr-32x32x32-w4-s1-k1-g7"
    try:
        for key in (STEM.key, replace(STEM, pool=False).key):
            install(Table([Entry("A GPU", key, measured, "measured", 5.0, "2026-01-01T00:00:00Z", "3.7")]))
            assert (str(config_for(STEM, "A GPU", 90)) == measured) == (key == STEM.key)
            assert config_for(STEM, "Another", 90) == stem_space.default_config(STEM, 90)
    finally:
        install(Table())
