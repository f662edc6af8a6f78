"""Labelled folders: whose class is which, how a picture is prepared, and what is refused with which cure."""

import json
from pathlib import Path

import numpy as np
import pytest

from resnet.data import picture_files
from resnet.data.labelled import check_headers, check_read, find_labelled

Image = pytest.importorskip("PIL.Image")
SYNSETS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of two pictures, the first wide and the second tall."""
    rng = np.random.default_rng(0)
    for name in SYNSETS:
        (tmp_path / "val" / name).mkdir(parents=True)
        for number, size in enumerate(((60, 90, 3), (70, 41, 3))):
            pixels = rng.integers(0, 256, size, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "val" / name / f"{number}.PNG")
    return tmp_path / "val"


def test_classes_are_the_folders_in_order(folder: Path) -> None:
    (folder / ".hidden").mkdir()
    found = find_labelled(str(folder), 3)
    assert (found.classes, found.order, found.labels) == (3, "folders", (0, 0, 1, 1, 2, 2))
    assert [file.parent.name for file in found.files[::2]] == list(SYNSETS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "n01443537\nn09999999\nn01484850\nn01440764\n"),
        ("LOC_synset_mapping.txt", "n01443537 goldfish\nn09999999 x, y\nn01484850 shark\nn01440764 tench, Tinca\n"),
        (
            "imagenet_class_index.json",
            json.dumps({str(i): [n, "x"] for i, n in enumerate(["n01443537", "n09999999", "n01484850", "n01440764"])}),
        ),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_a_list_beside_the_folders_gives_the_order(folder: Path, name: str, text: str, inside: bool) -> None:
    ((folder if inside else folder.parent) / name).write_text(text)
    found = find_labelled(str(folder), 4)
    assert (found.order, found.classes, found.labels[::2]) == (name, 4, (3, 0, 2))


def test_pictures_are_prepared_as_torchvision_publishes_it(folder: Path) -> None:
    """Its Resize(256) and CenterCrop(224), in proportion: 32 / 0.875 = 36 pixels for the shorter side."""
    found = find_labelled(str(folder))
    wide, tall = list(found.pictures(32))[:2]
    with Image.open(found.files[0]) as picture:  # 90 x 60
        resized = np.asarray(picture.resize((int(36 * 90 / 60), 36), Image.Resampling.BILINEAR))
    assert np.array_equal(wide, resized[2:34, 11:43])
    with Image.open(found.files[1]) as picture:  # 41 x 70
        resized = np.asarray(picture.resize((36, int(36 * 70 / 41)), Image.Resampling.BILINEAR))
    top = round((61 - 32) / 2)
    assert np.array_equal(tall, resized[top : top + 32, 2:34])
    assert next(found.pictures(224)).shape == (224, 224, 3)


def test_some_of_the_pictures_are_the_same_any_time(folder: Path) -> None:
    found = find_labelled(str(folder))
    some = found.chosen(4)
    assert (len(some.files), some) == (4, found.chosen(4))
    assert set(found.chosen(0).files) == set(found.files)
    assert found.chosen(0).files[:4] == some.files
    pairs = dict(zip(found.files, found.labels, strict=True))
    assert all(pairs[file] == label for file, label in zip(some.files, some.labels, strict=True))


def test_the_digest_is_of_bytes_and_labels_and_not_of_names(folder: Path) -> None:
    before = find_labelled(str(folder)).digest()
    (folder / SYNSETS[0] / "0.PNG").rename(folder / SYNSETS[0] / "0a.PNG")
    assert find_labelled(str(folder)).digest() == before
    (folder / SYNSETS[0] / "0a.PNG").rename(folder / SYNSETS[1] / "0a.PNG")
    assert find_labelled(str(folder)).digest() != before


def test_an_unreadable_picture_is_told_and_too_many_are_refused(folder: Path) -> None:
    (folder / SYNSETS[1] / "0.PNG").write_bytes(b"no picture")
    pictures = list(find_labelled(str(folder)).pictures(32))
    assert [place for place, picture in enumerate(pictures) if isinstance(picture, ValueError)] == [2]
    assert f"{SYNSETS[1]}/0.PNG cannot be read" in str(pictures[2])
    check_read(["a"], 100)
    with pytest.raises(ValueError, match="5 of 100 pictures cannot be read, more than 1%: a; b; c; and 2 more; mend"):
        check_read("abcde", 100)


def test_headers_and_ends_show_damage_without_decoding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg, png = folder / SYNSETS[0] / "0.jpg", folder / SYNSETS[2] / "1.PNG"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(jpeg)
    found, whole, sums = find_labelled(str(folder)), jpeg.read_bytes(), png.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(picture_files, "_as_rgb", None)  # which decodes
        check_headers(found)
    jpeg.write_bytes(whole + b"x" * 99)  # which is no damage
    check_headers(found)
    jpeg.write_bytes(whole[:-300])
    png.write_bytes(sums[:2000] + b"\0\0\0" + sums[2003:])
    (folder / SYNSETS[1] / "0.PNG").write_bytes(b"")
    names = "0.jpg", "0.PNG", "1.PNG"
    said = "; ".join(f"{place}/{name} cannot .*" for place, name in zip(SYNSETS, names, strict=True))
    with pytest.raises(ValueError, match=f"^3 of 7 .*: {said}; mend or remove them$"):
        check_headers(found)


def test_numbers_are_no_order(folder: Path) -> None:
    for number, name in enumerate(SYNSETS, 8):
        (folder / name).rename(folder / str(number))
    with pytest.raises(ValueError, match=r"numbers, of another order as words \(10, 8, 9\): list them"):
        find_labelled(str(folder))
    (folder / "classes.txt").write_text("8\n9\n10\n")
    assert find_labelled(str(folder)).labels[:2] == (2, 2)


def test_a_folder_that_is_not_one_of_classes_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    def refused(word: Path, classes: int = 0) -> str:
        with pytest.raises(ValueError) as caught:
            find_labelled(str(word), classes)
        return str(caught.value)

    assert refused(tmp_path / "none") == "no folder is there"
    assert "name the one with the classes" in refused(folder.parent)
    assert "no folder for each class" in refused(folder / SYNSETS[0])
    assert "it has folders of 3 classes, and the model has 1000" in refused(folder, 1000)
    assert "classes.txt" in refused(folder, 1000)
    (folder / "classes.txt").write_text("n01440764\nn01443537\n")
    assert "classes.txt has no class n01484850" in refused(folder)
    (folder / "classes.txt").write_text("\n".join([*SYNSETS, SYNSETS[0]]))
    assert "classes.txt has a class twice" in refused(folder)
    (folder / "classes.txt").write_text("\n".join([*SYNSETS, "n02"]))
    assert "classes.txt has 4 classes, and the model has 3" in refused(folder, 3)
    (folder / "classes.txt").rename(folder / "imagenet_class_index.json")
    assert "imagenet_class_index.json is no list of classes" in refused(folder)
    (folder / "imagenet_class_index.json").unlink()
    (folder / "n00").mkdir()
    assert ".webp) is in n00: remove such" in refused(folder)


def test_without_pillow_it_says_which_package_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet.data.picture_files.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install pillow"):
        find_labelled(str(folder))
