"""The estimate of registers against what the compiler emitted, and that what nobody checks does not spill."""

import json
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import pytest

from kernels import kinds
from kernels.cards.archs import ARCHS
from kernels.space import conv as space
from kernels.space import fit
from kernels.space import registers as estimate
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.registers import REGISTER_FITS, SPILLING, may_spill, multiply_unit, registers
from kernels.space.tiling import depth_steps

pytest.importorskip("torch")

from tests.networks import convolutions

ROOT = Path(__file__).parents[3]
NETWORKS = ("resnet18", "resnet50", "resnet18v2", "resnet50v2")
WINDOW = Layer(32, 56, 56, 64, 64, (3, 3), 1, 1)


@cache
def shapes(name: str) -> list[Layer]:
    return [layer for layer in convolutions(name, 1, 224, "fp16") if layer.kind == "conv"]


def accepted() -> list[dict[str, Any]]:
    return json.loads((ROOT / "results/kernels/accepted.json").read_text())["entries"]


@cache
def emitted() -> list[tuple[int, Layer, Config, dict[str, int]]]:
    """The convolutions of the accepted record: architecture, layer, configuration, facts."""
    known = {}
    for name, batch, dtype in product(NETWORKS, (1, 8, 32, 128, 256), ("fp16", "bf16", "tf32", "fp32")):
        known |= {layer.key: layer for layer in (replace(shape, n=batch, dtype=dtype) for shape in shapes(name))}
    found = []
    for entry in accepted():
        config, _, key = entry["uses"][0].split("/")
        if entry["kernel"] in ("conv", "conv_tma") and key in known:
            found.append((entry["arch"], known[key], Config.parse(config), entry["facts"]))
    return found


def test_the_estimate_is_near_what_was_emitted() -> None:
    errors: dict[str, list[int]] = {}
    for arch, layer, config, facts in emitted():
        if config.impl == "ptr":
            error = facts["registers"] - min(registers(layer, config, arch), 255)
            errors.setdefault(multiply_unit(layer, arch), []).append(error)
    assert set(errors) == set(REGISTER_FITS)
    for name, found in errors.items():
        print(name, len(found), mean(found), pstdev(found))
        assert abs(mean(found)) < 20, name
        assert pstdev(found) < 32, name


def test_no_choice_that_was_accepted_spills() -> None:
    assert not [(entry["arch"], entry["uses"][0]) for entry in accepted() if entry["facts"]["stack"]]


@pytest.mark.parametrize("arch", [80, 89, 90, 100, 120])
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16"])
def test_a_choice_that_nobody_checks_neither_spills_nor_may_be_wrong(arch: int, dtype: str) -> None:
    for name, batch in (("resnet50v2", 1), ("resnet18v2", 256)):
        for layer in (replace(shape, n=batch, dtype=dtype) for shape in shapes(name)):
            chosen = space.default_config(layer, arch)
            assert not may_spill(layer, chosen, arch), f"{layer.key} {chosen}"
            assert chosen.impl == "ptr"
            assert chosen.warps == 4 or layer.kernel == (1, 1) or (arch == 90 and dtype != "fp32")
            assert kinds.space_of(layer).rejection_reason(layer, chosen, arch) is None


def test_windows_have_8_warps_where_the_model_sees_a_gain_and_the_code_was_seen_to_be_right() -> None:
    """On sm_90, whose products `kernels.compiled.hazards` can follow; elsewhere, and where 4 are as good, 4."""
    wide = Layer(128, 28, 28, 128, 128, (3, 3), 1, 1)
    assert (
        space.default_config(wide, 90).warps,
        space.default_config(wide, 80).warps,
        space.default_config(wide, 100).warps,
    ) == (8, 4, 4)
    assert space.default_config(replace(wide, dtype="fp32"), 90).warps == 4
    assert space.default_config(Layer(128, 14, 14, 256, 256, (3, 3), 1, 1), 90).warps == 4


@pytest.mark.parametrize("name", ["resnet50", "resnet50v2"])
def test_what_is_tried_overwrites_nothing(name: str) -> None:
    """By `fit.hazard_reason`: no box of more than a row, and a prologue in series, wherever wgmma loops."""
    for layer in (replace(shape, n=32) for shape in shapes(name)):
        for config in space.candidates(layer, 90):
            assert kinds.space_of(layer).rejection_reason(layer, config, 90) is None
            assert config.serial == (layer.prologue and config.block_m >= 64 and max(depth_steps(layer, config)) > 1)
            assert not config.box or config.box[2] == config.block_m or max(depth_steps(layer, config)) == 1


def test_boxes_of_several_rows_are_tried_where_they_stay_in_shared_memory() -> None:
    assert any(config.box and config.box[2] < config.block_m for config in space.candidates(WINDOW, 100))


def test_where_all_may_spill_it_is_the_one_with_the_fewest_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "may_spill", lambda *_: True)
    chosen = space.default_config.__wrapped__(WINDOW, 80)
    safe = [config for config in space.candidates(WINDOW, 80) if not fit.may_be_wrong(WINDOW, config, 80)]
    assert registers(WINDOW, chosen, 80) == min(registers(WINDOW, config, 80) for config in safe)
    assert (chosen.impl, chosen.warps) == ("ptr", 4)


def test_what_was_seen_to_spill_is_told_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config.parse("ptr-64x64x32-w4-s3-k1-g8")
    for arch in ARCHS:
        assert not may_spill(WINDOW, config, arch)
    monkeypatch.setattr(estimate, "SPILLING", {90: {"half 64x64x32-w4": ("window",)}})
    assert may_spill(WINDOW, config, 90)
    assert not may_spill(WINDOW, config, 80)
    assert not may_spill(Layer(32, 56, 56, 64, 64, (1, 1)), config, 90)


def test_every_kind_is_written_as_it_is_asked_for() -> None:
    """A word out of order would never be met."""
    words = ["window", "split", "second", "residual", "prologue"]
    for arch, kernels in SPILLING.items():
        assert arch in ARCHS
        for kind in kernels:
            dtype, tile, *special = kind.split()
            assert dtype in ("half", "tf32", "fp32", "fp8", "int8")
            assert Config.parse(f"ptr-{tile}-s3-k1-g8").warps in (4, 8)
            assert special == [word for word in words if word in special]
