"""Tables of configurations: what is taken of them, and that none of this checkout's may compute wrong numbers."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kernels import table
from kernels.config import Layer
from kernels.space import choose
from kernels.space.choose import default
from kernels.table import Entry, Table

pytest.importorskip("torch")

from bench.static.kernels import EVERYTHING
from bench.worker.static import compile_kernels as emitted

ACTIVATED = Layer(32, 56, 56, 256, 64, (1, 1), prologue=True)
WINDOW = Layer(32, 14, 14, 256, 256, (3, 3), 1, 1)
GPU = "NVIDIA H200"


@pytest.fixture
def installed() -> Iterator[None]:
    known = table._installed
    table._safe.cache_clear()
    yield
    table.use(known)
    table._safe.cache_clear()


def install(layer: Layer, config: str) -> None:
    table.use(Table([Entry(GPU, layer.key, config, "measured", 1.0, "2026-11-01T00:00:00+00:00", "3.6.0")]))


@pytest.mark.parametrize(
    ("layer", "config", "arch"),
    [
        (ACTIVATED, "ptr-128x64x64-w4-s3-k1-g8-pdl", 90),
        (WINDOW, "tma-2.8.8x128x64-w8-s4-k1-g8-pdl", 90),
    ],
)
def test_an_entry_that_is_unsafe_is_left_out_with_its_reason(installed, layer, config, arch) -> None:
    install(layer, config)
    reason = choose.unsafe(layer, table.Config.parse(config), arch)
    with pytest.warns(UserWarning, match=f"{config} for {layer.key} is left out: ") as seen:
        assert table.config_for(layer, GPU, arch) == default(layer, arch)
    assert reason in str(seen[0].message)
    with warnings.catch_warnings():  # said once, not at each call
        warnings.simplefilter("error")
        table.config_for(layer, GPU, arch)


@pytest.mark.parametrize(
    ("layer", "config", "arch"),
    [
        (ACTIVATED, "ptr-128x64x64-w4-s3-k1-g8-pdl-serial", 90),
        (ACTIVATED, "ptr-128x64x64-w4-s3-k1-g8-pdl", 100),
        (WINDOW, "tma-2.8.8x128x64-w8-s4-k1-g8-pdl-serial", 90),
        (WINDOW, "tma-2.8.8x128x64-w8-s4-k1-g8-pdl", 100),
        (WINDOW, "ptr-128x64x64-w8-s3-k1-g8-pdl", 90),
    ],
)
def test_an_entry_that_is_safe_is_taken(installed, layer, config, arch) -> None:
    install(layer, config)
    assert str(table.config_for(layer, GPU, arch)) == config


def test_no_table_of_this_checkout_has_an_entry_that_is_not_fit() -> None:
    files = sorted((Path(__file__).parents[2] / "results" / "tuned").glob("*.json"))
    chosen = Table(entry for file in files for entry in Table.load(file))
    networks = {(model, precision) for model, _, precision in EVERYTHING}
    batches = {int(entry.layer.split("-")[1][1:]) for entry in chosen}
    shapes = [layer for model, precision in networks for layer in emitted._layers(model, 1, precision)]
    for layer in {replace(shape, n=n) for shape in shapes for n in batches}:
        for arch, gpus in emitted.GPUS.items():
            for config in (chosen.config(gpu, layer) for gpu in gpus):
                assert config is None or choose.unfit(layer, config, arch) is None, f"{layer.key} {config}"
