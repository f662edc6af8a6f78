"""The digits of scikit-learn as a problem with labels: 1797 handwritten digits of 8 x 8, enlarged, moved and turned.

The hard form has fewer digits to learn from, noise, and scraps of other digits around; and its pictures are exposed as
differently as photographs by day and by night, but not normalised, since those are what 8 bits are short of: the
darkest spans a few of the input's 256 values. Plain digits cannot tell precisions apart.

A digit serves one part alone: what the networks learn from, what calibrates, or what they are judged on. A picture is
drawn from its number, so that picture `i` of a seed is the same in any batch. The parent looks for the file: no NumPy
before a digit is drawn.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PLAIN, HARD = "digits", "digits-hard"
CURE = "the digits need scikit-learn: pip install scikit-learn"
RECIPE = 1  # raise it where the drawing below changes
SIDE, GREYS = 8, 16.0
# Digits of each part, of a fixed order of them all; the hard form learns from fewer.
JUDGED, CALIBRATING, LEARNT, LEARNT_HARD = 700, 97, 1000, 500


@dataclass(frozen=True)
class Form:
    """The strength of what is done to a digit: turns in radians, moves in halves of a picture, scraps, noise."""

    learnt: int
    size: tuple[float, float]
    turn: float
    move: float
    slant: float = 0.0
    scraps: int = 0
    noise: float = 0.0
    darkest: float = 1.0


FORMS = {
    PLAIN: Form(LEARNT, (0.75, 0.95), 0.15, 0.12),
    HARD: Form(LEARNT_HARD, (0.65, 0.9), 0.3, 0.2, 0.2, scraps=2, noise=0.15, darkest=1 / 256),
}


def digits_file() -> Path | None:
    """Return the file with the digits inside the package, which is not imported; None where it is not there."""
    spec = find_spec("sklearn")
    for root in spec.submodule_search_locations or () if spec else ():
        file = Path(root) / "datasets/data/digits.csv.gz"
        if file.is_file():
            return file
    return None


def draw_digit(kind: str, image: int, seed: int, index: int, part: str) -> tuple[np.ndarray, int]:
    """Return picture `index` of a part (judged, calibrating, learnt) as float32 [1, image, image], and its class.

    `kind` is a key of FORMS. Raises ValueError where the package is not there.
    """
    import numpy as np

    form, (glyphs, classes) = FORMS[kind], _part(part, FORMS[kind].learnt)
    rng, place = np.random.default_rng([seed, index]), index % len(glyphs)
    size, turn, right, down, slant, dark = rng.uniform(-1, 1, 6).tolist()
    least, most = form.size
    shift = form.move * right, form.move * down
    scale = least + (most - least) * (size + 1) / 2
    picture = _enlarged(glyphs[place], image, form.turn * turn, scale, shift, form.slant * slant)
    for _ in range(form.scraps):
        scrap = glyphs[rng.integers(len(glyphs))]
        turn, where = (math.pi * rng.uniform(-1, 1, 2)).tolist()
        around = 0.9 * math.cos(where), 0.9 * math.sin(where)
        picture = np.maximum(picture, _enlarged(scrap, image, turn, 0.35, around))
    if form.noise:
        picture += form.noise * rng.standard_normal((image, image))
    exposed = picture * (2 * form.darkest ** ((1 - dark) / 2))
    return exposed[None].astype(np.float32), int(classes[place])


def classes_of(kind: str, first: int, count: int) -> list[int] | None:
    """Return the classes of judged pictures `first` and on; None of a kind of source that is not of digits."""
    if kind not in FORMS:
        return None
    _, classes = _part("judged", FORMS[kind].learnt)
    return [int(classes[(first + row) % len(classes)]) for row in range(count)]


@cache
def _part(part: str, learnt: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a part's digits [N, 8, 8] in 0..1, and their classes [N]."""
    import numpy as np

    file = digits_file()
    if file is None:
        raise ValueError(CURE)
    with gzip.open(file, "rt") as text:
        rows = np.loadtxt(text, delimiter=",", dtype=np.float64)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    parts = {"judged": (0, JUDGED), "calibrating": (JUDGED, CALIBRATING), "learnt": (JUDGED + CALIBRATING, learnt)}
    first, count = parts[part]
    rows = rows[first : first + count]
    return rows[:, :-1].reshape(-1, SIDE, SIDE) / GREYS, rows[:, -1].astype(np.int64)


def _enlarged(
    glyph: np.ndarray, image: int, turn: float, scale: float, shift: tuple[float, float], slant: float = 0.0
) -> np.ndarray:
    """Return a digit enlarged to [image, image], turned by radians, scaled, and moved by halves of a picture."""
    import numpy as np

    cosine, sine = math.cos(turn) / scale, math.sin(turn) / scale
    axis = (np.arange(image) + 0.5) / image * 2 - 1
    right, down = axis[None, :] - shift[0], axis[:, None] - shift[1]
    padded = np.pad(glyph, (1, 2))  # dark all around
    x = np.clip((cosine * right + (sine + slant) * down + 1) * SIDE / 2 - 0.5, -1, SIDE) + 1
    y = np.clip((cosine * down - sine * right + 1) * SIDE / 2 - 0.5, -1, SIDE) + 1
    column, row = x.astype(int), y.astype(int)
    over, below = x - column, y - row
    upper = padded[row, column] * (1 - over) + padded[row, column + 1] * over
    lower = padded[row + 1, column] * (1 - over) + padded[row + 1, column + 1] * over
    enlarged: np.ndarray = upper * (1 - below) + lower * below
    return enlarged
