"""What a child process is told, as JSON: to run a case, or to make the references that cases are held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bench.case import Case
from bench.plan import Settings

# float64 on a few CPU cores is slow, and a large batch has many pictures; it is made once
REFERENCE_LIMIT_S = 3600.0


def case_job(
    case: Case, settings: Settings, device: str, seed: int, source: str, reference: dict[str, str]
) -> dict[str, Any]:
    """Run `case`; `reference` maps precisions to the files that `reference_job` made."""
    told = {"job": "case", "case": case.name, "settings": asdict(settings), "device": device}
    return told | {"seed": seed, "source": source, "reference": reference}


def reference_job(cases: Iterable[Case], settings: Settings, device: str, seed: int, source: str) -> dict[str, Any]:
    """Make the references of `cases`, which share a model and an image size: the largest batch, every precision."""
    cases = list(cases)
    return {
        "job": "reference",
        "model_name": cases[0].model,
        "image": cases[0].image,
        # a batch for each buffer in rotation, and an unseen one
        "count": (settings.buffers + 1) * max(case.batch for case in cases),
        "precisions": sorted({case.precision for case in cases}),
        "device": device,
        "seed": seed,
        "source": source,
    }
