"""A case: one point of a sweep. Its name is its key everywhere: file, table row, filter."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import CaseError
from resnet.archs import Spec
from resnet.variants import LAUNCHES, PRECISIONS, RENAMED, VARIANTS

FORM = "MODEL/VARIANT/PRECISION/bBATCH/iIMAGE/LAUNCH, as in resnet50/compile-max/fp16/b32/i224/graph; bmax: what fits"
# The batch of a case that asks for the largest batch that fits: `max` in a plan, `bmax` in a name, no number in either.
MAX = 0


@dataclass(frozen=True, order=True)
class Case:
    """What runs: model, variant, precision, batch (images, or MAX), image (pixels a side) and launch."""

    model: str
    variant: str
    precision: str
    batch: int
    image: int
    launch: str

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "model", Spec.parse(self.model).name)
        except ValueError as error:
            raise CaseError(str(error)) from None
        object.__setattr__(self, "variant", RENAMED.get(self.variant, self.variant))  # records may have an old name
        _among("variant", self.variant, VARIANTS)
        _among("precision", self.precision, PRECISIONS)
        _among("launch", self.launch, LAUNCHES)
        if not self.largest:
            positive(self.batch)
        if self.image < 32:
            raise CaseError(
                f"image {self.image} is under 32 pixels, the least a ResNet's five halvings leave a pixel of"
            )

    @property
    def name(self) -> str:
        batch = "max" if self.largest else self.batch
        return f"{self.model}/{self.variant}/{self.precision}/b{batch}/i{self.image}/{self.launch}"

    @property
    def largest(self) -> bool:
        """Whether it asks for the largest batch that fits; then nothing is timed."""
        return self.batch == MAX

    @classmethod
    def parse(cls, name: str) -> Case:
        """The case of a name. Raises CaseError."""
        parts = name.split("/")
        largest = parts[3:4] == ["bmax"]
        if len(parts) != 6 or not (largest or _counts(parts[3], "b")) or not _counts(parts[4], "i"):
            raise CaseError(f"{name!r} is not a case: {FORM}")
        batch = MAX if largest else positive(int(parts[3][1:]))
        return cls(parts[0], parts[1], parts[2], batch, int(parts[4][1:]), parts[5])


def positive(batch: int) -> int:
    """`batch`, if it is a number of images. Raises CaseError."""
    if batch < 1:
        raise CaseError(f"batch {batch} is not a positive number of images")
    return batch


def _counts(part: str, letter: str) -> bool:
    return part.startswith(letter) and part[1:].isascii() and part[1:].isdigit()


def _among(axis: str, word: str, allowed: object) -> None:
    from difflib import get_close_matches

    words = list(allowed)  # type: ignore[call-overload]
    if word not in words:
        near = get_close_matches(str(word), words, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise CaseError(f"unknown {axis} {word!r}{hint}; allowed: {', '.join(words)}")
