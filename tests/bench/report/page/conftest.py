"""A folder of the sweep; one browser for all tests of pages, and the pages of made-up sweeps, each made once."""

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
from tests.bench.report.page import sweeps
from tests.bench.report.page.browsing import Shown, draw_all, open_page, render
from tests.bench.report.page.driving import CHROMIUM, DRAWN
from tests.bench.report.page.sweeps import Make, stored, sweep

ROUNDS = {1700: 3}  # of the made-up cases; of others one


@pytest.fixture
def swept(tmp_path: Path, record: Make) -> Path:
    return stored(tmp_path / "swept", sweep(record))


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    with pytest.importorskip("playwright.sync_api").sync_playwright() as driver:
        # a container's root has no sandbox to give; what is opened is a file that these tests made
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="package")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the committed records, in a file."""
    path = tmp_path_factory.mktemp("quick") / "report.html"
    path.write_text(sweeps.quick())
    return path


@pytest.fixture
def told() -> list[str]:
    """What the browser asked of a network or complained about."""
    return []


@pytest.fixture
def opened(browser: Any, told: list[str]) -> Iterator[Any]:
    """Opens a page's file, as any reader's settings have it."""
    contexts = []

    def show(path: Path, at: str = "", **settings: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
        contexts.append(context)
        shown = context.new_page()
        mine = path.as_uri()
        shown.on("request", lambda sent: told.append(sent.url) if sent.url.partition("#")[0] != mine else None)
        shown.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
        shown.on("pageerror", lambda error: told.append(str(error)))
        shown.on("dialog", lambda dialog: (told.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        shown.goto(path.as_uri() + at)
        shown.wait_for_selector(DRAWN, timeout=60_000)
        return shown

    yield show
    for context in contexts:
        context.close()


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


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Shown]]:
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

    @cache
    def show(cases: int, scheme: str = "light", fragment: str = "", width: int = 1280) -> Shown:
        size = {"width": width, "height": 900}
        shown = open_page(browser, page_of(cases), fragment, color_scheme=scheme, viewport=size)
        draw_all(shown)
        return shown

    return show
