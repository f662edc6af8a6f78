import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnet
from bench.machine.environment import environment

PIXELS = 32


@pytest.fixture(autouse=True)
def _toys_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has `outside_toys`, and what it puts on the path goes again."""
    monkeypatch.chdir(Path(__file__).parent)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def toy() -> Callable[..., Any]:
    """A toy by its name, on noise of 32 pixels."""

    def make(name: str, **options: Any) -> Any:
        return resnet.build(f"outside_toys:{name}", **{"source": "noise", "image": PIXELS, **options})

    return make


@pytest.fixture(scope="session")
def here() -> Any:
    """This machine, as plans ask for it."""
    return environment()
