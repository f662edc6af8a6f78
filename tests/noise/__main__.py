"""Does what `bench compare`, `history`, `recommend` and `report` claim hold? Records of another simulation, and counts.

    python -m tests.noise                                     # all checks: 40 minutes of one core
    python -m tests.noise --check turns --shape ar.7 --sweeps 400
    python -m tests.noise --check history --sweeps 100 --seed 2

It prints each claim with what was measured, and exits with 1 where a bound is outside the 95 % interval.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.noise.calls import call, call_apart
from tests.noise.comparing import false_alarms, moved_together, power
from tests.noise.histories import NIGHTS, by_git, false_changes, many_series, planted
from tests.noise.machine import Shape, sweep
from tests.noise.measured import Lab, Measured
from tests.noise.records import sides, write
from tests.noise.shapes import SHAPES
from tests.noise.tails import PROCESSES, leads, medians, p99


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.noise", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="append", choices=tuple(CHECKS), help="these alone; repeat")
    parser.add_argument("--shape", action="append", help="these shapes of noise alone; repeat")
    parser.add_argument("--sweeps", type=int, default=60, help="simulated sweeps a shape (stores: half of them)")
    parser.add_argument("--cases", type=int, default=40, help="cases of a comparison")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def chosen(shapes: tuple[Shape, ...], options: argparse.Namespace) -> Iterator[Shape]:
    """Yield the shapes that were asked for, all where none was."""
    return (shape for shape in shapes if not options.shape or shape.name in options.shape)


def compare_apart(lab: Lab, options: argparse.Namespace) -> Iterator[Measured]:
    for shape in chosen(tuple(SHAPES.values()), options):
        yield false_alarms(lab, "apart", shape, options.sweeps, options.cases)


def compare_in_turns(lab: Lab, options: argparse.Namespace) -> Iterator[Measured]:
    for shape in chosen(tuple(SHAPES.values()), options):
        yield false_alarms(lab, "turns", shape, options.sweeps, options.cases)


def compare_together(lab: Lab, options: argparse.Namespace) -> Iterator[Measured]:
    yield from moved_together(lab, options.sweeps, options.cases)


def compare_power(lab: Lab, options: argparse.Namespace) -> Iterator[Measured]:
    yield from power(lab, options.sweeps, options.cases)


def history_quiet(lab: Lab, options: argparse.Namespace) -> Iterator[Measured]:
    for shape in chosen(NIGHTS, options):
        yield false_changes(lab, shape, max(options.sweeps // 2, 1))


def history_planted(lab: Lab, options: argparse.Namespace) -> Iterator[Measured]:
    yield from planted(lab, max(options.sweeps // 2, 1))
    yield many_series(lab)
    if ordered := by_git(lab):
        yield ordered


def recommend_p99(lab: Lab, options: argparse.Namespace) -> Iterator[Measured]:
    for kind in PROCESSES:
        yield from p99(lab, kind, 0.0, max(options.sweeps // 6, 1), 3, 250)
    for rho in (0.5, 0.9):
        yield from p99(lab, "alike", rho, max(options.sweeps // 6, 1), 3, 250)
    yield from p99(lab, "levels 2 %", 0.0, max(options.sweeps // 6, 1), 1, 750)
    yield from p99(lab, "levels 2 %", 0.0, max(options.sweeps // 12, 1), 10, 250)


def recommend_leads(lab: Lab, options: argparse.Namespace) -> Iterator[Measured]:
    yield from leads(lab, max(options.sweeps // 3, 1))


def median_interval(lab: Lab, options: argparse.Namespace) -> Iterator[Measured]:
    for rho in (0.0, 0.5, 0.9):
        yield from medians(lab, rho, max(options.sweeps // 3, 1))


def same_apart(lab: Lab, _: argparse.Namespace) -> Iterator[Measured]:
    """Count the commands that say the same in this process and in one of their own."""
    same, of = 0, 0
    for shape, design in ((SHAPES["normal"], "apart"), (SHAPES["disturbed"], "turns")):
        rng = lab.chance("same", shape.name)
        with lab.folder() as folder:
            ran = sides(rng, shape, sweep(rng, shape, design, 10, 4))
            base, head = (write(folder / side, lines) for side, lines in zip("ab", ran, strict=True))
            for words in (("compare", base, head), ("history", folder), ("recommend", base), ("report", head)):
                same += call(*words) == call_apart(*words)
                of += 1
    yield Measured("a command says the same in a process of its own", "-", same, of, least=1.0)


Check = Callable[[Lab, argparse.Namespace], Iterator[Measured]]
CHECKS: dict[str, Check] = {
    "same": same_apart,
    "apart": compare_apart,
    "turns": compare_in_turns,
    "together": compare_together,
    "power": compare_power,
    "history": history_quiet,
    "planted": history_planted,
    "p99": recommend_p99,
    "leads": recommend_leads,
    "median": median_interval,
}


def main() -> int:
    options = parse()
    broken = 0
    print(f"{'claim':<66} | {'shape':<20} | {'measured (95 % interval)':<36} | holds")
    with tempfile.TemporaryDirectory(prefix="noise-") as place:
        os.environ["RESNET_CACHE"] = str(Path(place) / "cache")  # what the product keeps of records goes with them
        lab = Lab(Path(place), options.seed)
        for check in options.check or CHECKS:
            for measured in CHECKS[check](lab, options):
                print(measured.row, flush=True)
                broken += measured.holds is False
    print(f"{broken} of the claims do not hold" if broken else "all claims hold")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
