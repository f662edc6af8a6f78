"""The finding that each chart shows, in words computed from the rows that it draws.

A sentence says what was measured, as a range where ways differ; which is the fastest is the answer's to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations
from math import floor, log10
from statistics import median
from typing import Any

from bench.report.page.encoding import COLD_PARTS, Rows

Row = dict[str, Any]


def finding(name: str, rows: Rows) -> str:
    """Return the finding of a chart by its name; empty where there is none in the rows."""
    return FINDINGS[name](rows) if name in FINDINGS and rows else ""


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many digits: 0.0123, 12.3, 1,230."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.{max(0, digits - 1 - floor(log10(abs(rounded))))}f}" if value else "0"


def span(values: Iterable[float], digits: int = 3) -> str:
    """Return the least and the most of some numbers: `1.2 to 3.4`."""
    ends = list(values)
    low, high = number(min(ends), digits), number(max(ends), digits)
    return low if low == high else f"{low} to {high}"


def _pairs(rows: Rows, axis: str, *same: str) -> tuple[Any, Any, list[tuple[Row, Row]]]:
    """Return the two values of an axis at which most cases are alike in all else, the farthest apart, and the cases."""
    of: dict[tuple[Any, ...], dict[Any, Row]] = defaultdict(dict)
    for row in rows:
        of[tuple(row.get(field) for field in same)][row[axis]] = row
    counts: dict[tuple[Any, Any], list[tuple[Row, Row]]] = defaultdict(list)
    for ways in of.values():
        for low, high in combinations(sorted(ways), 2):
            counts[low, high].append((ways[low], ways[high]))
    if not counts:
        return None, None, []
    numbers = all(isinstance(row[axis], int) for row in rows)
    (low, high), pairs = max(counts.items(), key=lambda item: (len(item[1]), item[0][1] - item[0][0] if numbers else 0))
    return low, high, pairs


def _front(rows: Rows) -> str:
    soonest, most = min(rows, key=lambda row: row["p50"]), max(rows, key=lambda row: row["speed"])
    ends = [f"{row['way']} at batch {row['batch']}" for row in (soonest, most)]
    return (
        f"{soonest['family']}: from {number(soonest['p50'])} ms by {ends[0]} to {number(most['speed'])} images/s by "
        f"{ends[1]}"
    )


def _over_batch(field: str, words: str) -> Callable[[Rows], str]:
    def say(rows: Rows) -> str:
        low, high, pairs = _pairs(rows, "batch", "family", "way")
        times = span(many[field] / one[field] for one, many in pairs) if pairs else ""
        return f"Batch {high} {words.format(times)} batch {low} ({rows[0]['family']})" if pairs else ""

    return say


def _batch_memory(rows: Rows) -> str:
    low, high = (choose(row["batch"] for row in rows) for choose in (min, max))
    sizes = [span(row["total"] for row in rows if row["batch"] == batch) for batch in (low, high)]
    of = f", of {number(rows[0]['limit'] / 1024)} GiB" if "limit" in rows[0] else ""
    return f"{rows[0]['family']} takes {sizes[0]} MiB at batch {low} and {sizes[1]} MiB at batch {high}{of}"


def _depth(rows: Rows) -> str:
    # of one kind of network, as the models are named
    _, _, pairs = _pairs([row for row in rows if row["kind"] == rows[0]["kind"]], "depth", "way", "batch", "image")
    if not pairs:
        return ""
    times = span(shallow["speed"] / deep["speed"] for shallow, deep in pairs)
    return f"{pairs[0][1]['model']} takes {times} times {pairs[0][0]['model']}'s time for an image"


def _over_fp32(field: str, words: str) -> Callable[[Rows], str]:
    def say(rows: Rows) -> str:
        full = {(row["group"], row["variant"], row["launch"]): row for row in rows if row["precision"] == "fp32"}
        ratios: dict[str, list[float]] = defaultdict(list)
        for row in rows:
            base = full.get((row["group"], row["variant"], row["launch"]))
            if base and row["precision"] != "fp32":  # which may be there in several choices
                ratios[row["precision"]].append(row[field] / base[field])
        said = [f"{precision} {words.format(span(of))}" for precision, of in ratios.items()]
        return ", ".join(said) + " fp32's, way for way" if said else ""

    return say


def _by_precision(field: str, words: str) -> Callable[[Rows], str]:
    def say(rows: Rows) -> str:
        shares: dict[str, list[float]] = defaultdict(list)
        for row in rows:
            if field in row and row["precision"] != "fp32":
                shares[row["precision"]].append(row[field])
        least = {precision: of for precision, of in shares.items() if precision in ("int8", "fp8")} or shares
        return ", ".join(f"{precision} {words.format(span(of))}" for precision, of in least.items())

    return say


def _error(rows: Rows) -> str:
    return f"Errors are {span(row['error'] for row in rows)} times plain torch's; above 3 a case is refused"


def _ends(rows: Rows, field: Callable[[Row], float], unit: str) -> str:
    low, high = min(rows, key=field), max(rows, key=field)
    said = [f"{number(field(row))} {unit} ({row['way']}, batch {row['batch']})" for row in (low, high)]
    return " to ".join(said if low is not high else said[:1])


def _cold(rows: Rows) -> str:
    def seconds(row: Row) -> float:
        return float(sum(row.get(f"c_{part}", 0) for part in COLD_PARTS))

    return f"The first answer comes after {_ends(rows, seconds, 's')}"


def _energy(rows: Rows) -> str:
    return f"An image takes {_ends(rows, lambda row: 1e3 * float(row['energy']), 'mJ')}"


def _memory(rows: Rows) -> str:
    return f"{rows[0]['family']} takes {_ends(rows, lambda row: float(row['total']), 'MiB')}"


def _quantiles(rows: Rows) -> str:
    def off(row: Row) -> float:
        levels = row["quantiles"]
        tail = len(levels) // 20
        return float(max(100 - levels[tail], levels[-1 - tail] - 100))

    widths = [off(row) for row in rows]
    ends = [f"{number(end, 2)} %" for end in (min(widths), max(widths))]
    return f"Nearly all samples lie within {ends[0]} of the median in the quietest case, {ends[1]} in the noisiest"


def _stationary(rows: Rows) -> str:
    def drift(row: Row) -> float:
        third = max(1, len(row["sequence"]) // 3)
        return abs(median(row["sequence"][-third:]) / median(row["sequence"][:third]) - 1) * 100

    return f"From its first to its last third the sampling drifts by {span(map(drift, rows), 2)} %"


def _rounds(rows: Rows) -> str:
    spread = [100 * (max(row["by_round"]) / min(row["by_round"]) - 1) for row in rows]
    return f"The medians of a case's processes differ by {span(spread, 2)} %"


def _floors(rows: Rows) -> str:
    shares = span((100 * row["of_floor"] for row in rows), 2)
    return f"{rows[0]['family']} runs at {shares} % of what this machine's ceilings allow"


def _in_row(field: str) -> Callable[[Rows], str]:
    return lambda rows: str(rows[0].get(field) or "")


FINDINGS: dict[str, Callable[[Rows], str]] = {
    "front": _front,
    "batch": _over_batch("speed", "runs {} times the images per second of"),
    "latency": _over_batch("p50", "takes {} times the time of"),
    "batch-memory": _batch_memory,
    "depth": _depth,
    "precision-accuracy": _by_precision("loss", "loses {} percentage points of fp32's right answers"),
    "precision-agreement": _by_precision("agree", "has fp32's top class for {} % of the pictures"),
    "precision-speed": _over_fp32("speed", "runs {} times"),
    "precision-memory": _over_fp32("total", "takes {} times"),
    "precision-error": _error,
    "memory": _memory,
    "cold": _cold,
    "energy": _energy,
    "stages": _in_row("largest"),
    "layers": _in_row("against"),
    "roofline": _in_row("furthest"),
    "layer-floors": _in_row("furthest"),
    "floors": _floors,
    "quantiles": _quantiles,
    "stationary": _stationary,
    "rounds": _rounds,
}
