"""The paths of a card's results, the same for whoever writes and whoever reads them.

    results/nvidia-h200/                 its records, ceilings by layer, constants
    results/nvidia-h200/constants.json   what `bench constants` measured
    results/tuned/nvidia-h200.json       its configurations
    results/ceilings/nvidia-h200-….json  its ceilings, with a digest of the machine

Standard library only: the benchmark's parent process imports it too.
"""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "results"
# Folders inside it that all cards share.
TUNED, CEILINGS = "tuned", "ceilings"


def slug(name: str) -> str:
    """Return a name as part of a file's name: `nvidia-h100-80gb-hbm3` for "NVIDIA H100 80GB HBM3".

    Raises ValueError for a name without an ASCII letter or digit.
    """
    words = re.findall(r"[a-z0-9]+", name.lower())
    if not words:
        raise ValueError(f"{name!r} has no letter or digit that a file could be named by")
    return "-".join(words)


def card_folder(gpu_name: str, results: Path = RESULTS) -> Path:
    """Return the folder of everything measured on cards of this name."""
    return results / slug(gpu_name)


def tuned_path(gpu_name: str, results: Path = RESULTS) -> Path:
    """Return the path of the table of configurations for cards of this name."""
    return tuned_folder(results) / f"{slug(gpu_name)}.json"


def tuned_folder(results: Path = RESULTS) -> Path:
    """Return the folder of all cards' tables of configurations."""
    return results / TUNED


def constants_path(gpu_name: str, results: Path = RESULTS) -> Path:
    """Return the path of the constants measured on cards of this name."""
    return card_folder(gpu_name, results) / "constants.json"


def ceilings_folder(results: Path = RESULTS) -> Path:
    """Return the folder of all machines' ceilings, CPUs included; `bench.roofline.ceilings` names the files."""
    return results / CEILINGS
