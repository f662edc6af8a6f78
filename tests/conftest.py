import faulthandler
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):  # side by side they share the cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // workers)))
HERE = Path(__file__).parent
STARTED = pytest.StashKey[float]()
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
    # Side by side, a file that takes long must not come last. The sort is stable: the order inside a file stays.
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    # Or a run with `-m gpu` would pass the file over (see above) and never say so.
    hidden = sorted({item.path.name for item in wanting if "mark.gpu" not in item.path.read_text()})
    assert not hidden, f"tests are marked gpu in files that do not say mark.gpu: {hidden}"

    for item in wanting:  # before the item's own marks, which outweigh these
        item.add_marker(pytest.mark.filterwarnings(*GPU_WARNINGS), append=False)

    if not torch.cuda.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with turn(item):
        try:
            return (yield)
        finally:
            # The worker's time limits end its process. One that a test leaves behind would end all tests, minutes later
            # and without a word.
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def turn(item: pytest.Item) -> Iterator[None]:
    """Run a test marked `timed` while no test of another process of `-n` runs.

    Whoever waits holds the gate, so that those who come later wait behind it, and a timed test gets its turn.
    """
    if not hasattr(item.config, "workerinput"):
        yield
        return
    running = fcntl.LOCK_EX if item.get_closest_marker("timed") else fcntl.LOCK_SH
    with locked(HERE / "conftest.py", fcntl.LOCK_EX) as gate, locked(HERE, running):
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@contextmanager
def locked(path: Path, operation: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[STARTED] = time.monotonic()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Keep what the last run of all tests took, for `make counts`."""
    everything = config.args == config.getini("testpaths") and not config.option.keyword and not config.option.markexpr
    if everything and hasattr(config, "cache"):  # none with `-p no:cacheprovider`
        number = sum(len(terminalreporter.getreports(outcome)) for outcome in ("passed", "skipped", "failed"))
        config.cache.set("suite/last", {"tests": number, "seconds": round(time.monotonic() - config.stash[STARTED])})


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
