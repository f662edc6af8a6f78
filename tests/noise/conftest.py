from pathlib import Path

import numpy as np
import pytest

from tests.noise.measured import Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A place for folders, and for what the product keeps of them."""
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    return Lab(tmp_path, seed=1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)
