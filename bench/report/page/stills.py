"""The page's charts as SVG and PNG files, drawn by vl-convert from the same specifications, without a browser."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.files import check_writable, write_file
from bench.kinds import kind_of
from bench.report.page import look, overview, sections
from bench.report.page.data import gather
from bench.report.page.document import require_libraries, shown
from bench.report.page.encoding import Spec

PANELS = 6  # as the page draws before a reader chooses others
SCALE = 2.0  # of PNGs, for dense screens
SINGLE_WIDTH = 620  # pixels of a panel that stands alone: its legend is no wider


def save_stills(folders: Iterable[str | Path], target: Path) -> list[Path]:
    """Write each chart that the folders' records fill to the folder `target`, of the machine with the most cases.

    Returns the files. Raises UnableError, and StoreError for a folder without records or a target that cannot be
    written.
    """
    require_libraries()
    check_writable(target / "answer.svg", cure="name another folder with --stills")
    import vl_convert

    data = gather(folders)
    machine, files = data.settings[0].label, []
    for section in sections.SECTIONS:
        for name, spec in section.draw(data).items():
            dataset = spec["usermeta"]["dataset"]
            over_commits = dataset == "history"
            still = overview.still(data.overview) if over_commits else _still(spec, data.datasets[dataset], machine)
            if still is not None:
                text = json.dumps(shown(look.with_light_colours(still)))
                svg = vl_convert.vegalite_to_svg(text, show_warnings=False).encode()
                png = vl_convert.vegalite_to_png(text, scale=SCALE, show_warnings=False)
                for suffix, content in ((".svg", svg), (".png", png)):
                    files.append(target / f"{name}{suffix}")
                    write_file(files[-1], content, kind=kind_of(content))
    return files


def _still(spec: Spec, rows: list[dict[str, Any]], machine: str) -> Spec | None:
    """Return a specification with its data, of the first machine; None where that machine has none."""
    meta = spec["usermeta"]
    ids = {row["id"] for row in rows} if meta["ids"] is None else set(meta["ids"])
    panels: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if not row["setting"] and row["id"] in ids:
            panels.setdefault(row[meta["panel"]], []).append(row)
    if not panels:
        return None
    shown = list(panels.values())[:PANELS]
    if meta["most"]:
        shown = [sorted(panel, key=lambda row: row["rank"])[: meta["most"]] for panel in shown]
    still: Spec = look.with_light_colours(spec)
    still["datasets"] = {meta["dataset"]: [row for panel in shown for row in panel]}
    still["columns"] = min(2, len(shown))
    if len(shown) == 1:
        still["spec"]["width"] = SINGLE_WIDTH
    still["background"] = "white"
    still["padding"] = 10
    still["title"] = {"text": spec["description"], "subtitle": machine, "offset": 12}
    return still
