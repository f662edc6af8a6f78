"""The page: one HTML file that holds its charts, its data and the plotting library, and loads nothing.

What comes from records reaches the page in two ways: as text that Jinja escapes, and as JSON that its script shows as
text. The policy in its head lets no other script run than the two that are part of it, known by their digests.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

from bench.errors import UnableError
from bench.report.page import look
from bench.report.page.data import POINTS, Data, gather
from bench.report.page.sections import drawn
from bench.report.page.settings import depth
from bench.report.page.words import pieces
from bench.report.views import VIEWS, View, notes
from resnet.variants import LAUNCHES, PRECISIONS, VARIANTS

CURE = "pip install 'altair>=5.5' 'vl-convert-python>=1.7' 'jinja2>=3.1'"


def need() -> None:
    """Raises UnableError unless what pages and stills are made with can be imported."""
    try:
        import altair  # noqa: F401
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise UnableError(f"pages and pictures need {error.name}: {CURE}") from None


def page(folders: Iterable[str | Path]) -> str:
    """The page of some results folders. Raises StoreError for one that is none, UnableError."""
    need()
    from jinja2 import Environment, StrictUndefined

    folders = list(folders)
    data = gather(folders)
    filled, lacking = drawn(data)
    specs = {name: spec for section in filled for name, spec in section.specs.items()}
    library, script = _script(library_source()), _script(_asset("page.js"))
    make = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    make.filters["first_line"] = lambda text: str(text).strip().partition("\n")[0][:200]
    counter = count()
    return make.from_string(_asset("page.html")).render(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {library[1]} {script[1]}",
        colours=look.css(),
        css=_asset("page.css"),
        settings=[setting.told for setting in data.settings],
        sections=filled,
        lacking=lacking,
        damage=data.damage,
        views=VIEWS,
        pieces=lambda text: list(pieces(text)),
        counter=lambda: next(counter),
        records=len(data.records),
        folders=[str(folder) for folder in folders],
        points=POINTS,
        data=as_json(_content(data, specs)),
        library=library[0],
        script=script[0],
    )


def _content(data: Data, specs: dict[str, Any]) -> dict[str, Any]:
    """What the page's script reads."""
    everything = [row for setting in data.settings for row in setting.rows]
    return {
        "rows": {dataset: data.rows(dataset) for dataset in ("cases", "layers", "history")},
        "tables": data.tables,
        "views": {
            name: {"columns": columns(view, notes(view, everything)), "note": notes(view, everything)}
            for name, view in VIEWS.items()
        },
        "charts": specs,
        "axes": _axes(data),
        "marks": {variant: _PATHS.get(mark.shape, mark.shape) for variant, mark in look.MARKS.items()},
        "dashes": look.DASHES,
        "records": data.records,
        "things": data.things,
    }


def columns(view: View, note: str) -> list[dict[str, Any]]:
    """A view's headings, each with its part of the note: what stands after its name, as in `p50: ...; gate: ...`."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    for clause in re.split(r"(?<=[;.]) |, (?=[\w.-]+: )", note):
        name, colon, meaning = clause.partition(": ")
        if colon:
            names += name.split(", ")
            meanings |= dict.fromkeys(names, f"{', '.join(names)}: {meaning.rstrip('.;')}")
        # `rms, max: ...` comes in two, the first without an end
        names = clause.split(", ") if not colon and " " not in clause else []
    found = []
    for column in view.columns:
        near = [name for name in meanings if column.title.startswith(name)]
        told = meanings[max(near, key=len)] if near else None
        found.append({"title": column.title, "text": column.text, "note": told})
    return found


# Vega's shapes as paths, for the samples in the filters
_PATHS = {
    "circle": "M-4,0a4,4,0,1,0,8,0a4,4,0,1,0,-8,0",
    "square": "M-4,-4H4V4H-4Z",
    "cross": "M-1.5,-5H1.5V-1.5H5V1.5H1.5V5H-1.5V1.5H-5V-1.5H-1.5Z",
    "diamond": "M0,-5.5L4,0L0,5.5L-4,0Z",
    "triangle-up": "M0,-4.5L5,4H-5Z",
    "triangle-down": "M0,4.5L5,-4H-5Z",
    "triangle-right": "M4.5,0L-4,5V-5Z",
    "triangle-left": "M-4.5,0L4,5V-5Z",
    "M-1,-1L1,1M1,-1L-1,1": "M-4,-4L4,4M4,-4L-4,4",
}


def _axes(data: Data) -> dict[str, list[Any]]:
    """The values that the filters offer, in a reader's order."""
    names = dict.fromkeys(row["case"] for row in (*data.records, *data.layers, *data.history))
    parts = [name.split("/") for name in names]
    found: dict[str, Any] = {
        "model": sorted({part[0] for part in parts}, key=lambda name: (depth(name), name)),
        "variant": look.ordered((part[1] for part in parts), VARIANTS),
        "precision": look.ordered((part[2] for part in parts), PRECISIONS),
        "batch": sorted({0 if part[3] == "bmax" else int(part[3][1:]) for part in parts}),
        "image": sorted({int(part[4][1:]) for part in parts}),
        "launch": look.ordered((part[5] for part in parts), LAUNCHES),
    }
    return found | {"family": list(dict.fromkeys(case["family"] for case in data.cases))}


def as_json(value: Any) -> str:
    """JSON that stands inside a script element: nothing in it can end that, nor begin another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # half of a surrogate pair, as a file's name in a library's message may hold, has no UTF-8
    return text.encode(errors="replace").decode()


def _script(source: str) -> tuple[str, str]:
    """A script and its source expression for the policy."""
    assert not re.search(r"</script|<!--|<script", source, re.I), "this script would end its own element"
    digest = b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return source, f"'sha256-{digest}'"


@cache
def library_source() -> str:
    """Vega, Vega-Lite and Vega-Embed, from vl-convert's own copy: 0.9 MB."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=grammar()))


@cache
def grammar() -> str:
    """The version of Vega-Lite that Altair writes, as vl-convert names it."""
    import altair

    return ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def _asset(name: str) -> str:
    return (files("bench.report.page") / name).read_text(encoding="utf-8")
