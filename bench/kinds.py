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
PIECES_FILE = "file of pieces"
CONSTANTS_FILE = "file of constants"
PAGE = "page of bench report"
PARQUET = "Parquet file of records"
CSV = "CSV of bench export"
PNG = "PNG picture"
SVG = "SVG picture"
VERDICTS = "verdict on a convolution"
BUNDLE = "bundle of kernels"
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
    (VERDICTS, frozenset({"op", "rows"})),
    ("description of a machine", frozenset({"environment", "noisy"})),
    (PIECES_FILE, frozenset({"schema", "pieces"})),
    (CONSTANTS_FILE, frozenset({"schema", "experiments"})),
    ("file of costs", frozenset({"schema", "runs"})),
    ("file of starts", frozenset({"schema", "starts"})),
    ("file of pytest-benchmark", frozenset({"machine_info", "benchmarks"})),
    ("file of github-action-benchmark", frozenset({"name", "unit", "value"})),  # of the first item of a list
)
KINDS = {kind for kind, _ in KEYS}
PICTURES = {".svg": SVG, ".png": PNG}  # by the end of a file's name
# (beginning, what else is in the file, its kind): the first row that fits
BEGINNINGS = (
    (b"\x89PNG", b"", PNG),
    (b"PAR1", b"latency_fallen", PARQUET),  # a column that bench.load alone has
    (b"PAR1", b"", "Parquet file"),
    (b"<svg", b' class="marks"', SVG),  # as Vega draws them
    (b"<svg", b"", "SVG picture by another program"),
    (b"folder,case,model,variant,", b"", CSV),
    (b"head.json\0", b"", BUNDLE),
)
JSON = re.compile(rb"\{\s*(\"|\}|$)|\[\s*(\{|\]|$)")  # the beginning of an object, or of a list of them
GENERATOR = b'<meta name="generator" content="bench report'  # of our pages, near their beginning
HEAD = 4096  # bytes that have it
SHOWN = 6  # keys of JSON of another kind, which name it
CASE = re.compile(r"[^/]+(/[^/]+){5}")  # a case's name is a key of what Bencher reads


def kind_of(content: bytes) -> str:
    """Return what a file with this content is, in words; empty for a file that holds nothing."""
    start = content.lstrip()
    if not start:
        return ""
    for beginning, inside, kind in BEGINNINGS:
        if start.startswith(beginning) and inside in start:
            return kind
    if start[:9].lower() == b"<!doctype" or start[:5].lower() == b"<html":
        return PAGE if GENERATOR in start[:HEAD] else "HTML page"
    if JSON.match(start):
        return _kind_of_json(content)
    return "binary file" if b"\0" in start[:HEAD] else "text"


def _kind_of_json(content: bytes) -> str:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):  # cut short, as by a full disk: the keys that are left tell what it was
        found = set(re.findall(r'"(\w+)"\s*:', content.decode(errors="replace")))
        return next((kind for kind, needed in KEYS if needed <= found), "damaged JSON" if found - {"schema"} else "")
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


def in_the_way(path: Path, kind: str, first: int = -1) -> str:
    """Return what is at `path`, in words, where a file of this kind is not to replace it; else an empty text.

    A missing or empty file, one of the same kind, and what is no regular file are not in the way. A file that cannot
    be read is. With `first` so many bytes of the first line tell.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return ""
        with path.open("rb") as file:
            there = kind_of(file.read() if first < 0 else file.readline(first))
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    return "" if there in ("", kind) else there
