"""An archive that came back from a rented machine is unpacked into results/; doing so twice changes nothing.

New lines are appended, records of other code or software go to a new folder beside, tables are merged, and of two JSON
files with a date the later one stays. A file that no campaign writes is refused before anything is written, and so is
a dry run's.
"""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path, PurePosixPath

from bench.errors import StoreError
from bench.files import write_file
from bench.machine.provenance import code_of
from bench.records.store import FILE
from kernels.cards.places import CEILINGS, TUNED
from kernels.cards.reading import MOST, open_regular, parse_json
from kernels.table import Table

DRY = "dry"  # the card of a dry run


def unpack_into_results(archive: Path, results: Path) -> list[str]:
    """Unpack an archive; returns a line for each of its files that says what was done with it.

    Raises StoreError, and writes nothing, if it is no archive of a campaign.
    """
    members = _read_members(archive)
    if not members:
        raise StoreError(f"{archive} is empty: nothing was put in place")
    cards = {name.parts[0] for name in members if name.name == "environment.json" and len(name.parts) == 2}
    for name, data in members.items():
        if problem := _reason_to_refuse(name, cards) or _reason_damaged(name, data):
            raise StoreError(f"{archive}: {str(name)!r} {problem}: nothing was put in place")
    records = {name.parent: data for name, data in members.items() if name.name == FILE}
    folders = {parent: _folder_for_records(results, parent, data) for parent, data in records.items()}
    return [
        _write_member(results, folders.get(name.parent, name.parent) / name.name, data, name)
        for name, data in members.items()
    ]


def _read_members(archive: Path) -> dict[PurePosixPath, bytes]:
    try:
        with open_regular(archive) as file, tarfile.open(fileobj=file, mode="r:*") as tar:
            contents = {PurePosixPath(member.name): _content(tar, member) for member in tar if not member.isdir()}
    except FileNotFoundError:
        raise StoreError(f"{archive} does not exist") from None
    except (OSError, tarfile.TarError, EOFError) as error:
        says_why = isinstance(error, OSError) or "plain file" in str(error)
        reason = str(error) if says_why else "cut short, damaged, or no tar"
        raise StoreError(f"{archive} is no archive of results: {reason}") from None
    return dict(sorted(contents.items()))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isfile() else None
    if file is None:
        raise tarfile.TarError(f"{member.name} is not a plain file")
    if member.size > MOST:
        raise tarfile.TarError(f"{member.name} is not a plain file of up to {MOST >> 20} MiB")
    return file.read()


def _reason_to_refuse(name: PurePosixPath, cards: set[str]) -> str:
    """Return why no campaign wrote a file of this name; empty if one may have."""
    if name.is_absolute() or ".." in name.parts:
        return "leads out of results/"
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)+", str(name), re.ASCII):
        return "is no name of a campaign's"
    if DRY in (name.parts[0], name.stem):
        return "is of a dry run, which measures nothing"
    return "" if name.parts[0] in cards | {TUNED, CEILINGS} else "is of no card of this archive"


def _reason_damaged(name: PurePosixPath, data: bytes) -> str:
    """Return why a file's content does not fit its name; empty if it does."""
    if name.suffix != ".json":
        return ""
    try:
        content = parse_json(data)
        if name.parts[0] == TUNED:
            Table.from_json(content)
    except (ValueError, KeyError, TypeError) as error:
        return f"cannot be read ({type(error).__name__}: {error})"
    return "" if isinstance(content, dict) else "holds no JSON object"


def _folder_for_records(results: Path, folder: PurePosixPath, data: bytes) -> PurePosixPath:
    """Return the folder for records: their own, or folder-2 and so on if the records there are of other code."""
    archived, number = _code_digests(data), 1
    while True:
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        path = results / place / FILE
        if not path.exists() or (existing := _code_digests(path.read_bytes())) <= archived or archived <= existing:
            return place
        number += 1


def _code_digests(lines: bytes) -> set[str]:
    """Return the digests of the code and software of records, without lines that cannot be read."""
    digests = set()
    for line in lines.splitlines():
        try:
            digests.add(code_of(parse_json(line)["environment"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return digests


def _write_member(results: Path, place: PurePosixPath, data: bytes, name: PurePosixPath) -> str:
    """Write one file, merged with one that is there; returns a line that says what was done."""
    path, cure = results / place, "what came before it is in place"
    try:
        old = path.read_bytes() if path.exists() else None
        outcome, merged = ("new", data) if old is None else _merge(path, old, data)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; {cure}") from None
    if merged == old:
        outcome = outcome if outcome.startswith("kept") else "as it was"
    else:
        write_file(path, merged, cure)
    note = f", as {name.parent} holds records of other code" if place != name else ""
    return f"{outcome}: {place}{note}"


def _merge(path: Path, old: bytes, data: bytes) -> tuple[str, bytes]:
    """Return what is done to an existing file, and its new content."""
    if path.suffix == ".jsonl":
        old_lines = set(old.splitlines())
        new_lines = [line for line in data.splitlines() if line not in old_lines and line.strip()]
        end = b"" if old.endswith(b"\n") or not old or not new_lines else b"\n"
        return f"{len(new_lines)} lines added", old + end + b"".join(line + b"\n" for line in new_lines)
    if path.parent.name == TUNED and path.suffix == ".json":
        try:
            joined = Table.read(path).merge(Table.from_json(parse_json(data)))
        except ValueError as error:
            raise StoreError(f"{error}; move it away, then restore again") from None
        return "joined", joined.to_json().encode()
    if old == data:
        return "as it was", old
    old_date, new_date = _date_of(old), _date_of(data)
    archive_is_older = bool(old_date and new_date and new_date < old_date)
    if path.name == "constants.json":
        return "joined", _merge_constants(*((data, old) if archive_is_older else (old, data)))
    return (f"kept, as the archive's is of {new_date}", old) if archive_is_older else ("replaced", data)


def _date_of(data: bytes) -> str:
    try:
        return str(parse_json(data)["provenance"]["date"])
    except (ValueError, KeyError, TypeError):
        return ""


def _merge_constants(earlier: bytes, later: bytes) -> bytes:
    """Return the later file, with the experiments and constants that only the earlier has, if that can be read."""
    new = parse_json(later)
    try:
        old = parse_json(earlier)
        run = {experiment["name"] for experiment in new["experiments"] if experiment["status"] != "skipped"}
        only_earlier = [experiment for experiment in old["experiments"] if experiment["name"] not in run]
        reused = {experiment["name"] for experiment in only_earlier}
        later_ones = [experiment for experiment in new["experiments"] if experiment["name"] not in reused]
        merged = new | {"constants": old["constants"] | new["constants"], "experiments": later_ones + only_earlier}
    except (ValueError, KeyError, TypeError, AttributeError):
        return later
    return later if merged == new else (json.dumps(merged, indent=1) + "\n").encode()
