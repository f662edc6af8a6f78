"""The planted faults fit the source as it is, and a sample of them is planted; `make mutants` plants all."""

from pathlib import Path

import pytest

from tests.mutants.__main__ import apply, judge, mutants
from tests.repositories import copy_checkout

SAMPLE = ("stats-median-interval", "verdict-holm")  # of a few seconds each


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    copy_checkout(folder)
    return folder


def test_there_are_thirty_and_each_fits(checkout: Path) -> None:
    every = mutants()
    assert len(every) >= 30
    assert {mutant.name: refusal for mutant in every if (refusal := apply(mutant, checkout, "--check"))} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_fault_turns_a_test_red(name: str, checkout: Path) -> None:
    (mutant,) = mutants((name,))
    noticed, line = judge(mutant, checkout)
    assert noticed, line


def test_a_fault_that_no_test_notices_is_told(checkout: Path) -> None:
    """The test of another module does not fail with it."""
    (mutant,) = mutants(("stats-median-interval",))
    unwatched = type(mutant)(mutant.patch, mutant.fault, ("tests/bench/test_text.py",))
    noticed, line = judge(unwatched, checkout)
    assert not noticed
    assert "SURVIVES tests/bench/test_text.py" in line
