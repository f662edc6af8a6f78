"""Each case of a plan as a benchmark of pytest-benchmark. A wrong answer fails the test, and has no time.

All cases run one after the other in this process: `bench run` avoids that, pytest-benchmark cannot.
"""

from __future__ import annotations

from typing import Any

import pytest

from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.plan import Plan
from bench.suite.timed import time_case
from bench.worker.failure import Wrong


def test_case(case: str, benchmark: Any, plan: Plan, env: Environment, pytestconfig: pytest.Config) -> None:
    seed, source = pytestconfig.getoption("--seed"), pytestconfig.getoption("--input")
    try:
        record = time_case(Case.parse(case), plan, env, seed, source, benchmark)
    except Wrong as wrong:
        benchmark.has_error = True  # so that pytest-benchmark writes no time of it
        pytest.fail(f"{case}: {wrong}", pytrace=False)
    if hasattr(benchmark, "extra_info"):
        benchmark.extra_info.update(case=case, record=record)
