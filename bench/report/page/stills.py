"""The page's charts as SVG and PNG files, drawn by vl-convert from the same specifications, without a browser."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.files import check_writable, write_file
from bench.kinds import kind_of
from bench.report.page import answers, look, sections, slides
from bench.report.page.data import PageData, gather
from bench.report.page.document import require_libraries, shown
from bench.report.page.encoding import Spec
from bench.report.page.settings import Setting

SOFTWARE = ("torch", "onnxruntime", "onnxruntime-gpu", "openvino")  # that a picture names where it was used
PANELS = 6  # as the page draws before a reader chooses others
SCALE = 2.0  # of PNGs, for dense screens
SINGLE_WIDTH = 620  # pixels of a panel that stands alone: its legend is no wider


def readme_pictures(folder: str | Path) -> dict[str, bytes]:
    """Return the pictures of a results folder for a document, light and dark, by their files' names.

    Equal records give equal bytes. Raises UnableError, and StoreError for a folder without records.
    """
    require_libraries()
    return {
        f"{name}-{frame.name}.svg": slides.framed(picture.spec, picture.finding, source, picture.legend, frame).encode()
        for name, picture, source in _pictures(gather([folder]))
        for frame in slides.FRAMES
        if frame is not slides.SLIDE
    }


def _pictures(data: PageData) -> list[tuple[str, answers.Picture, str]]:
    """Return the pictures that the records fill, with their names and sources, of the machine with the most cases."""
    setting = data.settings[0]
    answer = answers.answer(setting)
    return [("answer", answer, source_of(setting))] if answer else []


def source_of(setting: Setting) -> str:
    """Return where records are from: the machine, its software and the days."""
    records = [record for record in setting.records if record.status == "ok"] or setting.records
    days = sorted({record.day for record in records})
    packages = {name: version for record in records for name, version in record.environment.get("packages", {}).items()}
    used = {"torch", *(f"{record.case.variant.partition('-')[0]}{end}" for record in records for end in ("", "-gpu"))}
    software = [f"{name} {packages[name]}" for name in SOFTWARE if name in packages and name in used]
    return ", ".join([setting.label, *software, " to ".join(dict.fromkeys((days[0], days[-1])))])


def save_stills(folders: Iterable[str | Path], target: Path) -> list[Path]:
    """Write each chart that the folders' records fill to the folder `target`, of the machine with the most cases.

    Returns the files. Raises UnableError, and StoreError for a folder without records or a target that cannot be
    written.
    """
    require_libraries()
    check_writable(target / "answer.svg", cure="name another folder with --stills")
    import vl_convert

    data = gather(folders)
    files = []
    for section in sections.SECTIONS:
        for name, spec in section.draw(data).items():
            dataset = spec["usermeta"]["dataset"]
            still = _still(spec, data.datasets[dataset], data.settings[0].label if dataset != "history" else "")
            if still is not None:
                text = json.dumps(shown(still))
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
    still: Spec = look.with_colours(spec)
    still["datasets"] = {meta["dataset"]: [row for panel in shown for row in panel]}
    still["columns"] = min(2, len(shown))
    if len(shown) == 1:
        still["spec"]["width"] = SINGLE_WIDTH
    still["background"] = "white"
    still["padding"] = 10
    still["title"] = {"text": spec["description"], "subtitle": machine, "offset": 12}
    return still
