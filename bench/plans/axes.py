"""The axes of a case in a user's words: values, globs over the usual values, and a run of segments of a case's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import combinations, product
from math import prod
from typing import Any

from bench.errors import ArgumentError, CaseError
from bench.plans.case import MAX, Case, check_batch
from bench.plans.plan import AXES, MOST_CASES, SLOWEST_FIRST
from bench.text import did_you_mean
from resnet.archs import ARCHS
from resnet.names import canonical_model, is_outside, usual_image
from resnet.variants import DEVICES, LAUNCHES, PRECISIONS, VARIANTS, find_variant, refusal

# What a glob of an axis chooses from, where no plan has values for it
USUAL: Mapping[str, tuple[Any, ...]] = {
    "model": tuple(f"resnet{depth}" for depth in ARCHS),
    "variant": tuple(VARIANTS),
    "precision": PRECISIONS,
    "batch": (1, 8, 32, 128),
    "image": (224,),
    "launch": LAUNCHES,
}
# An axis that the user leaves open has this; the precision depends on the device that the case is for, and the image on
# its model
OPEN = {"model": "resnet50", "variant": "*", "batch": "1", "image": "224", "launch": "stream"}
OPEN_PRECISION = {"cpu": "fp32", "cuda": "fp16"}
_GLOB = re.compile(r"[*?\[]")
_ANY = Case("resnet50", "eager", "fp32", 1, 224, "stream")
# The letter before the number of a segment of a case's name
_LETTERS = {"batch": "b", "image": "i"}
DIGITS = 10  # of a batch or an image size

Words = Mapping[str, Sequence[str]]  # by axis


def is_glob(word: str) -> bool:
    return _GLOB.search(word) is not None


def split_words(words: Iterable[object]) -> list[str]:
    """Return the words of an axis, separated by commas, each once.

    A comma before an argument of a model (`torchvision:vit_b_16@dropout=0.0,num_classes=10`) separates none.
    """
    split: list[str] = []
    for piece in (piece.strip() for word in words for piece in str(word).split(",")):
        if split and "@" in split[-1] and re.match(r"[\w.]+=", piece):
            split[-1] += f",{piece}"
        elif piece:
            split.append(piece)
    return list(dict.fromkeys(split))


def axis_values(axis: str, word: str, among: Iterable[Any]) -> list[Any]:
    """Return the values of an axis that a word names: one, or those `among` that a glob matches.

    A batch or image may have the letter that it has in a case's name: `b8`. Raises ArgumentError for a word that names
    none, CaseError for a value that no case can have.
    """
    among = list(among)
    if is_glob(word):
        values = [value for value in among if any(fnmatchcase(text, word) for text in _texts(axis, value))]
        if not values:
            words = ", ".join(_texts(axis, value)[0] for value in among)
            raise ArgumentError(f"no {axis} matches {word}; there are {words}")
        return values
    value: Any = word
    if AXES[axis] is int:
        number = word.removeprefix(_LETTERS[axis])
        if axis == "batch" and number == "max":
            return [MAX]
        if not number.isdecimal() or len(number) > DIGITS:
            more = ' or "max"' if axis == "batch" else ""
            raise CaseError(f"{axis} {word[:60]!r} is not a whole number of up to {DIGITS} digits{more}")
        value = check_batch(int(number)) if axis == "batch" else int(number)
    return [getattr(replace(_ANY, **{axis: value}), axis)]


def _texts(axis: str, value: Any) -> tuple[str, ...]:
    """Return a value as a word, and as a segment of a case's name if that differs."""
    word = "max" if axis == "batch" and value == MAX else str(value)
    return (word, _LETTERS[axis] + word) if axis in _LETTERS else (word,)


