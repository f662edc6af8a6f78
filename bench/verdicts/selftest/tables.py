"""The results of `bench selftest`, simulated or by real runs, as tables for docs/METHODOLOGY.md and the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import StoreError
from bench.files import read_json, reading
from bench.kinds import SELFTEST
from bench.text import markdown_table
from bench.verdicts.selftest import real_tables
from bench.verdicts.selftest.cells import MACHINES, MANY_CASES, grouped, number, percent
from bench.verdicts.selftest.cells import Block as Block
from bench.verdicts.selftest.parts import PARTS, part_blocks
from bench.verdicts.selftest.real_tables import PER_CASE, false_alarms

# The targets of the rule: false alarms per case and per sweep, and power for +3 % at 1 % noise.
PER_SWEEP, POWER = 0.05, 0.95
SCHEMA = 1
# The file of real runs that the documents show, and the command that writes it.
REAL = Path("results/selftest/real.json")
HOW = f"bench selftest --real smoke -f eager/fp32 -f library-fused/fp32 --input noise --budget 480 -o {REAL}"
MIN_P = 0.001  # a self-test of a rule that just meets its target fails no more often than this


def section(root: Path, name: str) -> str:
    """Return the Markdown of the file `name` below `root`. Raises StoreError as `read_error_rates` does.

    Real runs need a quiet machine, so their file may be missing; then the section has the command that writes it.
    """
    if Path(name) == REAL and not (root / name).exists():
        return f"Not measured yet: `{HOW}` does, on a quiet machine, in a checkout without changes.\n"
    results = read_error_rates(root / name)
    with reading(root / name, SELFTEST, "make it anew"):
        return error_rates_markdown(results)


def read_error_rates(path: Path) -> dict[str, Any]:
    """Read a file of `bench selftest -o`. Raises StoreError for one that is missing or has other contents."""
    with reading(path, SELFTEST, "make it anew"):
        results = read_json(path, SCHEMA)
    if results["schema"] != SCHEMA or not results.keys() & {"rates", "tests", *PARTS}:
        raise StoreError(f"{path} is not what this version's bench selftest -o writes: make it anew")
    return results


def provenance(results: dict[str, Any]) -> str:
    """Return sentences on the command, the day and the amount of data behind the results."""
    if "tests" in results:
        return real_tables.provenance(results)
    by, setting = results["made"], results["setting"]
    text = f"Made by `{by['command']}` ({by['date']}, commit {by['commit']})"
    if "rates" not in results:
        return f"{text}."
    text += (
        f": {setting['sweeps']} simulated sweeps of {setting['cases']} cases with {setting['metrics']} metrics, all of"
        f" one family, {setting['rounds']} rounds a side. Noise is the standard deviation between processes."
    )
    if spread := results["spread"]:
        text += (
            f" `measured` draws from the rounds of {spread['series']:.0f} series of records, whose noise is"
            f" {percent(spread['quarter'])} to {percent(spread['three_quarters'])} (quartiles), at the median"
            f" {percent(spread['median'])}: {_measured_rates(results)}."
        )
    return text


def _measured_rates(results: dict[str, Any]) -> str:
    (row,) = (row for row in results["rates"] if row["shape"] == "measured")
    return f"false alarms in {percent(row['per_case'])} of cases and {percent(row['per_sweep'])} of sweeps"


def verdict(results: dict[str, Any]) -> str:
    """Return a sentence on each design, apart and in turns, with its error rates and their targets."""
    if "tests" in results:
        return real_tables.verdict(results)
    return " ".join(_claim(results, design) for design in ("apart", "in turns")) if "rates" in results else ""


def _claim(results: dict[str, Any], design: str) -> str:
    """Return a sentence with the false alarms and the power of a design, and the noise that it cannot tell."""
    rows = [row for row in _promised(results) if row["design"] == design and row["shape"] != "measured"]
    case, sweep = (percent(max(row[key] for row in rows)) for key in ("per_case", "per_sweep"))
    text = f"{design[0].upper()}{design[1:]}, false alarms are at most {case} per case and {sweep} per sweep (targets"
    text += f" {percent(PER_CASE)}, {percent(PER_SWEEP)})"
    at = results["effects"].index(0.03)
    power = {row["shape"]: row["power"][at] for row in rows if row["noise"] == 0.01}
    if power:
        least = min(power, key=lambda shape: float(power[shape]))
        text += f"; of +3 % at 1 % normal noise {percent(power['normal'])} are found (target {percent(POWER)})"
        text += f", under `{least}` {percent(power[least])}"
    if few := [row for row in results.get("few_cases", ()) if design == "apart"]:
        worst = max(few, key=lambda row: float(row["per_sweep"]))
        text += "; where cases are few it takes a machine that changed for the code: with"
        text += f" {worst['cases']}, `{worst['shape']}` gives a false alarm in {percent(worst['per_sweep'])} of sweeps"
    return text + "."


def meets_targets(results: dict[str, Any]) -> bool:
    """Return whether false alarms are as rare as the targets, within the sampling error of their rates."""
    if "tests" in results:
        alarms, cases = false_alarms(results)
        return not results["failed"] and real_tables.p_value(alarms, cases) >= MIN_P
    if "rates" not in results:
        return True
    sweeps, cases = results["setting"]["sweeps"], results["setting"]["cases"]
    case = PER_CASE + _sampling_error(PER_CASE, sweeps * cases)
    sweep = PER_SWEEP + _sampling_error(PER_SWEEP, sweeps)
    return all(row["per_case"] <= case and row["per_sweep"] <= sweep for row in _promised(results))


def _promised(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rates that the targets are about: apart, with few cases, no noise that a machine ties in time."""
    few = results["setting"]["cases"] < MANY_CASES
    rows: list[dict[str, Any]] = results["rates"]
    return [row for row in rows if not (few and row["design"] == "apart" and row["shape"] in MACHINES)]


