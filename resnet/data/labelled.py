"""A folder of pictures with labels, as ImageNet's validation set lies on disk: a folder a class.

The classes are the folders' names in order, which for ImageNet's synsets (`n01440764`) is the order that torchvision's
and timm's weights have. A list beside the folders says another order, or of which classes these are a part.

A picture is prepared as torchvision publishes it: its shorter side becomes 256 for pictures of 224 (`RATIO` for other
sizes), bilinear with antialiasing, and the middle is cut out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet.data.picture_files import SUFFIXES, read_picture, require_pillow

if TYPE_CHECKING:
    import numpy as np

RATIO = 224 / 256  # of a picture's side that stays of the shorter one
RECIPE = 1  # raise it where a file gives other pixels than before
# Lists of classes, in the order of the logits, in the folder or the one around it.
LISTS = ("imagenet_class_index.json", "LOC_synset_mapping.txt", "synset_words.txt", "synsets.txt", "classes.txt")
UNREAD_SHARE = 0.01  # of the pictures; where more cannot be read, the rest is another data set
SHOWN = 3  # names in an error


@dataclass(frozen=True)
class Labelled:
    """Pictures with labels: each the index of its class among the `classes` of the model."""

    folder: Path
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: int
    order: str  # where the order of the classes is from

    def chosen(self, count: int) -> Labelled:
        """Return so many of them, the same at any time and of all classes alike, or with 0 all, in a fixed order."""
        places = sorted(range(len(self.files)), key=lambda place: hashlib.sha256(str(place).encode()).digest())
        places = places[: count or len(places)]
        files, labels = zip(*((self.files[place], self.labels[place]) for place in places), strict=True)
        return Labelled(self.folder, files, labels, self.classes, self.order)

    def digest(self) -> str:
        """Return a digest of the files' bytes and their labels, without their names."""
        with ThreadPoolExecutor() as pool:
            digests = pool.map(lambda file: hashlib.sha256(file.read_bytes()).digest(), self.files)
            total = hashlib.sha256(f"{RECIPE} {self.classes}".encode())
            for label, digest in zip(self.labels, digests, strict=True):
                total.update(f"{label} ".encode() + digest)
        return total.hexdigest()[:16]

    def pictures(self, image: int) -> Iterator[Any]:
        """Yield each picture as uint8 [image, image, 3], or the ValueError of one that cannot be read; in threads."""
        with ThreadPoolExecutor() as pool:
            ahead = 8 * (os.cpu_count() or 1)
            for first in range(0, len(self.files), ahead):
                yield from pool.map(lambda file: _prepared(file, image), self.files[first : first + ahead])


def find_labelled(word: str, classes: int = 0) -> Labelled:
    """Return the pictures of a folder with a folder for each class; `classes` are those of the model, 0 for any.

    Raises ValueError, with the cure, where the labels cannot be those of the model.
    """
    folder = Path(os.path.expanduser(word))
    if not folder.is_dir():
        raise ValueError("no folder is there")
    require_pillow()
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    pictures = {name: _pictures(folder / name) for name in names}
    if not names:
        raise ValueError("it has no folder for each class: put each picture into one that is named after its class")
    if inner := [name for name in names if not pictures[name] and any((folder / name).glob("*/"))]:
        raise ValueError(f"its folder {inner[0]} has folders itself: name the one with the classes, {word}/{inner[0]}")
    if empty := [name for name in names if not pictures[name]]:
        raise ValueError(f"no picture ({', '.join(SUFFIXES)}) is in {_some(empty)}: remove such a class, or fill it")
    classes_in_order, order = _classes(folder, names)
    if classes and len(classes_in_order) != classes:
        more = "" if order != "folders" else f"; for a part of the classes put a list of all beside: {LISTS[-1]}"
        where = "it has folders of" if order == "folders" else f"{order} has"
        raise ValueError(f"{where} {len(classes_in_order)} classes, and the model has {classes}{more}")
    place = {name: index for index, name in enumerate(classes_in_order)}
    pairs = [(file, place[name]) for name in names for file in pictures[name]]
    files, labels = zip(*pairs, strict=True)
    return Labelled(folder, files, labels, len(classes_in_order), order)


def check_read(unread: Collection[str], of: int) -> None:
    """Raise ValueError where too many of so many pictures could not be read; `unread` says why of each."""
    if len(unread) > UNREAD_SHARE * of:
        more = f"; and {len(unread) - SHOWN} more" if len(unread) > SHOWN else ""
        count, shown = f"{len(unread)} of {of} pictures", "; ".join(sorted(unread)[:SHOWN])
        raise ValueError(f"{count} cannot be read, more than {UNREAD_SHARE:.0%}: {shown}{more}; mend or remove them")


def check_headers(labelled: Labelled) -> None:
    """Raise ValueError where the headers or ends of too many pictures are damaged; no whole file is decoded."""
    with ThreadPoolExecutor() as pool:
        read = pool.map(lambda file: _read(file, header=True), labelled.files)
        check_read([str(error) for error in read if isinstance(error, ValueError)], len(labelled.files))


def _pictures(folder: Path) -> list[Path]:
    files = (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    return sorted(file for file in files if not file.name.startswith("."))


def _classes(folder: Path, names: list[str]) -> tuple[list[str], str]:
    """Return the names of all classes in order, and the name of the list that has them, or `folders`."""
    for parent in (folder, folder.parent):
        for name in LISTS:
            if (file := parent / name).is_file():
                listed = _listed(file)
                if strange := [name for name in names if name not in listed]:
                    cure = "its lines begin with the names of the folders"
                    raise ValueError(f"{file.name} has no class {_some(strange)}: {cure}")
                return listed, file.name
    if all(map(str.isdecimal, names)) and names != sorted(names, key=int):
        few = ", ".join(names[:SHOWN])
        raise ValueError(f"its folders are numbers, of another order as words ({few}): list them in {LISTS[-1]}")
    return names, "folders"


def _listed(file: Path) -> list[str]:
    """Return the classes of a list: JSON of index to [synset, word], or a line each, up to the first space or comma."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".json":
            rows = json.loads(text)
            listed = [rows[str(index)][0] for index in range(len(rows))]
        else:
            listed = [line.replace(",", " ").split()[0] for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{file.name} is no list of classes ({type(error).__name__})") from None
    if len(set(listed)) < len(listed):
        raise ValueError(f"{file.name} has a class twice")
    return listed


def _some(names: Iterable[str]) -> str:
    named = sorted(names)
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return ", ".join(name.encode(errors="replace").decode() for name in named[:SHOWN]) + more


def _read(file: Path, header: bool = False) -> Any:
    """Return a picture, or the ValueError that says why it cannot be read, with the folder before the file."""
    try:
        return read_picture(file, header)
    except ValueError as error:
        return ValueError(f"{file.parent.name}/{error}")


def _prepared(file: Path, image: int) -> np.ndarray | ValueError:
    """Return a picture as torchvision's published preprocessing makes it, or why it cannot be read."""
    import numpy as np
    from PIL import Image

    picture = _read(file)
    if isinstance(picture, ValueError):
        return picture
    short, long = sorted(picture.size)
    side = int(image / RATIO)
    other = int(side * long / short)
    size = (side, other) if picture.width <= picture.height else (other, side)
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((length - image) / 2) for length in size)
    return np.asarray(picture.crop((left, top, left + image, top + image)))
