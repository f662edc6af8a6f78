"""Shapes, configurations, the search space and the table: arithmetic on plain data."""

import json
import subprocess
import sys
from dataclasses import replace
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import table
from kernels.config import ARCHS, Config, Layer, columns, pixels, row_tiles, steps, unfit
from kernels.space.conv import boxes, default, doubtful, machine_of, predicted_us, shared_bytes, space
from kernels.table import Entry, Table, config_for, use

STEM = Layer(32, 224, 224, 3, 64, (7, 7), 2, 3)
MIDDLE = Layer(32, 56, 56, 64, 64, (3, 3), 1, 1)
LAST = Layer(32, 56, 56, 64, 256, (1, 1), residual=True)
FOLDED = Layer(32, 28, 28, 128, 512, (1, 1), second=(56, 56, 256, 2))
STRIDED = Layer(32, 28, 28, 256, 256, (3, 3), 2, 1)
LATE = Layer(1, 7, 7, 512, 512, (3, 3), 1, 1)
ACTIVATED = Layer(32, 56, 56, 256, 64, (1, 1), prologue=True)
LAYERS = (STEM, MIDDLE, LAST, FOLDED, STRIDED, LATE, ACTIVATED)

pow2 = st.integers(0, 6).map(lambda i: 2**i)


def test_a_layer_counts_what_it_moves_and_computes() -> None:
    assert (STEM.out_h, STEM.out_w, STEM.rows) == (112, 112, 32 * 112 * 112)
    assert STEM.flops == 2 * 32 * 112 * 112 * 64 * 147
    assert LAST.bytes == 2 * (32 * 56 * 56 * (64 + 256 + 256) + 256 * 64) + 4 * 256
    # a strided 1x1 reads a quarter of the pixels
    assert FOLDED.bytes == 2 * (32 * 28 * 28 * (128 + 256 + 512) + 512 * 384) + 4 * 512
    assert replace(STRIDED, kernel=(1, 1), padding=0).bytes == 2 * (32 * 14 * 14 * 512 + 65536) + 4 * 256
    assert ACTIVATED.bytes == replace(ACTIVATED, prologue=False).bytes + 8 * 256
    # pooled: a quarter of the pixels is written, and as much computed
    pooled = replace(STEM, pool=True)
    assert STEM.bytes - pooled.bytes == 2 * 32 * 64 * (112 * 112 - 56 * 56)
    assert pooled.flops == STEM.flops
    # all pixels are read, one an image is multiplied
    head = Layer(32, 7, 7, 2048, 1000, (1, 1), relu=False, mean=True)
    assert head.bytes == 2 * (32 * 49 * 2048 + 2048 * 1000 + 32 * 1000) + 4 * 1000
    assert (head.flops, head.rows, head.pointwise) == (2 * 32 * 2048 * 1000, 32, False)


def test_the_key_tells_layers_apart_and_stays() -> None:
    assert STEM.key == "fp16-n32-224x224x3-7x7-s2-p3-k64-relu"
    assert FOLDED.key == "fp16-n32-28x28x128-1x1-s1-p0-k512-and56x56x256s2-relu"
    changes = {
        "n": 3,
        "h": 9,
        "w": 9,
        "c_in": 9,
        "c_out": 9,
        "kernel": (5, 5),
        "stride": 3,
        "padding": 4,
        "residual": True,
        "relu": False,
        "second": (56, 56, 8, 1),
        "prologue": True,
        "dtype": "bf16",
        "pool": True,
        "mean": True,
    }
    assert set(changes) == set(Layer.__dataclass_fields__)
    assert len({MIDDLE.key, *(replace(MIDDLE, **{name: value}).key for name, value in changes.items())}) == 16


def test_columns_are_aligned() -> None:
    assert (columns(3, (7, 7), 0, "fp16").flat, columns(3, (7, 7), 0, "fp16").all) == (True, 152)
    assert (columns(64, (3, 3), 256, "fp16").first, columns(64, (3, 3), 256, "fp16").all) == (576, 832)
    assert columns(37, (1, 1), 5, "fp32").all == 40 + 8


@given(st.sampled_from(["ptr", "tma"]), *(pow2,) * 5, *(st.integers(1, 32),) * 3, st.booleans())
def test_a_configuration_is_its_text(impl, n, h, w, block_n, warps, stages, split_k, group_m, pdl) -> None:
    box = (n, h, w) if impl == "tma" else None
    config = Config(impl, n * h * w, block_n, 64, warps, stages, box, split_k, group_m, pdl)
    assert Config.parse(str(config)) == config


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"impl": "cuda"}, "impl"),
        ({"block_m": 96}, "block_m"),
        ({"stages": 0}, "stages"),
        ({"split_k": 0}, "split_k"),
        ({"box": (1, 8, 8)}, "box"),
        ({"impl": "tma"}, "box"),
        ({"impl": "tma", "box": (1, 8, 4)}, "box"),
        ({"impl": "tma", "box": (1, 32, 2), "block_m": 64, "warps": 3}, "warps"),
    ],
)
def test_a_wrong_configuration_is_named(wrong, named) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        Config(**{"impl": "ptr", "block_m": 64, "block_n": 64, "block_k": 64, "warps": 4, "stages": 3, **wrong})


def test_text_that_is_no_configuration() -> None:
    with pytest.raises(ValueError, match=r"^config: "):
        Config.parse("ptr-64x64")


