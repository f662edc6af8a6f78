"""A folder of the sweep, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.report.page import sweeps
from tests.bench.report.page.driving import CHROMIUM, DRAWN
from tests.bench.report.page.sweeps import Make, stored, sweep


@pytest.fixture
def swept(tmp_path: Path, record: Make) -> Path:
    return stored(tmp_path / "swept", sweep(record))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with pytest.importorskip("playwright.sync_api").sync_playwright() as driver:
        # a container's root has no sandbox to give; what is opened is a file that these tests made
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
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
