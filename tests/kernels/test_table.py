"""Tables of configurations: what is taken of them, and that none of this checkout's may compute wrong numbers."""

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kernels import kinds, table
from kernels.kinds import space_of
from kernels.space.layer import Layer
from kernels.table import Entry, Table, config_for
from resnet.fused.layers import layers_of
from tests.kernels.shapes import MIDDLE, STEM

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
    table.install(known)
    table._safe.cache_clear()


def install_entry(layer: Layer, config: str) -> None:
    table.install(Table([Entry(GPU, layer.key, config, "measured", 1.0, "2026-11-01T00:00:00+00:00", "3.6.0")]))


@pytest.mark.parametrize(
    ("layer", "config", "arch"),
    [
        (ACTIVATED, "ptr-128x64x64-w4-s3-k1-g8-pdl", 90),
        (WINDOW, "tma-2.8.8x128x64-w8-s4-k1-g8-pdl", 90),
    ],
)
def test_an_entry_that_is_unsafe_is_left_out_with_its_reason(installed, layer, config, arch) -> None:
    install_entry(layer, config)
    reason = kinds.space_of(layer).hazard_reason(layer, table.Config.parse(config), arch)
    with pytest.warns(UserWarning, match=f"{config} for {layer.key} is left out: ") as seen:
        assert table.config_for(layer, GPU, arch) == space_of(layer).default_config(layer, arch)
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
    install_entry(layer, config)
    assert str(table.config_for(layer, GPU, arch)) == config


def test_no_table_of_this_checkout_has_an_entry_that_is_not_fit() -> None:
    files = sorted((Path(__file__).parents[2] / "results" / "tuned").glob("*.json"))
    chosen = Table(entry for file in files for entry in Table.read(file))
    networks = {(model, precision) for model, _, precision in EVERYTHING}
    batches = {int(entry.layer.split("-")[1][1:]) for entry in chosen}
    shapes = [layer for model, precision in networks for layer in layers_of(model, 1, 224, precision)]
    for layer in {replace(shape, n=n) for shape in shapes for n in batches}:
        for arch, gpus in emitted.GPUS.items():
            for config in (chosen.config(gpu, layer) for gpu in gpus):
                assert config is None or kinds.space_of(layer).rejection_reason(layer, config, arch) is None, (
                    f"{layer.key} {config}"
                )


def entry(**changed: object) -> Entry:
    known = {
        "gpu": "H200", "layer": MIDDLE.key, "config": "ptr-64x64x64-w4-s3-k1-g8", "chosen": "measured", "us": 12.5,
        "when": "2026-11-17T12:00:00+00:00", "triton": "3.6.0",
    }  # fmt: skip
    return Entry(**{**known, **changed})


def test_a_table_is_its_file(tmp_path) -> None:
    path = tmp_path / "table.json"
    Table([entry(), entry(gpu="A100"), entry(layer=STEM.key)]).save(path)
    read = Table.read(path)
    assert list(read) == sorted([entry(), entry(gpu="A100"), entry(layer=STEM.key)], key=lambda e: (e.gpu, e.layer))
    read.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == path.read_text()
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["again.json", "table.json"]
    Table().save(path)
    assert len(Table.read(path)) == 0


def test_measurements_outlast_predictions_and_later_ones_earlier_ones() -> None:
    model, later = entry(chosen="model", us=1.0, when="2027-01-01T00:00:00+00:00"), entry(us=3.0, when="2026-12-01")
    for merged in (Table([entry()]).merge(Table([model, later])), Table([later, model]).merge(Table([entry()]))):
        assert list(merged) == [later]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "7", '{"schema": 9, "entries": []}', '{"schema": 1, "entries": 5}', '{"schema": 1, "entr'),
        *('{"schema": 1, "entries": [{"gpu": "x"}]}', '{"schema": 1, "entries": ["x"]}', "\0\0\0"),
    ],
)
def test_a_file_that_is_no_table(text, tmp_path) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="not a table"):
        Table.read(path)


def test_entries_are_checked(tmp_path) -> None:
    for wrong in ({"chosen": "guessed"}, {"us": "12"}, {"us": True}, {"gpu": 7}, {"layer": ["x"]}, {"when": None}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: "):
            entry(**wrong)
    path = tmp_path / "table.json"
    Table([entry()]).save(path)
    path.write_text(json.dumps(json.loads(path.read_text().replace("ptr-", "abc-"))))
    with pytest.raises(ValueError, match="abc"):
        Table.read(path)


def test_the_installed_table_goes_before_the_model(monkeypatch) -> None:
    monkeypatch.setattr(table, "_installed", Table())
    assert config_for(MIDDLE, "H200", 90, 132) == space_of(MIDDLE).default_config(MIDDLE, 90, 132)
    table.install(Table([entry()]))
    assert str(config_for(MIDDLE, "H200", 90, 132)) == entry().config
    assert config_for(MIDDLE, "another", 90, 132) == space_of(MIDDLE).default_config(MIDDLE, 90, 132)
