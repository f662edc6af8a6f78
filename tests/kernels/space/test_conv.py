"""The search space of convolutions: what is in it, its order, the model's choice."""

from dataclasses import replace
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.cards.archs import ARCHS
from kernels.space.config import Config
from kernels.space.conv import boxes, candidates, default_config, predicted_us
from kernels.space.fit import incompatibility_reason, may_be_wrong, shared_bytes
from kernels.space.layer import Layer
from kernels.space.machine import machine_of
from kernels.space.registers import may_spill
from kernels.space.tiling import output_pixels, row_tiles
from tests.kernels.shapes import ACTIVATED, LAST, LATE, LAYERS, MIDDLE, STEM


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.key)
@pytest.mark.parametrize("arch", [80, 86, 89, 90, 100, 120])
def test_the_space_is_ordered_and_fits(layer, arch) -> None:
    machine = machine_of(arch)
    found = candidates(layer, arch)
    assert 20 < len(found) < 3000
    assert len(set(found)) == len(found)
    assert all(incompatibility_reason(layer, config) is None for config in found)
    assert all(shared_bytes(layer, config, arch) <= ARCHS[arch].shared for config in found)
    # on sm_90 boxes of a row alone, which cover large images and what is pointwise
    bulk = {90: (MIDDLE, LAST)}.get(arch, [other for other in LAYERS if arch > 90 and other not in (STEM, ACTIVATED)])
    assert any(config.impl == "tma" for config in found) == (layer in bulk)
    assert any(config.pdl for config in found) == (arch >= 90)
    times = [round(predicted_us(layer, config, machine), 1) for config in found]
    assert times == sorted(times)
    chosen = default_config(layer, arch)
    assert chosen in found
    assert chosen.impl == "ptr"
    assert not may_spill(layer, chosen, arch)
    assert not may_be_wrong(layer, chosen, arch)


@pytest.mark.parametrize("layer", [*LAYERS, Layer(1, 1, 1, 1, 1, (1, 1)), Layer(1, 3, 3, 700, 3, (3, 3), dtype="fp32")])
@pytest.mark.parametrize("arch", [80, 89, 90, 120])
def test_every_layer_has_a_default(layer, arch) -> None:
    assert incompatibility_reason(layer, default_config(layer, arch)) is None


def test_no_prediction_beats_the_machine() -> None:
    for layer in LAYERS:
        machine = machine_of(90)
        floor = 1e6 * max(layer.bytes / machine.memory, layer.flops / machine.flops["fp16"])
        assert all(predicted_us(layer, config, machine) > floor for config in candidates(layer, 90)[:50])


def test_the_model_splits_the_depth_where_sms_are_idle() -> None:
    assert default_config(LATE, 90).split_k > 1
    assert default_config(replace(LATE, n=256), 90).split_k == 1


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 60), st.sampled_from([64, 128, 256]))
def test_boxes_cover_the_output(n, h, w, block_m) -> None:
    layer = Layer(n, h, w, 64, 64, (3, 3), 1, 1)
    for box in boxes(layer, block_m):
        config = Config("tma", block_m, 64, 64, 4, 3, box)
        assert prod(box) == block_m
        assert row_tiles(layer, config) * block_m >= layer.rows


def test_boxes_waste_nothing_where_they_can() -> None:
    assert boxes(replace(LAST, n=4), 128)[0] == (1, 1, 128)
    assert output_pixels(LAST) == (1, 1, LAST.rows)
    for layer, block_m in ((MIDDLE, 128), (replace(MIDDLE, h=14, w=14), 128), (replace(MIDDLE, h=7, w=7), 32)):
        config = Config("tma", block_m, 64, 64, 4, 3, boxes(layer, block_m)[0])
        assert row_tiles(layer, config) * block_m == layer.rows
