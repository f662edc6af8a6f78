"""Options and cases of the suite; the options of pytest-benchmark work as its documentation says."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from bench.errors import BenchError
from bench.machine.environment import environment
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.plans.choose import Selection, choose
from bench.plans.eligible import why_not
from bench.plans.plan import Plan

PLAN = pytest.StashKey[Plan]()
ENVIRONMENT = pytest.StashKey[Environment]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    group = parser.getgroup("resnet-bench")
    group.addoption(
        "--plan", default="smoke", help="A plan's name or TOML file, a case's name, or some of its segments.  [smoke]"
    )
    group.addoption(
        "--cases", action="append", metavar="GLOB", help="Only cases that have these whole segments; repeat for more."
    )
    group.addoption("--seed", type=int, default=0, help="Of the weights and the pictures.  [0]")
    group.addoption("--input", default="photos", metavar="photos|noise|DIR", help="What the model looks at.  [photos]")
    # without pytest-timeout the project's setting of a timeout is unknown, which is an error
    if not pluginmanager.hasplugin("timeout"):
        parser.addini("timeout", "seconds a test may take, kept by pytest-timeout where that is installed")


def pytest_configure(config: pytest.Config) -> None:
    # the project's tests make warnings errors; here one would end a benchmark, or the session between two hooks
    config.addinivalue_line("filterwarnings", "default")
    warnings.simplefilter("default")
    if not any(config.pluginmanager.hasplugin(name) for name in ("benchmark", "codspeed")):
        raise pytest.UsageError("the suite is timed by pytest-benchmark: pip install 'pytest-benchmark>=5.1'")
    try:
        plan = choose(Selection(config.getoption("--plan"), only=config.getoption("--cases") or ()))
    except BenchError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[PLAN], config.stash[ENVIRONMENT] = plan, environment()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        plan, env = metafunc.config.stash[PLAN], metafunc.config.stash[ENVIRONMENT]
        # by name, because pytest-benchmark writes parameters into its JSON
        metafunc.parametrize("case", [_parameter(case, plan, env) for case in plan.cases])


def _parameter(case: Case, plan: Plan, env: Environment) -> Any:
    reason = "asks for the largest batch that fits, and is not timed" if case.largest else None
    reason = reason or why_not(case, env, plan.reserved)
    marks = [pytest.mark.skip(reason=reason)] if reason else []
    return pytest.param(case.name, id=case.name, marks=marks)


@pytest.fixture
def plan(pytestconfig: pytest.Config) -> Plan:
    return pytestconfig.stash[PLAN]


@pytest.fixture
def env(pytestconfig: pytest.Config) -> Environment:
    return pytestconfig.stash[ENVIRONMENT]
