import os
import signal

import pytest
from hypothesis import settings

# The same examples in every run: a CI must not fail by a draw. HYPOTHESIS_PROFILE=search draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("search")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

os.environ["KERAS_BACKEND"] = "torch"
# On a shared machine threads that spin while they wait take the cores from those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A background job of a shell ignores Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    # A GPU machine may have pytest and hypothesis alone, and pytest-timeout's setting is then unknown: an error.
    if not pluginmanager.hasplugin("timeout"):
        parser.addini("timeout", "seconds a test may take, kept by pytest-timeout where that is installed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
