"""A case: one point of a sweep. Its name is its key in files, tables and filters."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from bench.errors import CaseError
from bench.text import did_you_mean
from resnet.names import canonical_model, is_outside
from resnet.variants import LAUNCHES, PRECISIONS, VARIANTS, canonical_variant
from resnet.variants.outside import installed_variants

FORM = "MODEL/VARIANT/PRECISION/bBATCH/iIMAGE/LAUNCH, as in resnet50/compile-max/fp16/b32/i224/graph; bmax: what fits"
_NAME = re.compile(r"([^/]*)/([^/]*)/([^/]*)/b(\d{1,10}|max)/i(\d{1,10})/([^/]*)", re.ASCII)
# The batch of a case that searches for the largest batch that fits: `max` in a plan, `bmax` in a name.
MAX = 0
MOST = (1 << 31) - 1  # images of a batch, pixels a side: more fit into no memory, and not into every reader


@dataclass(frozen=True, order=True)
class Case:
    """A model, variant, precision, batch (images, or MAX), image size (pixels a side) and launch."""

    model: str
    variant: str
    precision: str
    batch: int
    image: int
    launch: str

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "model", canonical_model(self.model))
            object.__setattr__(self, "variant", canonical_variant(self.variant))  # old records have old names
            if self.variant not in VARIANTS and not is_outside(self.variant):
                _check_word("variant", self.variant, [*VARIANTS, *installed_variants()])
        except ValueError as error:
            raise CaseError(str(error)) from None
        _check_word("precision", self.precision, PRECISIONS)
        _check_word("launch", self.launch, LAUNCHES)
        if not self.largest:
            check_batch(self.batch)
        for axis in ("batch", "image"):
            if getattr(self, axis) > MOST:
                raise CaseError(f"{axis} is over {MOST:,}")
        if self.image < (1 if is_outside(self.model) else 32):
            raise CaseError(
                f"image {self.image} is under 32 pixels, the least a ResNet's five halvings leave a pixel of"
            )

    @property
    def name(self) -> str:
        batch = "max" if self.largest else self.batch
        return f"{self.model}/{self.variant}/{self.precision}/b{batch}/i{self.image}/{self.launch}"

    @property
    def largest(self) -> bool:
        """True for a case that searches for the largest batch that fits, and times nothing."""
        return self.batch == MAX

    @classmethod
    def parse(cls, name: str) -> Case:
        """Return the case of a name. Raises CaseError."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise CaseError(f"{name!r} is not a case: {FORM}")
        model, variant, precision, batch, image, launch = match.groups()
        return cls(model, variant, precision, MAX if batch == "max" else check_batch(int(batch)), int(image), launch)


def check_batch(batch: int) -> int:
    """Return `batch` if it is a number of images. Raises CaseError."""
    if batch < 1:
        raise CaseError(f"batch {batch} is not a positive number of images")
    return batch


def _check_word(axis: str, word: str, words: Collection[str]) -> None:
    if word not in words:
        raise CaseError(f"unknown {axis} {word!r}{did_you_mean(str(word), words)}; allowed: {', '.join(words)}")
