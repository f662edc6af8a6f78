"""Kinds of files, told by their content: what this project writes is replaced by the same kind alone.

A folder's README given to `-o` by mistake is no file of results, whatever its name; nor is another tool's JSON.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

COUNTS = "file of counts"
ACCEPTED = "record of accepted kernels"
TABLE = "table of configurations"
PREDICTION = "prediction"
CEILINGS = "file of ceilings"
SELFTEST = "result of a self-test"
LAYERS = "file of layers"
SENSITIVITY = "file of sensitivities"
TRACE = "trace"
PAGE = "page of bench report"
PARQUET = "Parquet file"
RECORDS = "file of records"
# JSON of a kind has all these keys; the first row that fits is its kind.
KEYS: tuple[tuple[str, frozenset[str]], ...] = (
    (RECORDS, frozenset({"case", "round", "status"})),  # first, as lines of them have keys of others inside
    (COUNTS, frozenset({"how", "cases"})),
    (ACCEPTED, frozenset({"triton", "entries"})),
    (TABLE, frozenset({"schema", "entries"})),
    (PREDICTION, frozenset({"gpu", "networks"})),
    (CEILINGS, frozenset({"flops", "bandwidth"})),
    (SELFTEST, frozenset({"made", "setting"})),
    (SENSITIVITY, frozenset({"layers", "effects"})),
    (LAYERS, frozenset({"layers", "case"})),
    (TRACE, frozenset({"traceEvents"})),
    ("description of a machine", frozenset({"environment", "noisy"})),
    ("file of pieces", frozenset({"schema", "pieces"})),
    ("file of constants", frozenset({"schema", "experiments"})),
    ("file of costs", frozenset({"schema", "runs"})),
    ("file of starts", frozenset({"schema", "starts"})),
    ("file of pytest-benchmark", frozenset({"machine_info", "benchmarks"})),
    ("file of github-action-benchmark", frozenset({"name", "unit", "value"})),  # of the first item of a list
)
KINDS = {kind for kind, _ in KEYS}
PICTURES = {".svg": "SVG picture", ".png": "PNG picture"}  # by the end of a file's name
BEGINNINGS = {b"\x89PNG": PICTURES[".png"], b"PAR1": PARQUET, b"<svg": PICTURES[".svg"]}
GENERATOR = b'<meta name="generator" content="bench report'  # of our pages, near their beginning
HEAD = 4096  # bytes that have it
SHOWN = 6  # keys of JSON of another kind, which name it
CASE = re.compile(r"[^/]+(/[^/]+){5}")  # a case's name is a key of what Bencher reads


def kind_of(content: bytes) -> str:
    """Return what a file with this content is, in words; empty for a file that holds nothing."""
    start = content.lstrip()
    if not start:
        return ""
    for beginning, kind in BEGINNINGS.items():
        if start.startswith(beginning):
            return kind
    if start[:9].lower() == b"<!doctype" or start[:5].lower() == b"<html":
        return PAGE if GENERATOR in start[:HEAD] else "HTML page"
    if start[:1] in (b"{", b"["):
        return _kind_of_json(content)
    return "binary file" if b"\0" in start[:HEAD] else "text"


def _kind_of_json(content: bytes) -> str:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):  # cut short, as by a full disk: the keys that are left tell what it was
        found = set(re.findall(r'"(\w+)"\s*:', content.decode(errors="replace")))
        return next((kind for kind, needed in KEYS if needed <= found), "damaged JSON" if found else "")
    keys = set(_first(data))
    if not data or keys == {"schema"}:
        return ""
    for kind, needed in KEYS:
        if needed <= keys:
            return kind
    if keys and all(CASE.fullmatch(key) for key in keys):
        return "file of Bencher"
    return f"JSON with {', '.join(sorted(keys)[:SHOWN]) or 'no keys'}"


def _first(data: Any) -> list[str]:
    """Return the keys of an object, or those of the first object of a list."""
    if isinstance(data, list):
        data = data[0] if data else {}
    return [str(key) for key in data] if isinstance(data, dict) else []


def in_the_way(path: Path, kind: str) -> str:
    """Return what is at `path`, in words, where a file of this kind is not to replace it; else an empty text.

    A missing or empty file, one of the same kind, and what is no regular file are not in the way. A file that cannot
    be read is.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return ""
        there = kind_of(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    return "" if there in ("", kind) else there
