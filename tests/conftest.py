import os
import signal
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a CI must not fail by a draw. HYPOTHESIS_PROFILE=search draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("search")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

os.environ["KERAS_BACKEND"] = "torch"
# On a shared machine threads that spin while they wait take the cores from those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What a GPU machine's stack warns of, once and in whichever test comes first, fails no test; what our modules do, does.
GPU_WARNINGS = ("default", r"error:::(bench|kernels|resnet|tests)(\.|$)")
# A background job of a shell ignores Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    # A GPU machine may have pytest and hypothesis alone, and pytest-timeout's setting is then unknown: an error.
    if not pluginmanager.hasplugin("timeout"):
        parser.addini("timeout", "seconds a test may take, kept by pytest-timeout where that is installed")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu`, what no such test is in: two thirds of the files' imports, in each process of `-n`."""
    words = str(config.option.markexpr).split()
    if words[:1] != ["gpu"] or "or" in words or not fnmatch(collection_path.name, "test_*.py"):
        return None
    return True if "mark.gpu" not in collection_path.read_text() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    for item in wanting:  # before the item's own marks, which outweigh these
        item.add_marker(pytest.mark.filterwarnings(*GPU_WARNINGS), append=False)

    if not torch.cuda.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
