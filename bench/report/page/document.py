"""The page as one HTML file that holds its charts, its data and the plotting library, and loads nothing.

Text from records reaches the page in two ways, both by `shown`: escaped by Jinja, and as JSON that its script shows as
text. The policy in its head lets only the two scripts run that are part of it, identified by their digests.
"""

from __future__ import annotations

import gc
import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from bench.errors import UnableError
from bench.plans.case import Case
from bench.records import same
from bench.records.speed import LEAST_LEAD
from bench.report.answer import LAUNCHED, NAMED
from bench.report.page import look, sections
from bench.report.page.answers import HEAT_STEPS
from bench.report.page.contests import opening, settling
from bench.report.page.data import POINTS, PageData, gather, pack, pack_column
from bench.report.page.settings import chooser, depth
from bench.report.page.words import HEADINGS, MARKS, WORDS, all_columns, column_words, meanings
from bench.report.rows import Row
from bench.report.views import VIEWS
from bench.text import VERDICT_MARKS, visible
from resnet.cache import cached_file
from resnet.variants import LAUNCHES, PRECISIONS, VARIANTS

MARKED = re.compile(r"\[\[(.+?)\]\]")  # a word of a caption that has an explanation
# parts of one function, in this order
SCRIPTS = (
    *("start", "state", "filters", "explain", "answer", "maps", "charts", "tables", "records", "history", "layers"),
    "page",
)
STYLES = ("page.css", "history.css", "layers.css")
CURE = "pip install 'vl-convert-python>=1.7' 'jinja2>=3.1'"


def require_libraries() -> None:
    """Raise UnableError unless the libraries that make pages and stills can be imported."""
    try:
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise UnableError(f"pages and pictures need {error.name}: {CURE}") from None


def render_page(folders: Iterable[str | Path]) -> str:
    """Return the page of some results folders. Raises StoreError for a folder without records, UnableError."""
    require_libraries()
    gc.disable()  # a fifth of the time would go into searching millions of living objects for cycles
    try:
        return _render(list(folders))
    finally:
        gc.enable()


def _render(folders: list[str | Path]) -> str:
    from jinja2 import Environment, StrictUndefined

    data = gather(folders)
    summaries = [setting.summary() for setting in data.settings]
    drawn = [(section, section.draw(data)) for section in sections.SECTIONS]
    specs = {name: spec for _, of_section in drawn for name, spec in of_section.items()}
    library, script = library_source(), _script()
    sources = f"{_source_expression(library)} {_source_expression(script)}"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=shown)
    return environment.from_string(_asset("page.html")).render(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {sources}",
        colours=look.css(),
        css="".join(map(_asset, STYLES)),
        settings=summaries,
        drawn=drawn,
        damage=data.damage,
        overview=data.overview,
        chooser=chooser(data.settings),
        views=VIEWS,
        words=WORDS,
        marks=MARKS,
        headings=HEADINGS,
        columns=all_columns(column_words([row for setting in data.settings for row in setting.rows])),
        split_words=MARKED.split,
        records=len(data.records),
        folders=_some(folders),
        points=POINTS,
        data=script_json(shown(_content(data, specs) | {"missing": [summary["missing"] for summary in summaries]})),
        library=library,
        script=script,
    )


def _some(folders: list[str | Path]) -> str:
    """Return the folders in words: the first and the last of many."""
    names = [str(folder) for folder in folders]
    return ", ".join(names) if len(names) < 7 else f"{len(names)} folders, {names[0]} to {names[-1]}"


def shown(value: Any) -> Any:
    """Return a value with the characters of each text that act on a reader's screen, or hide, as `visible` writes them.

    What Jinja holds for safe, scripts and styles, is a subclass of a text and stays as it is.
    """
    if isinstance(value, list):
        return [shown(element) for element in value]
    if isinstance(value, dict):
        return {shown(key): shown(element) for key, element in value.items()}
    return visible(value) if type(value) is str else value


def _content(data: PageData, specs: dict[str, Any]) -> dict[str, Any]:
    """Return what the page's script reads."""
    rows = [row for setting in data.settings for row in setting.rows]
    of_settings = [[case for case in data.cases if case["setting"] == place] for place in range(len(data.settings))]
    return {
        "rows": {name: pack(dataset) for name, dataset in data.datasets.items()},
        "cells": [pack_column(cells) for cells in data.cells.values()],
        "views": _views(data, rows),
        "headings": HEADINGS,
        "marks": MARKS,
        "signs": VERDICT_MARKS,
        "rules": {"lead": LEAST_LEAD, "named": NAMED, "launched": LAUNCHED, "steps": HEAT_STEPS},
        "charts": specs,
        "machines": data.overview.machines,
        "machine": [same.machine_label(setting.key) for setting in data.settings],
        "axes": _axes(data),
        "contests": pack(data.contests),
        "openings": [opening(cases) for cases in of_settings],
        "settling": [settling(setting) for setting in data.settings],
        "records": pack(data.records),
        "values": data.values,
    }


def _views(data: PageData, rows: list[Row]) -> dict[str, Any]:
    """Return each view's columns, with the place of their cells, and what is to be said of all of them."""
    places, words = {key: place for place, key in enumerate(data.cells)}, column_words(rows)
    return {
        name: {
            "note": meanings(view, rows)[1],
            "sparse": view.sparse,
            "columns": [
                {"title": one.title, "text": one.text, "at": places[id(one)], "words": words[name][one.title]}
                for one in view.columns
            ],
        }
        for name, view in VIEWS.items()
    }


def _axes(data: PageData) -> dict[str, list[Any]]:
    """Return the values that the filters offer, in a reader's order."""
    cases = [Case.parse(name) for name in {row["case"] for row in (*data.records, *data.layers, *data.history)}]
    return {
        "model": sorted({case.model for case in cases}, key=lambda name: (depth(name) or 0, name)),
        "variant": look.in_order((case.variant for case in cases), VARIANTS),
        "precision": look.in_order((case.precision for case in cases), PRECISIONS),
        "batch": sorted({case.batch for case in cases}),
        "image": sorted({case.image for case in cases}),
        "launch": look.in_order((case.launch for case in cases), LAUNCHES),
    }


def script_json(value: Any) -> str:
    """Return JSON for a script element: nothing in it can end the element or begin another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # half of a surrogate pair, as a file's name in a library's message may hold, has no UTF-8
    return text.encode(errors="replace").decode()


def _source_expression(script: str) -> str:
    """Return a script's digest as the policy has it."""
    assert not re.search(r"</script|<!--|<script", script, re.I), "this script would end its own element"
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@cache
def library_source() -> str:
    """Return Vega, Vega-Lite and Vega-Embed from the copy in vl-convert: 0.9 MB, bundled once for each version."""
    import vl_convert

    def write(file: Path) -> None:
        file.write_text(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"), encoding="utf-8")

    path, _ = cached_file(f"vegaEmbed of vl-convert {version('vl-convert-python')}", ".js", write)
    return path.read_text(encoding="utf-8")


def _script() -> str:
    """Return the page's own script."""
    return '"use strict";\n(() => {\n' + "\n".join(_asset(f"scripts/{name}.js") for name in SCRIPTS) + "})();\n"


def _asset(name: str) -> str:
    return (files("bench.report.page") / name).read_text(encoding="utf-8")
