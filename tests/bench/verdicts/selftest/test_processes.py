"""Rates of wrong numbers of processes: quick ones hold what the full ones publish, and the tables have them all."""

from typing import Any

import numpy as np
import pytest

from bench.verdicts.selftest.processes import (
    COUNTS,
    PROCESSES,
    SAMPLES,
    TAILS,
    clear_leads,
    process_blocks,
    simulate_processes,
)

SIZE = 50  # trials of a rate; 95 % of so many are under 42 once in a thousand times


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return simulate_processes(0, quick=True)


def test_intervals_hold_where_they_are_said_to(results: dict[str, Any]) -> None:
    rows = [row for row in results["median"] if row["n"] >= 50 and row["shape"] != "states"]
    assert min(row["coverage"] for row in rows) >= 42 / SIZE
    assert np.mean([row["coverage"] for row in rows]) >= 0.95
    plain = [row["plain"] for row in rows if row["rho"] == 0.9 and row["shape"] == "normal"]
    assert max(plain) < 0.7  # what it cures
    assert all(row["wider"] < 1.25 for row in rows if not row["rho"] and row["shape"] in ("normal", "heavy"))


def test_the_rule_ends_with_an_interval_that_holds(results: dict[str, Any]) -> None:
    assert min(row["coverage"] for row in results["stopping"]) >= 42 / SIZE


def test_a_bound_holds_of_these_processes_and_the_limits_are_seen(results: dict[str, Any]) -> None:
    rows = [row for row in results["tails"] if row["processes"] >= 3 and row["these_stated"] > 0.9]
    assert np.mean([row["these"] for row in rows]) >= 0.97
    assert min(row["these"] for row in rows) >= 0.84  # of 25
    alone = [row for row in results["tails"] if row["processes"] == 1]
    assert all(row["another"] is None for row in alone)


def test_a_lead_over_the_runner_up_alone_is_none(results: dict[str, Any]) -> None:
    wrong, alone = ([row[key] for row in results["leads"]] for key in ("wrong", "wrong_alone"))
    assert max(wrong) <= 0.05
    assert max(alone) > 0.05  # what it cures


def test_a_lead_is_clear_where_it_is() -> None:
    rng = np.random.default_rng(0)
    logs = np.array([[0.0], [0.1], [-0.1]]) + 0.01 * rng.standard_normal((3, 8))
    assert clear_leads(logs) == (1, True, True)
    logs[2] += rng.standard_normal(8)  # the noisy third may be the best
    assert clear_leads(logs)[1:] == (False, True)


def test_the_tables_have_every_rate(results: dict[str, Any]) -> None:
    median, plain, stopping, tails, leads = process_blocks(results)
    assert len(median.rows) == 3 * (len(SAMPLES) - 1) + 1
    assert len(median.titles) == 2 + len(COUNTS)
    assert len(tails.rows) == len(TAILS) * len(PROCESSES)
    assert len(stopping.rows) == len(results["stopping"])
    assert [row[0] for row in leads.rows] == ["3", "5", "20"]
    assert len(plain.rows) == len(median.rows)
    for block in (median, plain, stopping, tails, leads):
        assert {len(row) for row in block.rows} == {len(block.titles)}
