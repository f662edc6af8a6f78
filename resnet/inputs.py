"""Input batches: photographs, noise, the pictures of a folder, or digits for the networks that read them.

Power, and so clocks, depend on the data a kernel multiplies, and an agreement check on noise says little: the default
input is random crops of the photographs that ship inside scikit-learn and scikit-image. Picture `i` of a seed is the
same whatever the batch size, and no two pictures of a seed are equal.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnet.calibration import FIRST_PICTURE
from resnet.data import digits
from resnet.data.picture_files import RECIPE, files_in, read_picture
from resnet.names import task_of

# the standard ImageNet normalisation, per channel of an RGB picture in 0..1
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# The colour photographs inside the wheels (others of their pictures are drawings, masks or grey).
SHIPPED = {
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "skimage": tuple(
        f"data/{name}"
        for name in (
            "astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png",
            "retina.jpg", "rocket.jpg",
        )
    ),
}  # fmt: skip
CURE = "pip install scikit-learn scikit-image pillow"
# The first picture of a seed that a network learns from; those before, from FIRST_PICTURE on, calibrate.
FIRST_LEARNT = 1 << 21

# Share of a photograph's area in one crop, and its aspect: torchvision's RandomResizedCrop.
AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Source:
    """A source of pictures: `kind` is photos, noise, folder, or a key of `resnet.data.digits.FORMS`.

    `note` says why noise stands in for photos, or what was passed over.
    """

    kind: str
    files: tuple[Path, ...] = ()
    note: str = ""

    def description(self) -> dict[str, Any]:
        """Return the source as records have it: no paths, but a digest of the files' bytes."""
        if self.kind == "noise":
            return {"source": "noise", "note": self.note}
        digest = hashlib.sha256(b"".join(hashlib.sha256(f.read_bytes()).digest() for f in self.files)).hexdigest()
        recipes = {"folder": RECIPE} | dict.fromkeys(digits.FORMS, digits.RECIPE)
        read = {"recipe": recipes[self.kind]} if self.kind in recipes else {}
        return {"source": self.kind, "files": len(self.files), "digest": digest[:16], "note": self.note, **read}


def find_source(name: str = "photos") -> Source:
    """Return the source that `name` (photos, noise, digits, digits-hard, or a folder's path) means on this machine.

    Photographs whose packages are missing become noise, and the note says so. A folder without a readable picture is
    a ValueError, and so are digits whose package is missing.
    """
    if name == "noise":
        return Source("noise")
    if name in digits.FORMS and not Path(name).is_dir():
        if file := digits.digits_file():
            return Source(name, (file,))
        raise ValueError(digits.CURE)
    if name != "photos":
        return Source("folder", *files_in(name))
    if find_spec("PIL") is None:
        return Source("noise", note=f"photographs need Pillow: {CURE}")
    files = tuple(path for package, names in SHIPPED.items() for path in _inside(package, names))
    if not files:
        return Source("noise", note=f"no package with photographs is installed: {CURE}")
    return Source("photos", files)


def source_for(model: str, word: str) -> Source:
    """Return the source that `word` means for a model: in place of photographs, a network of digits reads digits."""
    return find_source((task_of(model) or word) if word == "photos" else word)


def _inside(package: str, names: tuple[str, ...]) -> list[Path]:
    spec = find_spec(package)  # which does not import the package
    if spec is None or not spec.submodule_search_locations:
        return []
    root = Path(spec.submodule_search_locations[0])
    return [root / name for name in names if (root / name).is_file()]


def pictures(
    count: int, image: int = 224, *, seed: int = 0, source: Source | str = "photos", first: int = 0
) -> torch.Tensor:
    """Return pictures `first` to `first + count` of a seed, normalised: float32 [count, 3, image, image] on the CPU.

    Digits have one channel. Which of them are drawn depends on `first`: those before FIRST_PICTURE are judged on alone,
    and calibrate nothing; those from FIRST_LEARNT on are learnt from.
    """
    if isinstance(source, str):
        source = find_source(source)
    if source.kind in digits.FORMS:
        part = "judged" if first < FIRST_PICTURE else "calibrating" if first < FIRST_LEARNT else "learnt"
        drawn = [digits.draw_digit(source.kind, image, seed, index, part)[0] for index in range(first, first + count)]
        return torch.from_numpy(np.stack(drawn))
    batch = np.empty((count, 3, image, image), dtype=np.float32)
    for row, index in enumerate(range(first, first + count)):
        rng = np.random.default_rng([seed, index])
        noise = source.kind == "noise"
        batch[row] = (
            rng.standard_normal((3, image, image), np.float32) if noise else _crop(rng, source.files, index, image)
        )
    return torch.from_numpy(batch)


_photo = lru_cache(maxsize=32)(read_picture)  # a folder may hold thousands


def _crop(rng: np.random.Generator, files: tuple[Path, ...], index: int, image: int) -> np.ndarray:
    """Return a random crop of photograph `index`, modulo their number, scaled to [3, image, image]."""
    from PIL import Image

    photo = _photo(files[index % len(files)])
    width, height = photo.size
    area = rng.uniform(*AREA) * width * height
    aspect = np.exp(rng.uniform(*np.log(ASPECT)))
    w, h = min(width, np.sqrt(area * aspect)), min(height, np.sqrt(area / aspect))
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    cut = photo.resize((image, image), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))
    pixels = np.asarray(cut, dtype=np.float32) / 255
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    normal = (pixels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def as_channels(batch: torch.Tensor, channels: int) -> torch.Tensor:
    """Turn pictures [N, C, H, W] into `channels` channels: the mean for one, their own in turn for others."""
    if channels == batch.shape[1]:
        return batch
    if channels == 1:
        return batch.mean(1, keepdim=True)
    return batch[:, [c % batch.shape[1] for c in range(channels)]]