def cases_of(words: Words, device: str) -> list[Case]:
    """Return the cases that have one of the words of each axis, in the order of a plan's group.

    An axis without a word is OPEN, and an image its model's. A glob chooses from USUAL, and is no reason for cases that
    no device runs.
    """
    named = {"precision": [OPEN_PRECISION[device]]} | {axis: [word] for axis, word in OPEN.items()} | dict(words)
    values = {
        axis: list(dict.fromkeys(value for word in named[axis] for value in axis_values(axis, word, USUAL[axis])))
        for axis in SLOWEST_FIRST
    }
    if (count := prod(map(len, values.values()))) > MOST_CASES:
        raise ArgumentError(f"these words name {count:,} cases, and a plan has {MOST_CASES:,} at most")
    cases = [Case(**dict(zip(SLOWEST_FIRST, point, strict=True))) for point in product(*values.values())]
    if "image" not in words:
        cases = [replace(case, image=usual_image(case.model)) for case in cases]
    if any(is_glob(word) for axis in ("variant", "precision", "launch") for word in named[axis]):
        rows = [(case, find_variant(case.variant)) for case in cases]
        exist = (case for case, row in rows if not all(refusal(row, d, case.precision, case.launch) for d in DEVICES))
        return list(exist) or cases
    return cases


def with_axes(cases: Iterable[Case], words: Words) -> dict[Case, list[Case]]:
    """Return a plan's cases with other values in some axes, each with the plan's cases that it stands for.

    A value that the cases have keeps those; one that none has takes the place of the others, in all cases. The axes
    are taken one after the other, so that some case is always left. A model for pictures of another size has that.
    """
    origins = {case: [case] for case in cases}
    for axis in (axis for axis in AXES if axis in words):
        among = list(dict.fromkeys(getattr(case, axis) for case in origins))
        values = [value for word in words[axis] for value in axis_values(axis, word, among)]
        changed: dict[Case, list[Case]] = {}
        for case, sources in origins.items():
            for value in values:
                if value not in among or getattr(case, axis) == value:
                    changed.setdefault(_with(case, axis, value), []).extend(sources)
        origins = changed
    return origins


def _with(case: Case, axis: str, value: Any) -> Case:
    """Return a case with another value of an axis: another model's image with it, if the two differ in theirs."""
    changed = replace(case, **{axis: value})
    usual = usual_image(changed.model)
    return changed if usual == usual_image(case.model) else replace(changed, image=usual)


def parse_run(word: str) -> dict[str, list[str]] | None:
    """Return the words of axes that some segments of a case's name give: `eager/fp32`, `*/b8`, `resnet18/b1,8`.

    A segment may be several words, with commas. Segments side by side are tried first, then ones with others left out
    between them, where none has a glob. None where it is no such run. A word that several axes have is the first one's.
    """
    segments, axes = [split_words([segment]) for segment in word.split("/")], tuple(AXES)
    if len(segments) == len(axes):
        return dict(zip(axes, segments, strict=True)) if all(segments) else None
    side_by_side = [axes[first : first + len(segments)] for first in range(len(axes) - len(segments) + 1)]
    for places in (*side_by_side, *(() if is_glob(word) else combinations(axes, len(segments)))):
        if all(segments) and all(map(_are_of, places, segments)):
            return dict(zip(places, segments, strict=True))
    return None


def _are_of(axis: str, words: Sequence[str]) -> bool:
    """Return whether an axis may have these words; the letter of a number is needed on the first alone: `b1,8`."""
    letter = _LETTERS.get(axis, "")
    return all(_is_of(axis, word) or (place > 0 and _is_of(axis, letter + word)) for place, word in enumerate(words))


def _is_of(axis: str, segment: str) -> bool:
    if is_glob(segment):
        return any(fnmatchcase(_texts(axis, value)[-1], segment) for value in USUAL[axis])
    if letter := _LETTERS.get(axis):
        return re.fullmatch(rf"{letter}(\d+{'|max' if axis == 'batch' else ''})", segment) is not None
    if axis == "model":
        try:
            return bool(canonical_model(segment))
        except ValueError:
            return False
    return segment in (VARIANTS if axis == "variant" else USUAL[axis]) or (axis == "variant" and is_outside(segment))


def unfit_segment(word: str) -> str:
    """Return the first of several segments that no axis has, in words with the nearest that one has, or ""."""
    for segment in word.split("/") if "/" in word else ():
        if not any(_are_of(axis, split_words([segment])) for axis in AXES):
            return f": no axis has {segment!r}{nearest_word(segment, PRECISIONS)}"
    return ""


def nearest_word(word: str, plans: Iterable[str]) -> str:
    """Return ` (did you mean NAME?)` with the plan, model or variant that is spelled like `word`; empty without one."""
    return did_you_mean(word, [*plans, *USUAL["model"], *VARIANTS])
