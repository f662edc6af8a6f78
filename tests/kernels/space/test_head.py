"""How a head may be cut, and the model's choice."""

from dataclasses import replace

import pytest

from kernels import Config, Layer, kinds
from kernels.cards.cards import CARDS
from kernels.space import conv as space
from kernels.space import head as head_space
from kernels.space.tiling import linear_layer
from kernels.table import Entry, Table, config_for, install

HEAD = Layer(32, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True)


@pytest.mark.parametrize("arch", sorted({card.arch for card in CARDS}))
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
def test_one_kernel_for_an_image_and_two_for_many(arch, dtype) -> None:
    chosen = {
        n: kinds.space_of(replace(HEAD, n=n, dtype=dtype)).default_config(replace(HEAD, n=n, dtype=dtype), arch)
        for n in (1, 8, 32, 256)
    }
    assert [config.block_m == 1 for config in chosen.values()][1:] == [False, False, False]
    assert dtype not in ("fp16", "bf16") or chosen[1] == head_space.fused_config(HEAD, arch)
    assert all(
        kinds.space_of(replace(HEAD, n=n, dtype=dtype)).rejection_reason(replace(HEAD, n=n, dtype=dtype), config, arch)
        is None
        for n, config in chosen.items()
    )
    assert chosen[32] == space.default_config(linear_layer(replace(HEAD, dtype=dtype)), arch)


@pytest.mark.parametrize("n", [1, 32])
def test_the_space_has_both_ways_and_the_choice_among_them(n) -> None:
    layer = replace(HEAD, n=n)
    found = kinds.space_of(layer).candidates(layer, 90)
    assert len(set(found)) == len(found) > 100
    assert {config.block_m == 1 for config in found} == {True, False}
    assert kinds.space_of(layer).default_config(layer, 90) in found
    assert all(kinds.space_of(layer).rejection_reason(layer, config, 90) is None for config in found)


def test_a_measured_head_is_taken_from_the_table_and_a_measured_convolution_is_not() -> None:
    layer, measured = replace(HEAD, n=64), "ptr-64x64x128-w8-s3-k4-g8"
    assert layer.key == "fp16-n64-7x7x2048-1x1-s1-p0-k1000-mean"
    try:
        for key in (layer.key, linear_layer(layer).key):
            install(Table([Entry("A GPU", key, measured, "measured", 5.0, "2026-01-01T00:00:00Z", "3.7")]))
            assert (str(config_for(layer, "A GPU", 90)) == measured) == (key == layer.key)
            assert str(config_for(layer, "Another", 90)) != measured
    finally:
        install(Table())


def test_what_the_kernels_do_not_compute_is_refused() -> None:
    assert "no split" in head_space.rejection_reason(HEAD, Config("ptr", 1, 16, 128, 8, 4, split_k=2), 90)
    assert "split_k" in head_space.rejection_reason(HEAD, Config("ptr", 16, 16, 128, 4, 4, split_k=32), 90)
    assert "impl" in head_space.rejection_reason(
        replace(HEAD, c_in=2044), Config("tma", 16, 16, 64, 4, 4, box=(1, 1, 16)), 90
    )
