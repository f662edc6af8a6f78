from pathlib import Path

import numpy as np
import pytest
import torch

import resnet
from resnet.inputs import MEAN, STD, Source, find_source

photographs = pytest.mark.skipif(find_source().kind != "photos", reason=find_source().note)


@pytest.mark.parametrize("source", [pytest.param("photos", marks=photographs), "noise"])
def test_a_picture_is_the_same_whatever_the_batch(source: str) -> None:
    eight = resnet.pictures(8, 64, seed=3, source=source)
    assert eight.shape == (8, 3, 64, 64)
    assert eight.dtype == torch.float32
    assert torch.equal(resnet.pictures(2, 64, seed=3, source=source, first=5), eight[5:7])
    assert not torch.equal(resnet.pictures(8, 64, seed=4, source=source), eight)


@photographs
def test_every_picture_of_a_large_batch_differs() -> None:
    batch = resnet.pictures(64, 32).flatten(1)
    assert torch.cdist(batch, batch).fill_diagonal_(1e9).min() > 1


@photographs
def test_photographs_are_normalised_as_imagenets() -> None:
    batch = resnet.pictures(32, 64)
    lowest = [(0 - m) / s for m, s in zip(MEAN, STD, strict=True)]
    highest = [(1 - m) / s for m, s in zip(MEAN, STD, strict=True)]
    for channel in range(3):
        values = batch[:, channel]
        assert lowest[channel] - 1e-4 <= values.min()
        assert values.max() <= highest[channel] + 1e-4
        assert values.std() > 0.5


def test_missing_packages_make_noise_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet.inputs.find_spec", lambda name: None)
    source = find_source("photos")
    assert source.kind == "noise"
    assert "pip install" in source.note
    assert source.description()["source"] == "noise"


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 255, (40 + k, 60, 3), dtype=np.uint8)
        image.fromarray(pixels).save(tmp_path / f"{k}.png")
    image.new("L", (50, 50), 128).save(tmp_path / "grey.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    source = find_source(str(tmp_path))
    assert (source.kind, len(source.files)) == ("folder", 4)
    assert resnet.pictures(8, 32, source=source).shape == (8, 3, 32, 32)
    assert str(tmp_path) not in str(source.description())


def test_folders_that_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither photos, noise, nor a folder"):
        find_source(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="holds no picture"):
        find_source(str(tmp_path))
    (tmp_path / "broken.jpg").write_bytes(b"no jpeg")
    with pytest.raises(ValueError, match=r"broken\.jpg cannot be read"):
        resnet.pictures(1, 32, source=str(tmp_path))


def test_a_digest_follows_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    first = Source("folder", (tmp_path / "a.png",)).description()
    (tmp_path / "a.png").write_bytes(b"2")
    assert Source("folder", (tmp_path / "a.png",)).description()["digest"] != first["digest"]
