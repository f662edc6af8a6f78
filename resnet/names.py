"""Names of models and variants that are not this project's, and what a model is built with. The standard library alone.

A name from outside is `SOURCE:NAME`, and a model's may have arguments behind it: `timm:convnext_tiny`,
`torchvision:vit_b_16@dropout=0.0`, `mymodule:build`. It is one segment of a case's name, so the characters that are not
in `_PLAIN` are written as %XX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote, unquote

from resnet.archs import Spec

_PLAIN = "._:@=,+-"  # beside letters and digits
_OUTSIDE = re.compile(r"[^:@\s]+:[^:@\s]+(@[\w.]+=[^,\s]*(,[\w.]+=[^,\s]*)*)?")
HUB = "hf-hub:"
FORM = "SOURCE:NAME, as in timm:convnext_tiny, torchvision:resnext50_32x4d@num_classes=10, or mymodule:function"


@dataclass(frozen=True)
class Build:
    """The words that a model is built with beside its name and seed; an empty field is the model's own choice.

    `weights` is a checkpoint's path, else the weights are synthetic; `num_classes` and `in_channels` are counts.
    """

    weights: str = ""
    num_classes: int = 0
    in_channels: int = 0


def is_outside(name: str) -> bool:
    """Return whether a model's or variant's name is of one from outside this project."""
    return ":" in name


def task_of(model: str) -> str:
    """Return the problem of a model of a canonical name, a key of `TASKS`: empty for ImageNet's, and from outside."""
    return "" if is_outside(model) else Spec.parse(model).task


@cache
def canonical_model(word: str) -> str:
    """Return the one spelling of a model's name. Raises ValueError for a word that can name none."""
    if is_outside(word):
        return canonical_outside(word)
    try:
        return Spec.parse(word).name
    except ValueError as error:
        raise ValueError(f"{error}; another's is {FORM}") from None


def usual_image(name: str) -> int:
    """Return the pixels a side of the pictures that a model of a canonical name is for."""
    return 224 if is_outside(name) else Spec.parse(name).ends.image


def canonical_outside(word: str) -> str:
    """Return the one spelling of a name from outside, without a character that a case's name cannot have.

    Raises ValueError for what has not the form of one.
    """
    plain = unquote(word)
    if HUB in plain:
        raise ValueError(
            f"{word!r}: a model of the hub would be downloaded, code and all; download its weights yourself, and name "
            "the architecture and them: timm:NAME with --weights FILE"
        )
    if not _OUTSIDE.fullmatch(plain):
        raise ValueError(f"{word!r} has not the form {FORM}")
    return quote(plain, safe=_PLAIN)


def outside_parts(name: str) -> tuple[str, str, dict[str, str]]:
    """Return the source, the name within it and the arguments of a canonical name from outside."""
    source, _, rest = unquote(name).partition(":")
    within, _, arguments = rest.partition("@")
    pairs = (pair.partition("=") for pair in arguments.split(",") if pair)
    return source, within, {key: value for key, _, value in pairs}
