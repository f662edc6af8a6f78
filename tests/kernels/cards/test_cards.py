"""What a card is taken for, and what the model takes for granted of it."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernels import kinds
from kernels.cards import cards, constants, places
from kernels.cards.archs import ARCHS
from kernels.cards.constants import NAMES, Constant, ConstantsError
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.machine import Machine, machine_of
from kernels.table import config_for

H100, H200 = "NVIDIA H100 80GB HBM3", "NVIDIA H200"
MIDDLE = Layer(128, 56, 56, 64, 256, (1, 1))
CONFIG = Config("ptr", 128, 128, 64, 4, 3, pdl=True)


@pytest.fixture(autouse=True)
def only_guesses() -> Iterator[None]:
    """What a test installs is gone after it."""
    yield
    for gpu in list(constants._installed):
        constants.install_constants(gpu, {})


def test_the_table_is_of_different_cards_in_known_units() -> None:
    for name in ("key", "name", "product"):
        assert len({getattr(card, name) for card in cards.CARDS}) == len(cards.CARDS)
    for card in cards.CARDS:
        assert card.arch in ARCHS
        assert 0.2e12 < card.memory < 9e12
        assert card.flops["fp32"] <= card.flops["tf32"] < card.flops["fp16"] == card.flops["bf16"] < 1e16
        assert ("fp8" in card.flops) == (card.arch >= 89)
        assert cards.find_card(card.name) is card
        assert len(places.slug(card.name)) > 5


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (H100, "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        (H200, "h200"),
        ("NVIDIA H200 NVL", "h200-nvl"),
        ("nvidia h200", "h200"),
        ("NVIDIA A10G", "a10"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA H1000", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA A1000", None),
        ("", None),
    ],
)
def test_names(name: str, key: str | None) -> None:
    found = cards.find_card(name)
    assert (found.key if found else None) == key


def test_an_h100_is_not_taken_for_an_h200() -> None:
    one, other = machine_of(90, 132, H100), machine_of(90, 132, H200)
    assert (one.memory, other.memory) == (3.35e12, 4.8e12)
    assert (one.card, one.assumed) == (H100, "")
    assert machine_of(90).card == H200  # where none is named
    assert kinds.space_of(MIDDLE).predicted_us(MIDDLE, CONFIG, one) > 1.3 * kinds.space_of(MIDDLE).predicted_us(
        MIDDLE, CONFIG, other
    )
    layers = [Layer(n, 56, 56, 256, k, (1, 1)) for n in (8, 32, 128, 256) for k in (64, 128)]
    assert any(config_for(layer, H100, 90) != config_for(layer, H200, 90) for layer in layers)


def test_a_card_that_is_not_in_the_table_is_told() -> None:
    made = machine_of(90, 16, "NVIDIA H100 80GB HBM3 MIG 1g.10gb")
    assert made.sms == 16
    assert "MIG 1g.10gb has no row in kernels/cards/cards.py: the model takes it for the NVIDIA H200" in made.assumed
    # nor is a name believed that is of another architecture than the GPU says it is
    assert machine_of(80, gpu=H100).card == "NVIDIA A100-SXM4-80GB"
    assert machine_of(80, gpu=H100).assumed


# --- constants


def written(folder: Path, gpu: str = H100, **values: Any) -> Path:
    path = places.constants_path(gpu, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {name: {"value": value, "unit": "", "how": "By a test."} for name, value in values.items()}
    provenance = {"environment": {}, "date": "2026-12-01T00:00:00+00:00"}
    told = {"schema": 1, "gpu": gpu, "constants": found, "experiments": [], "provenance": provenance}
    path.write_text(json.dumps(told))
    return path


def test_without_a_file_all_are_guesses(tmp_path: Path) -> None:
    assert "guesses, none is measured" in constants.install_measured(H100, tmp_path)
    found = machine_of(90, 132, H100).constants
    assert [getattr(found, name).measured for name in NAMES] == [False] * len(NAMES)
    assert found.l2_bytes_per_s.value == pytest.approx(5.5e12)
    assert machine_of(90, 66, H100).l2_per_sm == pytest.approx(machine_of(90, 132, H100).l2_per_sm)


def test_what_is_measured_is_used_on_that_card_alone(tmp_path: Path) -> None:
    before = {gpu: machine_of(90, 132, gpu) for gpu in (H100, H200, "")}
    us = kinds.space_of(MIDDLE).predicted_us(MIDDLE, CONFIG, before[H100])
    written(tmp_path, l2_bytes_per_s=7.3e12, launch_pdl_us=0.9, memory_share=0.5, of_a_newer_version=3.0)
    said = constants.install_measured(H100, tmp_path)
    assert "measured: l2_bytes_per_s, launch_pdl_us, memory_share; guessed: launch_us, tensor_share_ptr" in said
    now = machine_of(90, 132, H100)
    assert now.constants.l2_bytes_per_s == Constant(7.3e12, True, "By a test., 2026-12-01")
    assert now.l2_per_sm == 7.3e12 / 132
    assert now.copy_rate == 0.5 * 3.35e12
    assert kinds.space_of(MIDDLE).predicted_us(MIDDLE, CONFIG, now) > 1.5 * us
    assert (machine_of(90, 132, H200), machine_of(90, 132)) == (before[H200], before[""])


@pytest.mark.parametrize("layer", [MIDDLE, Layer(32, 224, 224, 3, 64, (7, 7), 2, 3, pool=True),
                                   Layer(32, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True)])  # fmt: skip
def test_a_choice_is_made_anew_when_its_constants_change(layer: Layer, tmp_path: Path) -> None:
    def order() -> list[tuple[str, float]]:
        machine = machine_of(90, 132, H100)
        found = [*kinds.space_of(layer).candidates(layer, 90, 132, H100)][:200]
        return [(str(config), kinds.space_of(layer).predicted_us(layer, config, machine)) for config in found]

    guessed, default = order(), kinds.space_of(layer).default_config(layer, 90, 132, H100)
    written(tmp_path, memory_share=1e-3, launch_us=0.1)
    constants.install_measured(H100, tmp_path)
    measured = order()
    assert measured != guessed
    times = [round(us, 1) for _, us in measured]
    assert times == sorted(times)  # by what is known now, not by what was kept
    constants.install_constants(H100, {})
    assert (order(), kinds.space_of(layer).default_config(layer, 90, 132, H100)) == (guessed, default)


def test_launches_are_told_apart_by_the_measured_launch() -> None:
    constants.install_constants(
        H100, {"launch_us": Constant(9.0, True, "x"), "launch_pdl_us": Constant(2.0, True, "x")}
    )
    machine: Machine = machine_of(90, 132, H100)
    assert (machine.constants.launch_time_us(False), machine.constants.launch_time_us(True)) == (9.0, 2.0)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"schema": 1}', '{"schema": 9, "gpu": "NVIDIA H100 80GB HBM3"}',
     '{"schema": 1, "gpu": "NVIDIA H100 80GB HBM3", "constants": [], "provenance": {}}'],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = written(tmp_path)
    path.write_text(text)
    with pytest.raises(ConstantsError, match="bench constants") as caught:
        constants.install_measured(H100, tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("value", [None, "7", True, 0, -1.0, math.nan, math.inf, 1.5])
def test_a_value_that_cannot_be_is_refused(tmp_path: Path, value: Any) -> None:
    path = written(tmp_path, memory_share=value)
    with pytest.raises(ConstantsError, match="memory_share") as caught:
        constants.install_measured(H100, tmp_path)
    assert str(path) in str(caught.value)


def test_another_cards_file_in_its_place_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, H200, launch_us=2.0)
    moved = places.constants_path(H100, tmp_path)
    moved.parent.mkdir()
    path.rename(moved)
    with pytest.raises(ConstantsError, match="measured on NVIDIA H200, which is not NVIDIA H100"):
        constants.install_measured(H100, tmp_path)
