"""Results folders to compare."""

from pathlib import Path

import pytest

from tests.bench.verdicts.sides import Folder, Make, folders_in


@pytest.fixture
def folder(tmp_path: Path, record: Make) -> Folder:
    """Makes a results folder under `tmp_path`, as `folders_in` does."""
    return folders_in(tmp_path, record)
