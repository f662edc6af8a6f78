import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnet
from resnet.data.picture_files import files_in, judge_files, read_picture
from resnet.inputs import find_source

Image = pytest.importorskip("PIL.Image")

GREY = np.add.outer(np.linspace(0, 120, 30), np.linspace(0, 120, 40)).round().astype(np.uint8)
RGB = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(read_picture(path), dtype=int)


def grey16(order: str) -> Any:
    return Image.frombytes(f"I;16{order}", (40, 30), (GREY.astype(f"{'>' if order else '<'}u2") * 257).tobytes())


@pytest.mark.parametrize(
    ("picture", "format"),
    [(grey16(""), "png"), (grey16("B"), "tiff"), (Image.fromarray(GREY), "png"), (Image.fromarray(GREY), "bmp")],
    ids=["16 bits", "16 bits, big-endian", "8 bits", "8 bits of a palette"],
)
def test_grey_is_read_whatever_its_bits(picture: Any, format: str, tmp_path: Path) -> None:
    picture.save(tmp_path / "a.png", format)
    assert np.array_equal(pixels(tmp_path / "a.png"), np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "P", "1", "LA", "PA", "RGBA"])
def test_a_picture_of_any_mode_is_read_as_pillow_shows_it(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(RGB).convert("LA" if mode == "PA" else mode).convert(mode)
    file = tmp_path / "a.png"
    picture.save(file, "tiff" if mode in ("CMYK", "PA") else "png")
    assert np.array_equal(pixels(file), np.asarray(picture.convert("RGB")))


def test_what_is_transparent_is_white_whatever_is_below_it(tmp_path: Path) -> None:
    alpha = np.full((30, 40, 1), 255, np.uint8)
    alpha[:, :20] = 0
    Image.fromarray(np.concatenate([RGB, alpha], axis=2)).save(tmp_path / "a.png")
    found = pixels(tmp_path / "a.png")
    assert (found[:, :20] == 255).all()
    assert np.array_equal(found[:, 20:], RGB[:, 20:])
    palette = Image.fromarray(RGB).quantize(4)
    palette.save(tmp_path / "b.png", transparency=0)
    assert (pixels(tmp_path / "b.png")[np.asarray(palette) == 0] == 255).all()


def test_the_first_frame_of_several_counts_and_pixels_stay_where_they_are_stored(tmp_path: Path) -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(pixels(tmp_path / "a.webp"), RGB)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter, for viewers
    frames[0].save(tmp_path / "b.png", exif=exif)
    assert np.array_equal(pixels(tmp_path / "b.png"), RGB)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)).save(buffer, "jpeg")
    return buffer.getvalue()


def as_tiff(picture: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "tiff")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason", "header"),
    [
        (lambda: b"no jpeg", "cannot identify image file$", True),
        (lambda: b"", "cannot identify image file$", True),
        (lambda: as_tiff(Image.new("F", (8, 8))), r"the range of its values \(F\) is not known", True),
        (lambda: as_tiff(Image.new("I", (8, 8))), r"the range of its values \(I\) is not known", True),
        (lambda: jpeg()[:5000], "truncated", False),
    ],
    ids=["text", "empty", "floats", "32 bits", "cut"],
)
def test_a_file_that_cannot_be_read_is_named(
    content: Callable[[], bytes], reason: str, header: bool, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(content())
    words = rf"^a\.png cannot be read as a picture: .*{reason}"
    with pytest.raises(ValueError, match=words):
        resnet.pictures(1, 32, source=str(tmp_path))
    if header:
        with pytest.raises(ValueError, match=words):
            judge_files(str(tmp_path))


def test_a_huge_picture_is_read_and_one_past_all_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # a warning from there, an error from twice as many
    with warnings.catch_warnings(action="ignore"):
        assert np.array_equal(pixels(tmp_path / "a.png"), RGB)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
        with pytest.raises(ValueError, match=r"a\.png cannot be read as a picture: Image size \(1200 pixels\) exceeds"):
            judge_files(str(tmp_path))


def test_files_of_systems_are_passed_over_and_told_once(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.JPG")
    for name in (
        "._a.JPG",
        "Thumbs.db",
        ".DS_Store",
        "desktop.ini",
        "notes.txt",
        ".thumbnails/a.png",
        "__MACOSX/._b.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    files, passed_over = files_in(str(tmp_path))
    assert [file.name for file in files] == ["a.JPG"]
    assert passed_over == judge_files(str(tmp_path)) == "passed over ._a.JPG and 2 more, hidden and so no pictures"
    assert find_source(str(tmp_path)).description()["note"] == passed_over
    (tmp_path / "a.JPG").unlink()
    with pytest.raises(ValueError, match="the folder holds no picture"):
        files_in(str(tmp_path))
