"""What a child process is told, as JSON: to run a case, or to make the references that cases are held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from bench.plans.case import Case
from bench.plans.plan import Settings

# float64 on a few CPU cores is slow, and a large batch has many pictures; it is made once
REFERENCE_LIMIT_S = 3600.0
# The different pictures that a batch is tiled with when the largest that fits is sought. A prime: an index that wraps
# at a power of two meets another picture.
PICTURES = 7


def case_job(
    case: Case,
    settings: Settings,
    device: str,
    seed: int,
    source: str,
    reference: dict[str, str],
    caches: str = "",
) -> dict[str, Any]:
    """Run `case`; `reference` maps precisions to the files that `reference_job` made.

    `caches` is an empty folder for the compile caches of a cold start; none: the usual caches.
    """
    told = {"job": "case", "case": case.name, "settings": asdict(settings), "device": device}
    return told | {"seed": seed, "source": source, "reference": reference, "caches": caches}


def fit_job(
    case: Case, batch: int, settings: Settings, device: str, seed: int, source: str, reference: dict[str, str]
) -> dict[str, Any]:
    """Try whether a batch of so many images fits; `case` asks for the largest that does."""
    return case_job(replace(case, batch=batch), settings, device, seed, source, reference) | {"job": "fit"}


def reference_job(cases: Iterable[Case], settings: Settings, device: str, seed: int, source: str) -> dict[str, Any]:
    """Make the references of `cases`, which share a model and an image size: the largest batch, every precision."""
    cases = list(cases)
    return {
        "job": "reference",
        "model_name": cases[0].model,
        "image": cases[0].image,
        # a batch for each buffer in rotation, and an unseen one
        "count": max(PICTURES if case.largest else (settings.buffers + 1) * case.batch for case in cases),
        "precisions": sorted({case.precision for case in cases}),
        "device": device,
        "seed": seed,
        "source": source,
    }
