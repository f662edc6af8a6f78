"""The results folders in a store, such as the one of nightly runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from bench.errors import StoreError
from bench.records.frame import Damage
from bench.records.places import MARK
from bench.records.store import FILE


def results_folders(stores: Iterable[Path]) -> list[Path]:
    """Return every results folder in some stores, themselves and linked ones included, and stores that are files.

    Raises StoreError for a store without any.
    """
    folders: dict[Path, None] = {}
    for store in stores:
        folders_inside = _folders_inside(store) if store.is_dir() else []
        # a saved baseline is the copy of a run, which counts once
        inside = [folder for folder in folders_inside if folder == store or not (folder / MARK).exists()]
        if store.is_file() and store.suffix in (".jsonl", ".parquet"):
            inside = [store]
        if not inside:
            raise StoreError(f"{store} holds no {FILE}, and no folder that does: is it a store of results?")
        folders |= dict.fromkeys(inside)
    return list(folders)


def _folders_inside(store: Path) -> list[Path]:
    """Return the folders in a store that hold records, each once, however many links lead to it."""

    def unread(error: OSError) -> None:
        warnings.warn(f"{error.filename}: left out: {error.strerror}", Damage, stacklevel=4)

    found, seen = [], set[str]()
    for folder, names, files in os.walk(store, onerror=unread, followlinks=True):
        names.sort()
        if (real := os.path.realpath(folder)) in seen:
            names.clear()  # a link to a folder around it would lead on for ever
        elif FILE in files:
            found.append(Path(folder))
        seen.add(real)
    return sorted(found)
