"""An archive that came back from a rented machine, put into results/; doing it twice changes nothing.

Lines are joined to lines, records of other code or software go beside those that are there, tables are joined, and of
two JSON files with a date the later one stays. What an archive of a campaign does not hold is refused before anything
is written, and so is a dry run's.
"""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from bench.errors import StoreError
from bench.files import write
from bench.machine.provenance import code_of
from bench.records.store import FILE
from kernels.cards.places import CEILINGS, TUNED
from kernels.table import Table

DRY = "dry"  # the card of a dry run


def restore(archive: Path, results: Path) -> list[str]:
    """Put an archive in place; a line for each file that it holds: what became of it.

    Raises StoreError for what is no such archive; nothing is written then.
    """
    members = _members(archive)
    if not members:
        raise StoreError(f"{archive} is empty: nothing was put in place")
    cards = {name.parts[0] for name in members if name.name == "environment.json" and len(name.parts) == 2}
    for name, data in members.items():
        if problem := _refused(name, cards) or _damaged(name, data):
            raise StoreError(f"{archive}: {str(name)!r} {problem}: nothing was put in place")
    beside = {name.parent: _place(results, name.parent, data) for name, data in members.items() if name.name == FILE}
    return [
        _told(results, beside.get(name.parent, name.parent) / name.name, data, name) for name, data in members.items()
    ]


def _members(archive: Path) -> dict[PurePosixPath, bytes]:
    try:
        with tarfile.open(archive, "r:*") as opened:
            found = {PurePosixPath(item.name): _content(opened, item) for item in opened if not item.isdir()}
    except FileNotFoundError:
        raise StoreError(f"{archive} does not exist") from None
    except (OSError, tarfile.TarError, EOFError) as error:
        why = (
            str(error) if isinstance(error, OSError) or "plain file" in str(error) else "cut short, damaged, or no tar"
        )
        raise StoreError(f"{archive} is no archive of results: {why}") from None
    return dict(sorted(found.items()))


def _content(opened: tarfile.TarFile, item: tarfile.TarInfo) -> bytes:
    file = opened.extractfile(item) if item.isfile() else None
    if file is None:
        raise tarfile.TarError(f"{item.name} is not a plain file")
    return file.read()


def _refused(name: PurePosixPath, cards: set[str]) -> str:
    """Why a campaign left no such file; empty if it may have."""
    if name.is_absolute() or ".." in name.parts:
        return "leads out of results/"
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)+", str(name), re.ASCII):
        return "is no name of a campaign's"
    if DRY in (name.parts[0], name.stem):
        return "is of a dry run, which measures nothing"
    return "" if name.parts[0] in cards | {TUNED, CEILINGS} else "is of no card of this archive"


def _damaged(name: PurePosixPath, data: bytes) -> str:
    """Why a file is not what its name says; empty if it is."""
    if name.suffix != ".json":
        return ""
    try:
        found = json.loads(data)
        if name.parts[0] == TUNED:
            _table(found)
    except (ValueError, KeyError, TypeError) as error:
        return f"cannot be read ({type(error).__name__}: {error})"
    return "" if isinstance(found, dict) else "holds no JSON object"


def _table(found: Any) -> Table:
    return Table.from_json(found)


def _place(results: Path, folder: PurePosixPath, data: bytes) -> PurePosixPath:
    """Where records go: into their folder, or into folder-2 and so on where those there are of other code."""
    mine, number = _codes(data), 1
    while True:
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        path = results / place / FILE
        if not path.exists() or (theirs := _codes(path.read_bytes())) <= mine or mine <= theirs:
            return place
        number += 1


def _codes(lines: bytes) -> set[str]:
    """The code and software that records are of; a line that cannot be read is of none."""
    found = set()
    for line in lines.splitlines():
        try:
            found.add(code_of(json.loads(line)["environment"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _told(results: Path, place: PurePosixPath, data: bytes, name: PurePosixPath) -> str:
    """What became of one file, in a line."""
    path, cure = results / place, "what came before it is in place"
    try:
        old = path.read_bytes() if path.exists() else None
        kind, merged = ("new", data) if old is None else _merged(path, old, data)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; {cure}") from None
    if merged == old:
        kind = kind if kind.startswith("kept") else "as it was"
    else:
        write(path, merged, cure)
    other = f", as {name.parent} holds records of other code" if place != name else ""
    return f"{kind}: {place}{other}"


def _merged(path: Path, old: bytes, data: bytes) -> tuple[str, bytes]:
    """What is done to a file that is there, and what it holds then."""
    if path.suffix == ".jsonl":
        had = set(old.splitlines())
        more = [line for line in data.splitlines() if line not in had and line.strip()]
        end = b"" if old.endswith(b"\n") or not old or not more else b"\n"
        return f"{len(more)} lines added", old + end + b"".join(line + b"\n" for line in more)
    if path.parent.name == TUNED and path.suffix == ".json":
        try:
            joined = Table.read(path).merge(_table(json.loads(data)))
        except ValueError as error:
            raise StoreError(f"{error}; move it away, then restore again") from None
        return "joined", joined.to_json().encode()
    if old == data:
        return "as it was", old
    was, now = _date(old), _date(data)
    older = bool(was and now and now < was)
    if path.name == "constants.json":
        return "joined", _constants(*((data, old) if older else (old, data)))
    return (f"kept, as the archive's is of {now}", old) if older else ("replaced", data)


def _date(data: bytes) -> str:
    try:
        return str(json.loads(data)["provenance"]["date"])
    except (ValueError, KeyError, TypeError):
        return ""


def _constants(earlier: bytes, later: bytes) -> bytes:
    """The later file, with the experiments and constants that the earlier one alone has; of a damaged one, nothing."""
    now = json.loads(later)
    try:
        was = json.loads(earlier)
        named = {one["name"] for one in now["experiments"] if one["status"] != "skipped"}
        kept = [one for one in was["experiments"] if one["name"] not in named]
        fresh = [one for one in now["experiments"] if one["name"] not in {other["name"] for other in kept}]
        merged = now | {"constants": was["constants"] | now["constants"], "experiments": fresh + kept}
    except (ValueError, KeyError, TypeError, AttributeError):
        return later
    return later if merged == now else (json.dumps(merged, indent=1) + "\n").encode()
