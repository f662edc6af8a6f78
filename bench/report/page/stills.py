"""The page's charts and answer as SVG and PNG files for slides and documents, drawn without a browser.

A chart is drawn from the page's own specification under its finding and its source, at the sizes of the page, and
scaled as a whole, so that its text can be read from where it is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from math import ceil
from pathlib import Path
from textwrap import wrap
from typing import Any

from bench.files import check_writable, write_file
from bench.kinds import kind_of
from bench.report.page import answers, look, overview, sections
from bench.report.page.answers import Picture
from bench.report.page.contests import opening
from bench.report.page.data import PageData, gather
from bench.report.page.document import require_libraries, shown
from bench.report.page.encoding import NUMBERS, Rows, Spec
from bench.report.page.findings import finding
from bench.report.page.settings import Setting

SOFTWARE = ("torch", "onnxruntime", "onnxruntime-gpu", "openvino")  # that a picture names where it was used
WIDE = {"bold": 0.58, "normal": 0.52}  # of a letter, in parts of its size: what few fonts exceed on average
LEAST, MOST = 90, 1200  # pixels that a panel may get
TITLE_LINES = 3  # of a title, whose last clauses are left out beyond
LEAST_SCALE = 0.9  # of that of a slide, at which its text can still be read


@dataclass(frozen=True)
class Frame:
    """Where a picture is shown: its pixels (height 0: as many as it takes), those of its text, and its colours."""

    name: str
    width: int
    height: int
    scale: float  # of the chart, whose text has 11 pixels
    title: int
    small: int
    margin: int
    mode: int
    dense: float  # pixels of a PNG for each

    def wrapped(self, text: str, size: int, weight: str) -> list[str]:
        """Return a text as lines that fit beside the margins, none much shorter than the others."""
        room = (self.width - 2 * self.margin) / (WIDE[weight] * size)
        lines = ceil(len(text) / room)
        return wrap(text, min(int(room), ceil(1.1 * len(text) / lines) + 4)) if text else []

    def written(self, text: str, size: int, y: float, weight: str = "normal") -> tuple[str, float]:
        """Return the SVG of a text from a height on, and where it ends."""
        fill = look.COLOURS["ink" if weight == "bold" else "soft"][self.mode]
        font = f'font-family="{look.STILL_FONT}" font-size="{size}px" font-weight="{weight}" fill="{fill}"'
        pieces = []
        for line in self.wrapped(shown(text), size, weight):
            y += 1.25 * size
            pieces.append(f'<text x="{self.margin}" y="{y:.1f}" {font}>{escape(line)}</text>')
        return "".join(pieces), y + 0.3 * size


SLIDE = Frame("slide", 1280, 720, 1.85, 34, 20, 44, look.LIGHT, 1.5)
FRAMES = (
    SLIDE,
    Frame("light", 800, 0, 1.1, 17, 12, 14, look.LIGHT, 2.0),
    Frame("dark", 800, 0, 1.1, 17, 12, 14, look.DARK, 2.0),
)


def readme_pictures(folder: str | Path) -> dict[str, bytes]:
    """Return the pictures of a results folder for a document, light and dark, by their files' names, the answer first.

    Equal records give equal bytes. Raises UnableError, and StoreError for a folder without records.
    """
    require_libraries()
    return {
        f"{name}-{frame.name}.svg": framed(picture, source, frame).encode()
        for name, picture, source in _answers(gather([folder]).settings[0])
        for frame in FRAMES[1:]
    }


def save_stills(folders: Iterable[str | Path], target: Path) -> list[Path]:
    """Write each picture that the folders' records fill to the folder `target`, of the machine with the most cases.

    Each is there as a slide and for documents, light and dark, as SVG and PNG. Returns the files. Raises UnableError,
    and StoreError for a folder without records or a target that cannot be written.
    """
    require_libraries()
    check_writable(target / "answer-slide.svg", cure="name another folder with --stills")
    import vl_convert

    data = gather(folders)
    files = []
    for name, picture, source in (*_answers(data.settings[0]), *_charts(data)):
        for frame in FRAMES:
            if not (svg := framed(picture, source, frame)):
                continue
            png = vl_convert.svg_to_png(svg, scale=frame.dense)
            for suffix, content in ((".svg", svg.encode()), (".png", png)):
                files.append(target / f"{name}-{frame.name}{suffix}")
                write_file(files[-1], content, kind=kind_of(content))
    return files


def _answers(setting: Setting) -> Iterator[tuple[str, Picture, str]]:
    for name, draw in (("answer", answers.answer), ("heat", answers.heat)):
        if picture := draw(setting):
            yield name, picture, source_of(setting)


def _charts(data: PageData) -> Iterator[tuple[str, Picture, str]]:
    """Yield each chart that the records of the first machine fill, with what it shows and its source."""
    source = source_of(data.settings[0])
    opened = opening([row for row in data.cases if not row["setting"]])
    for section in sections.SECTIONS:
        for name, spec in section.draw(data).items():
            dataset = spec["usermeta"]["dataset"]
            if dataset == "history":
                if still := overview.still(data.overview):
                    yield name, Picture(still, data.overview.finding, ""), still["description"]
            elif full := chosen(spec, data.datasets[dataset], opened if dataset == "cases" else {}):
                yield name, _picture(name, spec, full, opened if dataset == "cases" else {}), source


def _picture(name: str, spec: Spec, full: list[Rows], opened: dict[str, str]) -> Picture:
    """Return the picture of some panels of a chart, with what its title and the line below it say."""
    meta = spec["usermeta"]
    panels = [fastest_lines(panel, meta["line"], meta["most"]) for panel in full]
    rows = [row for panel in panels for row in panel]
    still = deepcopy(spec) | {"datasets": {meta["dataset"]: rows}, "columns": len(panels)}
    bars = max(len({row[meta["line"]] for row in panel}) for panel in panels)
    still["usermeta"] |= {"panels": len(panels), "bars": bars}
    if step := meta.get("step"):
        still["spec"]["height"] = step * bars
    still["config"]["legend"] |= {"layout": {"top": {"direction": "vertical", "anchor": "start"}}}
    words = [word for axis, word in opened.items() if axis not in meta["free"]]
    words += [f"the {meta['most']} fastest, and eager"] * (len(rows) < sum(map(len, full)))
    return Picture(
        still,
        finding(name, rows) or spec["description"],
        ": ".join(filter(None, (spec["description"], ", ".join(words)))),
    )


def chosen(spec: Spec, rows: Rows, opened: dict[str, str]) -> list[Rows]:
    """Return all rows of the panels that a still draws, the fullest.

    Rows of other machines than the first are left out, and of the filters' axes what the page does not open on.
    """
    meta = spec["usermeta"]
    ids = None if meta["ids"] is None else set(meta["ids"])
    wanted = {axis: value for axis, value in opened.items() if axis not in meta["free"]}
    drawn: dict[Any, Rows] = {}
    for row in rows:
        of_chart = not row["setting"] and (ids is None or row["id"] in ids)
        if of_chart and all(row[axis] == value for axis, value in wanted.items()):
            drawn.setdefault(row[meta["panel"]], []).append(row)
    # beside names there is no room for two
    return sorted(drawn.values(), key=len, reverse=True)[: 2 if meta["gutter"] <= NUMBERS else 1]


def fastest_lines(rows: Rows, line: str, most: int) -> Rows:
    """Return the rows of the `most` lines (0: all) with the least rank in any row, the first of equals, and eager's.

    The best of eager takes the last place where it would be left out, as all others are read against it.
    """
    lines: dict[Any, Rows] = {}
    for row in rows:
        lines.setdefault(row[line], []).append(row)
    if not most or len(lines) <= most:
        return rows
    ranked = sorted(lines.values(), key=lambda of: min(row["rank"] for row in of))
    kept, eager = ranked[:most], [of for of in ranked if of[0]["variant"] == "eager"]
    if eager and not any(of is eager[0] for of in kept):
        kept[-1] = eager[0]
    ids = {row["id"] for of in kept for row in of}
    return [row for row in rows if row["id"] in ids]


def source_of(setting: Setting) -> str:
    """Return where records are from: the machine, its software and the days."""
    records = [record for record in setting.records if record.status == "ok"] or setting.records
    days = sorted({record.day for record in records})
    packages = {name: version for record in records for name, version in record.environment.get("packages", {}).items()}
    used = {"torch", *(f"{record.case.variant.partition('-')[0]}{end}" for record in records for end in ("", "-gpu"))}
    software = [f"{name} {packages[name]}" for name in SOFTWARE if name in packages and name in used]
    return ", ".join([setting.label, *software, " to ".join(dict.fromkeys((days[0], days[-1])))])


def framed(picture: Picture, source: str, frame: Frame) -> str:
    """Return the SVG of a chart that fills a frame under its title and source, and over what its marks mean.

    It is empty where a slide has no room for the chart's text.
    """
    title = picture.finding.rstrip(".")
    while "; " in title and len(frame.wrapped(title, frame.title, "bold")) > TITLE_LINES:
        title = title.rpartition("; ")[0]
    head, y = frame.written(title, frame.title, frame.margin / 2, "bold")
    of, top = frame.written(source, frame.small, y)
    _, foot = frame.written(picture.legend, frame.small, 0)
    top += frame.small / 2
    room = frame.width - 2 * frame.margin
    high = (frame.height - top - foot - frame.margin / 2) / frame.scale if frame.height else 0.0
    drawing, width, height = fitted(json.dumps(shown(picture.spec)), room / frame.scale, high)
    scale = min(frame.scale, room / width, *([high * frame.scale / height] if high else []))
    if frame.height and scale < LEAST_SCALE * frame.scale:
        return ""
    bottom = frame.height - foot - frame.margin / 2 if frame.height else top + height * scale
    below, end = frame.written(picture.legend, frame.small, bottom)
    whole = frame.height or ceil(end + frame.margin / 2)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{frame.width}" height="{whole}" '
        f'viewBox="0 0 {frame.width} {whole}"><title>{escape(shown(picture.finding))}</title>'
        f'<rect width="{frame.width}" height="{whole}" fill="{look.COLOURS["paper"][frame.mode]}"/>{head}{of}{below}'
        f'<svg x="{frame.margin}" y="{top:.1f}" width="{width * scale:.1f}" height="{height * scale:.1f}" '
        f'viewBox="0 0 {width:g} {height:g}">{look.coloured(drawing, frame.mode)}</svg></svg>\n'
    )


@lru_cache(maxsize=2)  # light and dark differ in the variables' values alone
def fitted(spec: str, width: float, height: float) -> tuple[str, float, float]:
    """Return what stands inside the SVG of a chart whose panels grow to a width and, unless 0, a height; its size.

    Its colours are still variables.
    """
    still = json.loads(spec)
    still["config"]["font"] = look.STILL_FONT
    view, meta, columns = still.get("spec", still), still["usermeta"], still.get("columns", 1)
    rows = ceil(meta.get("panels", 1) / columns)
    svg, wide, high = _drawn(still)
    for _ in range(2):  # the second time, as an axis may have other labels in another size
        view["width"] = _grown(view["width"], (width - wide) / columns)
        if height and isinstance(view["height"], dict):
            view["height"]["step"] = max(12, min(48, view["height"]["step"] + (height - high) / rows / meta["bars"]))
        elif height and (step := meta.get("step")):
            view["height"] = max(step * meta["bars"], _grown(view["height"], (height - high) / rows))
        elif height:
            view["height"] = _grown(view["height"], (height - high) / rows)
        svg, wide, high = _drawn(still)
    return svg, wide, high


def _grown(pixels: int, by: float) -> int:
    return int(max(LEAST, min(MOST, pixels + by)))


def _drawn(still: Spec) -> tuple[str, float, float]:
    import vl_convert

    svg = vl_convert.vegalite_to_svg(json.dumps(still), show_warnings=False)
    head = re.match(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>(?:<rect width[^>]*/>)?', svg)
    assert head, svg[:200]
    return svg[head.end() :].removesuffix("</svg>"), float(head[1]), float(head[2])