BULK = Config("tma", 128, 64, 64, 4, 3, (2, 8, 8))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (MIDDLE, None),
        (FOLDED, None),
        (STRIDED, None),
        (STEM, "channels"),
        (ACTIVATED, "prologue"),
        (replace(MIDDLE, dtype="fp32"), "tensor cores"),
        (replace(MIDDLE, dtype="tf32"), None),
        (replace(MIDDLE, c_in=20), "c_in=20"),
        (replace(MIDDLE, c_out=4), "c_out=4"),
        (replace(STRIDED, h=27), "even"),
        (replace(STRIDED, c_in=32), "block_k"),
        (replace(MIDDLE, stride=3), "stride"),
        (replace(FOLDED, second=(55, 56, 256, 2)), "second"),
    ],
)
def test_what_bulk_copies_cannot_do(layer, reason) -> None:
    found = unfit(layer, BULK)
    assert (found is None) if reason is None else reason in found


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.key)
@pytest.mark.parametrize("arch", [80, 86, 89, 90, 100, 120])
def test_the_space_is_ordered_and_fits(layer, arch) -> None:
    machine = machine_of(arch)
    found = space(layer, arch)
    assert 20 < len(found) < 3000
    assert len(set(found)) == len(found)
    assert all(unfit(layer, config) is None for config in found)
    assert all(shared_bytes(layer, config, arch) <= ARCHS[arch].shared for config in found)
    # on sm_90 boxes of a row alone, which cover large images and what is pointwise
    bulk = {90: (MIDDLE, LAST)}.get(arch, [other for other in LAYERS if arch > 90 and other not in (STEM, ACTIVATED)])
    assert any(config.impl == "tma" for config in found) == (layer in bulk)
    assert any(config.pdl for config in found) == (arch >= 90)
    times = [round(predicted_us(layer, config, machine), 1) for config in found]
    assert times == sorted(times)
    chosen = default(layer, arch)
    assert chosen in found
    assert chosen.impl == "ptr"
    assert not doubtful(layer, chosen, arch)
    assert space(layer, arch, limit=3) == found[:3]


@pytest.mark.parametrize("layer", [*LAYERS, Layer(1, 1, 1, 1, 1, (1, 1)), Layer(1, 3, 3, 700, 3, (3, 3), dtype="fp32")])
@pytest.mark.parametrize("arch", [80, 89, 90, 120])
def test_every_layer_has_a_default(layer, arch) -> None:
    assert unfit(layer, default(layer, arch)) is None


def test_no_prediction_beats_the_machine() -> None:
    for layer in LAYERS:
        machine = machine_of(90)
        floor = 1e6 * max(layer.bytes / machine.memory, layer.flops / machine.flops["fp16"])
        assert all(predicted_us(layer, config, machine) > floor for config in space(layer, 90, limit=50))


def test_the_model_splits_the_depth_where_sms_are_idle() -> None:
    assert default(LATE, 90).split_k > 1
    assert default(replace(LATE, n=256), 90).split_k == 1


def test_old_and_unknown_architectures() -> None:
    assert machine_of(87).arch == 86
    assert machine_of(121).arch == 120
    assert machine_of(90, 66).flops["fp16"] * 2 == pytest.approx(machine_of(90).flops["fp16"])
    with pytest.raises(ValueError, match="sm_75"):
        machine_of(75)


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
    assert pixels(LAST) == (1, 1, LAST.rows)
    for layer, block_m in ((MIDDLE, 128), (replace(MIDDLE, h=14, w=14), 128), (replace(MIDDLE, h=7, w=7), 32)):
        config = Config("tma", block_m, 64, 64, 4, 3, boxes(layer, block_m)[0])
        assert row_tiles(layer, config) * block_m == layer.rows


def test_steps_stay_in_a_tap() -> None:
    assert steps(MIDDLE, BULK) == (9, 0)
    assert steps(replace(MIDDLE, c_in=65), BULK) == (18, 0)
    assert steps(FOLDED, BULK) == (2, 4)
    assert steps(STEM, Config("ptr", 64, 64, 32, 4, 3)) == (5, 0)


def entry(**changed: object) -> Entry:
    known = {
        "gpu": "H200", "layer": MIDDLE.key, "config": "ptr-64x64x64-w4-s3-k1-g8", "chosen": "measured", "us": 12.5,
        "when": "2026-11-17T12:00:00+00:00", "triton": "3.6.0",
    }  # fmt: skip
    return Entry(**{**known, **changed})


def test_a_table_is_its_file(tmp_path) -> None:
    path = tmp_path / "table.json"
    Table([entry(), entry(gpu="A100"), entry(layer=STEM.key)]).save(path)
    read = Table.load(path)
    assert list(read) == sorted([entry(), entry(gpu="A100"), entry(layer=STEM.key)], key=lambda e: (e.gpu, e.layer))
    read.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == path.read_text()
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["again.json", "table.json"]
    Table().save(path)
    assert len(Table.load(path)) == 0


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
        Table.load(path)


def test_entries_are_checked(tmp_path) -> None:
    for wrong in ({"chosen": "guessed"}, {"us": "12"}, {"us": True}, {"gpu": 7}, {"layer": ["x"]}, {"when": None}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: "):
            entry(**wrong)
    path = tmp_path / "table.json"
    Table([entry()]).save(path)
    path.write_text(json.dumps(json.loads(path.read_text().replace("ptr-", "abc-"))))
    with pytest.raises(ValueError, match="abc"):
        Table.load(path)


def test_the_installed_table_goes_before_the_model(monkeypatch) -> None:
    monkeypatch.setattr(table, "_installed", Table())
    assert config_for(MIDDLE, "H200", 90, 132) == default(MIDDLE, 90, 132)
    use(Table([entry()]))
    assert str(config_for(MIDDLE, "H200", 90, 132)) == entry().config
    assert config_for(MIDDLE, "another", 90, 132) == default(MIDDLE, 90, 132)


def test_choosing_needs_no_torch() -> None:
    code = (
        "import sys, kernels.table, kernels.space.choose; sys.exit('torch' in sys.modules or 'triton' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
