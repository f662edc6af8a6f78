"""Markdown as GitHub shows a comment: the HTML, in its style, at its width."""

from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

WIDTH = 838  # pixels of the column of a comment on a wide screen
STYLE = """
body { margin: 0; width: 838px; font: 14px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
table { display: block; width: max-content; max-width: 100%; overflow: auto; border-collapse: collapse; }
th, td { padding: 6px 13px; border: 1px solid #d1d9e0; }
th { font-weight: 600; }
tr:nth-child(2n) { background: #f6f8fa; }
code { padding: .2em .4em; font: 85% ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
  white-space: break-spaces; background: #818b981f; border-radius: 6px; }
sub { font-size: 75%; line-height: 0; position: relative; bottom: -.25em; }
details, p, ul, table { margin: 0 0 16px; }
"""


def html(markdown: str) -> str:
    return f"<!doctype html><style>{STYLE}</style>{MarkdownIt('commonmark').enable('table').render(markdown)}"


def widths(page: Any, markdown: str) -> list[tuple[int, int]]:
    """What each table needs, and what it has, in pixels, with all that is folded open."""
    page.set_viewport_size({"width": WIDTH, "height": 900})
    page.set_content(html(markdown).replace("<details>", "<details open>"))
    measured = "tables => tables.map(table => [table.scrollWidth, table.clientWidth])"
    return [(need, has) for need, has in page.eval_on_selector_all("table", measured)]


def picture(page: Any, markdown: str, file: Path) -> None:
    page.set_viewport_size({"width": WIDTH, "height": 900})
    page.set_content(html(markdown))
    page.screenshot(path=file, full_page=True)
