"""The cells of the tables of histories and of medians within a process."""

from bench.verdicts.selftest.history import _share
from bench.verdicts.selftest.processes import COUNTS, _median_block


def test_shares_are_told_without_powers_of_ten() -> None:
    assert _share({"detected": 20, "planted": 20}, "detected", "planted").endswith(", 100]")


def test_the_table_of_medians_is_within_eighty_columns() -> None:
    one = {"shape": "normal", "rho": 0.9, "coverage": 1.0, "plain": 1.0, "wider": 1.0}
    block = _median_block({"median": [one | {"n": count} for count in COUNTS]}, "coverage", "", ())
    widths = [max(map(len, column)) for column in zip(block.titles, *block.rows, strict=True)]
    assert sum(widths) + len(widths) - 1 <= 80
