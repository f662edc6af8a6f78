"""The layers of two cases beside each other, and the stages that layers belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench.roofline.layers import CONVERSIONS, JsonObject, merge_overlapping

STEM, HEAD, UNKNOWN = "stem", "head", "kernels"
NUMBERED = re.compile(r"\d")


def paired_rows(
    first: Sequence[JsonObject], second: Sequence[JsonObject]
) -> Iterator[tuple[str, list[JsonObject], list[JsonObject]]]:
    """Yield a name with the rows of two cases that compute the same layers; of a layer that one lacks, none of it.

    Layers that one of them computes together stand together; rows of unknown layers are left out, but not conversions
    between formats.
    """
    sides: list[list[JsonObject]] = []
    for side in (first, second):
        rows = (row | {"operations": [CONVERSIONS]} if row["name"] == CONVERSIONS else row for row in side)
        sides.append([row for row in rows if row["operations"]])
    for names in merge_overlapping(set(row["operations"]) for rows in sides for row in rows):
        mine, theirs = ([row for row in rows if set(row["operations"]) <= names] for rows in sides)
        yield max((*mine[:1], *theirs[:1]), key=lambda row: len(row["operations"]))["name"], mine, theirs


def compare_layers(first: JsonObject, second: JsonObject) -> list[JsonObject]:
    """Return what each layer of `first` takes beyond that of `second`, the largest difference first.

    Layers that one of them computes together are compared together; a layer that only one of them has is left out, but
    not its conversions between formats. A difference is `sure` where it exceeds the sum of half the 95 % intervals of
    the medians that it is computed from.
    """
    differences = []
    for name, mine, theirs in paired_rows(first["rows"], second["rows"]):
        if (not mine or not theirs) and name != CONVERSIONS:
            continue
        us, against = (sum(row["us"] for row in rows) for rows in (mine, theirs))
        difference = {
            "name": name,
            "operations": [name for row in min(mine or theirs, theirs or mine, key=len) for name in row["operations"]],
            "us": us,
            "against_us": against,
            "difference_us": us - against,
            "percent": 100 * (us / against - 1) if against else None,
            "sure": abs(us - against) > sum(row["half_us"] for row in mine + theirs),
        }
        differences.append(difference)
    return sorted(differences, key=lambda row: -abs(row["difference_us"]))


def stages_of(names: Sequence[str]) -> dict[str, str]:
    """Return the stage of each layer of a network, whose names are given in its order.

    A stage is what a name begins with, to its first part with a number that others are inside of: `layer3` of
    `layer3.0.conv2`, `stages.1` of `stages.1.blocks.0.fc`, `features` of `features.28`. What stands outside of any is
    the stem before the first stage, the head behind it.
    """
    stages: dict[str, str] = {}
    outside = STEM
    for name in names:
        parts = name.split(".")
        inner = next((place for place, part in enumerate(parts[:-1], 1) if NUMBERED.search(part)), len(parts) - 1)
        stage = ".".join(parts[:inner])
        outside = HEAD if stage else outside
        stages[name] = stage or outside
    return stages
