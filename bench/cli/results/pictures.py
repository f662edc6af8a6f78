"""The README's pictures: drawn from records, and badges of what pyproject.toml and the pinned versions say."""

from __future__ import annotations

import re
import tomllib
from html import escape
from pathlib import Path

from bench.report.markdown import PICTURES, Files, first_folder

# GitHub's, of the workflow in the repository that shows the page: the link is relative, and elsewhere leads nowhere
CI = "[![CI](../../actions/workflows/ci.yml/badge.svg)](../../actions/workflows/ci.yml)"
LETTER = 6.6  # pixels of a letter of 11
COLOURS = {"Python": "#2f6f9f", "torch": "#a5492a", "licence": "#3a7d44"}


def draw_picture(root: Path, source: str, files: Files) -> str:
    """Return the HTML of the picture of the folder that a document shows first, drawn for light and for dark pages."""
    from bench.report.page.stills import readme_pictures

    drawn = readme_pictures(root / first_folder(root, source))
    name = next(name for name in drawn if name.endswith("-light.svg"))
    light, dark = PICTURES / name, PICTURES / name.replace("-light.", "-dark.")
    files |= {root / file: drawn[file.name] for file in (light, dark)}
    said = re.search(r"<title>(.*?)</title>", drawn[name].decode(), re.S)
    lines = (
        "<p><picture>",
        f'  <source media="(prefers-color-scheme: dark)" srcset="{dark}">',
        f'  <img alt="{said[1] if said else ""}" src="{light}">',
        "</picture></p>",
    )
    return "\n".join(lines) + "\n"


def draw_badges(root: Path, _: str, files: Files) -> str:
    """Return the line of badges: the workflow's own, then the Pythons, the versions of torch in CI, the licence."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    low, high = (int(minor) for minor in re.findall(r"3\.(\d+)", project["requires-python"]))
    pinned = [path.read_text("utf-8") for path in sorted(root.glob("constraints*.txt"))]
    torch = sorted({match[1] for text in pinned if (match := re.search(r"^torch==(\d+\.\d+)", text, re.M))})
    said = {
        "Python": " | ".join(f"3.{minor}" for minor in range(low, high)),
        "torch": " | ".join(torch),
        "licence": project["license"],
    }
    line = [CI]
    for label, text in said.items():
        file = PICTURES / f"badge-{label.lower()}.svg"
        files[root / file] = _badge(label, text, COLOURS[label]).encode()
        line.append(f"[![{label}: {text.replace(' | ', ', ')}]({file})]({_about(label)})")
    return "\n".join(line) + "\n"


def _about(label: str) -> str:
    return {"Python": "pyproject.toml", "torch": "docs/CONTRIBUTING.md#change-a-version", "licence": "LICENSE"}[label]


def _badge(label: str, text: str, colour: str) -> str:
    left, right = (round(LETTER * len(words)) + 12 for words in (label, text))
    width = left + right
    written = "".join(
        f'<text x="{x}" y="14" textLength="{wide - 12}" lengthAdjust="spacingAndGlyphs">{escape(words)}</text>'
        for x, wide, words in ((6, left, label), (left + 6, right, text))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img">'
        f"<title>{escape(f'{label}: {text}')}</title>"
        f'<clipPath id="round"><rect width="{width}" height="20" rx="3"/></clipPath><g clip-path="url(#round)">'
        f'<rect width="{left}" height="20" fill="#555"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        f'</g><g fill="#fff" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11">{written}</g></svg>\n'
    )
