"""A folder of the sweep; and, for the tests in a browser, one browser and the pages of all sizes, each made once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.machine.environment import ROOT
from bench.records.store import FILE
from tests import gpu_records
from tests.bench.report.page.browsing import Shown, open_page
from tests.bench.report.page.sweeps import Make, stored, sweep

ROUNDS = {1700: 3}  # of the sizes of pages; others have one


@pytest.fixture
def swept(tmp_path: Path, record: Make) -> Path:
    return stored(tmp_path / "swept", sweep(record))


@pytest.fixture(scope="package")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The folder of so many made-up cases of a GPU, with its files of layers; 0 is for the committed records."""

    @cache
    def folder(cases: int) -> Path:
        if not cases:
            return ROOT / "results" / "cpu-quick"
        made = tmp_path_factory.mktemp("records")
        lines = gpu_records.sweep(cases, ROUNDS.get(cases, 1))
        (made / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return made

    return folder


@pytest.fixture(scope="package")
def page_of(tmp_path_factory: pytest.TempPathFactory, folder_of: Callable[[int], Path]) -> Callable[[int], Path]:
    """The page of `folder_of`."""

    @cache
    def page(cases: int) -> Path:
        return render(tmp_path_factory.mktemp("page") / "report.html", folder_of(cases))

    return page


@pytest.fixture(scope="package")
def quick(page_of: Callable[[int], Path]) -> Path:
    """The page of the committed records."""
    return page_of(0)


def render(path: Path, *folders: Path) -> Path:
    pytest.importorskip("vl_convert")
    from bench.report.page.document import render_page

    path.write_text(render_page(folders))
    return path


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Shown]]:
    """Opens a page as `open_page` does, and closes it after the test, which fails by whatever the browser said."""
    pages = []

    def show(path: Path, fragment: str = "", **settings: Any) -> Shown:
        pages.append(open_page(browser, path, fragment, **settings))
        return pages[-1]

    yield show
    for shown in pages:
        shown.page.context.close()
    assert [line for shown in pages for line in shown.said] == []


@pytest.fixture(scope="package")
def drawn(browser: Any, page_of: Callable[[int], Path]) -> Callable[..., Shown]:
    """A page of so many cases, opened once for tests that only look, with every chart drawn."""
    from tests.bench.report.page.browsing import draw_all

    @cache
    def show(cases: int, scheme: str = "light", fragment: str = "", width: int = 1280) -> Shown:
        size = {"width": width, "height": 900}
        shown = open_page(browser, page_of(cases), fragment, color_scheme=scheme, viewport=size)
        draw_all(shown)
        return shown

    return show