def _sampling_error(share: float, count: int) -> float:
    """Return three standard errors of a share of `count`."""
    return 3 * (share * (1 - share) / count) ** 0.5


def error_rates_markdown(results: dict[str, Any]) -> str:
    lines = [text for sentence in (provenance(results), verdict(results)) if sentence for text in (sentence, "")]
    for block in blocks(results):
        lines += [f"{block.caption}:", "", *markdown_table(block.titles, block.rows, block.words), ""]
        lines += [*(f"- {note}" for note in block.notes), ""] if block.notes else []
    return "\n".join(lines)


def blocks(results: dict[str, Any]) -> list[Block]:
    """Return the tables of results: of real runs, or of the comparison and then of other parts."""
    if "tests" in results:
        return [real_tables.table(results)]
    blocks: list[Block] = []
    if "rates" in results:
        blocks += [_alarms(results), _power_by_shape(results), _power(results)]
        tables = {"claims": _claims, "few_cases": _few_cases, "few_rounds": _few, "shared": _shared}
        blocks += [table(results[name]) for name, table in tables.items() if results.get(name)]
    return blocks + [block for name in PARTS if name in results for block in part_blocks(name, results[name])]


def _alarms(results: dict[str, Any]) -> Block:
    lines = []
    simulated = (row for row in results["rates"] if row["shape"] != "measured")  # the measured noise has a single size
    for shape, rows in grouped(simulated, "shape", "design").items():
        cases = number(max(row["per_case"] for row in rows))
        lines.append((*shape, cases, *(number(row["per_sweep"]) for row in rows)))
    caption = "False alarms on identical code in percent: of cases, and of sweeps by the size of the noise"
    meanings = tuple(f"{name}: {meaning}" for name, meaning in results["shapes"].items())
    return Block(caption, ("noise", "rounds", "cases", *map(percent, results["noise"])), 2, lines, meanings)


def _power_by_shape(results: dict[str, Any]) -> Block:
    """Return the table of the noise next to 1 %, at which the documents read it."""
    level = min(results["noise"], key=lambda size: abs(size - 0.01))
    rows = [row for row in results["rates"] if row["noise"] == level and row["shape"] != "measured"]
    lines = [(row["shape"], row["design"], *map(number, row["power"])) for row in rows]
    titles = ("noise", "rounds", *(f"+{percent(effect)}" for effect in results["effects"]))
    caption = f"Slowdowns in one case of a sweep that are found, in percent, at a noise of {percent(level)}"
    return Block(caption, titles, 2, lines)


def _power(results: dict[str, Any]) -> Block:
    lines = []
    for row in results["rates"]:
        if row["shape"] in ("normal", "measured"):
            noise = "measured" if row["shape"] == "measured" else percent(row["noise"])
            lines.append((row["design"], noise, *map(number, [row["same"], *row["power"]])))
    titles = ("rounds", "noise", "SAME", *(f"+{percent(effect)}" for effect in results["effects"]))
    caption = "Identical code that is SAME, and slowdowns that are SLOWER, of normal noise, in percent"
    return Block(caption, titles, 2, lines)


def _claims(rows: list[dict[str, Any]]) -> Block:
    lines: list[tuple[str, ...]] = [
        (
            row["design"],
            *map(str, (row["cases"], row["metrics"], row["sweeps"])),
            *map(number, (row["per_case"], row["per_sweep"], row["power_3"])),
        )
        for row in rows
    ]
    caption = "By the number of cases and metrics, in percent: the most false alarms of any independent noise of 5 %"
    titles = ("rounds", "cases", "metrics", "sweeps", "of cases", "of sweeps", "+3 %")
    shapes = "of normal, heavy, slow, halves and unequal; +3 %: found at 1 % normal noise"
    return Block(caption, titles, 1, lines, (shapes,))


def _few_cases(rows: list[dict[str, Any]]) -> Block:
    cases = dict.fromkeys(str(row["cases"]) for row in rows)
    lines: list[tuple[str, ...]] = [
        (shape, *(number(row["per_sweep"]) for row in of)) for (shape,), of in grouped(rows, "shape").items()
    ]
    caption = "Apart, by the number of cases: sweeps of one metric with a false alarm at 5 % noise, in percent"
    return Block(caption, ("noise", *cases), 1, lines)


def _few(rows: list[dict[str, Any]]) -> Block:
    lines: list[tuple[str, ...]] = [
        (
            row["design"],
            str(row["rounds"]),
            percent(row["noise"]),
            number(row["alone"]),
            row["shape"] if row["alone"] else "-",
            number(row["power_20"]),
        )
        for row in rows
    ]
    caption = "Too few rounds for a test: false alarms of one case under the worst noise, and +20 % found, in percent"
    return Block(caption, ("rounds", "a side", "noise", "one case", "worst", "+20 %"), ("rounds", "worst"), lines)


def _shared(rows: list[dict[str, Any]]) -> Block:
    def cell(share: float | None) -> str:
        return "-" if share is None else number(share)

    lines: list[tuple[str, ...]] = [
        (row["design"], number(row["share"]), cell(row["slower"]), cell(row["others"])) for row in rows
    ]
    caption = "A share of the cases slower by 10 % at 1 % noise: those found, and others with a verdict, in percent"
    return Block(caption, ("rounds", "share", "detected", "others"), 1, lines)
