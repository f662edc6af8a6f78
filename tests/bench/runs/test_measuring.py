"""The files that measure: each is there, and the clock, the gate and the worker are among them."""

from bench.machine.environment import ROOT
from bench.runs.ab import MEASURING_FILES, MEASURING_FOLDER, measuring_files


def test_every_entry_exists_and_holds_modules() -> None:
    assert [name for name in MEASURING_FILES if not (ROOT / name).is_file()] == []
    assert len(list((ROOT / MEASURING_FOLDER).glob("*.py"))) > 3


def test_the_clock_and_the_gate_are_among_them() -> None:
    assert {"bench/worker/__main__.py", "bench/worker/gate.py", "bench/worker/measure/clock.py"} <= set(
        measuring_files()
    )
