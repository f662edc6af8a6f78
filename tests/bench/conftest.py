"""Records, plans and machines for tests of the harness."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.cli import console
from bench.machine.environment import environment
from bench.plans.case import Case
from bench.records.record import Record
from tests.bench.report.page.browsing import CHROMIUM

pytest.register_assert_rewrite("tests.bench.roofline.told")  # a failure shows values, as in a test's own file


@pytest.fixture(autouse=True)
def _not_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command called with `--quiet` in this process leaves the next test as loud as it was."""
    monkeypatch.setattr(console._Quiet, "on", False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium that is here already, one a process of tests; it has no second beside it."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as driver:
        # a container's root has no sandbox to give; what is opened is a file that these tests made
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def here() -> dict[str, Any]:
    """This machine, as the harness reads it."""
    return environment()


@pytest.fixture
def record(here: dict[str, Any]) -> Callable[..., Record]:
    """Makes a good record of a case whose times are given."""

    def make(name: str, *, ms: float = 10.0, round: int = 0, status: str = "ok", **fields: Any) -> Record:
        case = Case.parse(name)
        ns = round_to_ns(ms)
        measured: dict[str, Any] = {
            "latency_ns": [ns - 1000, ns, ns + 1000] * 5,
            "latency_stop": {"rule": "noise", "asked": 0.02, "reached": 0.01},
            "throughput": {"images": 100 * case.batch, "ns": 100 * ns},
            "memory": {"host_resident_peak": 500 << 20, "device_process": None},
            "gate": {"before": {"rms_multiple": 1.0, "max_multiple": 1.0, "top1": 1.0}},
            "input": {"source": "photos"},
        }
        if status != "ok":
            measured = {}
        rest = {"device": "cpu", "started": "2026-01-31T12:00:00+00:00", "plan": {"name": "test", "digest": "0"}}
        return Record(case, round, status, **(measured | rest | {"environment": here} | fields))

    return make


def round_to_ns(ms: float) -> int:
    return round(ms * 1e6)
