"""The page's charts as files: SVG and PNG of the same specifications, by vl-convert, without a browser."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.files import write_file
from bench.report.page import look
from bench.report.page.data import gather
from bench.report.page.document import grammar, need
from bench.report.page.encoding import Spec
from bench.report.page.sections import drawn

PANELS = 6  # as the page draws before a reader chooses others
SCALE = 2.0  # of PNGs, for dense screens
WIDE = 620  # pixels of a panel that stands alone: its legend is no wider


def write(folders: Iterable[str | Path], place: Path) -> list[Path]:
    """Write each chart that the folders' records fill to `place`, of the machine with the most cases.

    Returns the files. Raises StoreError for a folder that is none and for a place that cannot be written,
    UnableError.
    """
    need()
    import vl_convert

    data = gather(folders)
    made = []
    for section in drawn(data)[0]:
        for chart in section.section.charts:
            if chart.name not in section.specs:
                continue
            still = _still(
                section.specs[chart.name],
                data.rows(chart.dataset),
                data.settings[0].label if chart.dataset != "history" else "",
            )
            if still is None:
                continue
            text = json.dumps(still)
            svg = vl_convert.vegalite_to_svg(text, vl_version=grammar(), show_warnings=False)
            png = vl_convert.vegalite_to_png(text, vl_version=grammar(), scale=SCALE, show_warnings=False)
            for ending, content in ((".svg", svg.encode()), (".png", png)):
                made.append(place / f"{chart.name}{ending}")
                write_file(made[-1], content)
    return made


def _still(spec: Spec, rows: list[dict[str, Any]], where: str) -> Spec | None:
    """A specification with its data, of the first machine; None where that has none of it."""
    meta = spec["usermeta"]
    ids = None if meta["ids"] is None else set(meta["ids"])
    panels: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if not row["setting"] and (ids is None or row["id"] in ids):
            panels.setdefault(row[meta["panel"]], []).append(row)
    if not panels:
        return None
    shown = list(panels.values())[:PANELS]
    if meta["most"]:
        shown = [sorted(panel, key=lambda row: row["rank"])[: meta["most"]] for panel in shown]
    plain: Spec = look.plain(spec)
    plain["datasets"] = {meta["dataset"]: [row for panel in shown for row in panel]}
    plain["columns"] = min(2, len(shown))
    if len(shown) == 1:
        plain["spec"]["width"] = WIDE
    plain["background"] = "white"
    plain["padding"] = 10
    plain["title"] = {"text": spec["description"], "subtitle": where, "offset": 12}
    return plain
