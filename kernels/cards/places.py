"""Where a card's results are kept: one spelling of its name, for who writes them and who looks for them.

    results/nvidia-h200/                 its records, ceilings by layer, constants
    results/nvidia-h200/constants.json   what `bench constants` measured
    results/tuned/nvidia-h200.json       its configurations
    results/ceilings/nvidia-h200-….json  its ceilings, with a digest of what tells it from others of its name

Standard library only: the parent of a benchmark reads it as well as a kernel's process.
"""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "results"
# Folders of it that all cards share.
TUNED, CEILINGS = "tuned", "ceilings"


def slug(name: str) -> str:
    """A name as part of a file's: `nvidia-h100-80gb-hbm3` of "NVIDIA H100 80GB HBM3".

    Raises ValueError for a name without a letter or a digit of ASCII, which would name no file.
    """
    found = "-".join(re.findall(r"[a-z0-9]+", name.lower()))
    if not found:
        raise ValueError(f"{name!r} has no letter or digit that a file could be named by")
    return found


def card_folder(gpu_name: str, results: Path = RESULTS) -> Path:
    """The folder of all that was measured on cards of this name."""
    return results / slug(gpu_name)


def tuned(gpu_name: str, results: Path = RESULTS) -> Path:
    """The table of configurations of cards of this name."""
    return tuned_folder(results) / f"{slug(gpu_name)}.json"


def tuned_folder(results: Path = RESULTS) -> Path:
    return results / TUNED


def constants(gpu_name: str, results: Path = RESULTS) -> Path:
    """The constants that were measured on cards of this name."""
    return card_folder(gpu_name, results) / "constants.json"


def ceilings_folder(results: Path = RESULTS) -> Path:
    """Of the ceilings of every machine, CPUs' too; the name of a file is `bench.roofline.ceilings.path_of`'s."""
    return results / CEILINGS
