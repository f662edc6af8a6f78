"""Words of options: lists with commas, and the folder of `--input`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import typer

from bench.errors import ArgumentError
from bench.plans.choose import check_input


def parse_words(option: str, text: str, allowed: Iterable[str]) -> list[str]:
    """Return the words of an option, separated by commas, each once."""
    words, names = list(dict.fromkeys(word.strip() for word in text.split(","))), list(allowed)
    for word in words:
        if word not in names:
            raise ArgumentError(f"unknown {option} {word!r}; allowed: {', '.join(names)}")
    return words


def parse_batches(text: str) -> list[int]:
    """Return the batch sizes of a text such as `1,8,32`, each once."""
    words = list(dict.fromkeys(word.strip() for word in text.split(",")))
    for word in words:
        if not (word.isdecimal() and int(word)):
            raise ArgumentError(f"batch {word!r} is not a positive number of images")
    return [int(word) for word in words]


def parse_percentages(option: str, text: str) -> list[float]:
    """Return the percentages of an option, separated by commas, as fractions of one."""
    try:
        fractions = [float(word) / 100 for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} wants percentages with commas, as in 0.5,1,2; not {text!r}") from None
    if any(not 0 < fraction < 1 for fraction in fractions):
        raise typer.BadParameter(f"{option} {text}: each is more than 0 and less than 100 %")
    return fractions


def absolute_input(word: str) -> str:
    """Return an argument of `--input` as a process of another checkout understands it: a folder by its full path.

    Raises PlanError where it names no pictures.
    """
    check_input(word)
    return word if word in ("photos", "noise") else str(Path(os.path.expanduser(word)).absolute())
