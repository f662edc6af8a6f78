"""The kernels' records as Markdown: a network's kernels as compiled, and the model's predictions of its layers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.static import predictions
from bench.static.kernels import Accepted, Entry, describe_copies, describe_spills, describe_tensor, split_use, unsafe
from bench.static.predictions import GOALS, Prediction
from bench.text import markdown_table
from kernels.cards.places import RESULTS, tuned_folder
from kernels.table import Table

# The part of the accepted record that a page shows.
ARCH, NETWORK, BATCH, PRECISION = 90, "resnet50", 32, "fp16"
NOT_MEASURED = "not measured"


def section(root: Path, file: str) -> str:
    """Return the Markdown of one of the two files, chosen by its name. Raises StoreError if it cannot be read."""
    path = root / file
    if path.name.startswith("accepted"):
        return kernels_markdown(Accepted.read(path))
    tables = [Table.read(table) for table in sorted(tuned_folder(root / RESULTS.name).glob("*.json"))]
    return predictions_markdown(predictions.read_prediction(path), Table(entry for table in tables for entry in table))


def kernels_markdown(record: Accepted) -> str:
    """Return a table with a row for each kernel of the network, large images first, and what its columns mean."""
    prefix = f"{NETWORK}/{PRECISION}-n{BATCH}-"
    rows: list[tuple[str, ...]] = []
    for entry in record.entries:
        if entry.arch == ARCH:
            for config, layer in map(split_use, entry.uses):
                if layer.startswith(prefix):
                    rows.append(_cells(entry, config, layer.removeprefix(prefix)))
    titles = (
        *("layer", "kernel", "registers", "spills", "KiB shared", "blocks", "tensor cores"),
        *("A from", "depth", "overwrites", "barrier", "copies", "KiB code"),
    )
    rows.sort(key=_order)
    lines = markdown_table(titles, rows, text=2)
    lines += [
        "",
        f"{NETWORK}, {PRECISION}, batch {BATCH}, sm_{ARCH}; Triton {record.triton}, commit {record.commit},"
        f" {record.when}. Registers are a thread's, shared memory a block's; blocks: on an SM at once; copies: a"
        " cp.async, b bulk loads + stores. `conv_tma` is compiled to be watched where no table chooses it.",
        "",
        "Of wgmma (`kernels/compiled/hazards.py`): A from: where the products read x; depth: groups of products that a"
        " wait in the loop leaves in flight, 0 where each step waits for its products; overwrites: instructions that"
        " write registers which these read; barrier: whether all warps meet between such a wait and the next write to"
        f" what they read. {_safety(record)}",
    ]
    return "\n".join(lines) + "\n"


def _safety(record: Accepted) -> str:
    """Return a sentence on how many kernels of the record may compute wrong numbers."""
    hazardous = sum(bool(unsafe(entry)) for entry in record.entries)
    wide = [facts for entry in record.entries if (facts := entry.facts) and facts.operand_a and facts.warps > 4]
    return (
        f"Of all {len(record.entries)} kernels of the record {hazardous or 'none'} overwrite or lack the barrier; of"
        f" {len(wide)} with wgmma and 8 warps {sum(facts.barrier for facts in wide)} have it."
    )


def _order(cells: tuple[str, ...]) -> tuple[int, str]:
    """Return the sort key that puts large images first, as they run."""
    size = int(cells[0].partition("x")[0])
    return -size, cells[0]


def _cells(entry: Entry, config: str, layer: str) -> tuple[str, ...]:
    name = f"`{entry.kernel}` {config}"
    facts = entry.facts
    if facts is None:
        return layer, name, *("-",) * 11
    products: tuple[str, ...] = ("-",) * 4
    if facts.operand_a:
        depth = "-" if facts.wait_depth is None else str(facts.wait_depth)
        products = facts.operand_a, depth, str(facts.overwrites), "yes" if facts.barrier else "no"
    return (
        layer, name, str(facts.registers), describe_spills(facts), f"{facts.shared / 1024:.0f}",
        str(facts.occupancy), describe_tensor(facts), *products, " ".join(describe_copies(facts)) or "-",
        f"{facts.code / 1024:.0f}",
    )  # fmt: skip


def predictions_markdown(prediction: Prediction, measured: Table) -> str:
    """Return a table of the model's and the measured microseconds, a row a group of layers, two columns a batch."""
    by_batch = predictions.rows_by_batch(prediction, measured)
    batches = sorted(by_batch)
    titles = ("layers", "launches", *(title for batch in batches for title in (f"b{batch}, model", "outcome")))
    lines = markdown_table(titles, _groups(by_batch, batches))
    provenance = prediction["made"]
    constants = f" Then {provenance['constants']}." if "constants" in provenance else ""
    goals = GOALS if prediction["precision"] == predictions.PRECISION else {}
    if goals:
        lines += ["", *(_goal(batch, by_batch[batch]) + "  " for batch in batches if batch in goals)]
    lines += [
        "",
        f"{prediction['model']}, {prediction['precision']}, {prediction['gpu']}: microseconds in a CUDA graph as the"
        " model of `kernels.kinds` has them, which is no measurement, for all launches of a group together."
        f" Made by `{provenance['command']}` on {provenance['date']}, commit {provenance['commit']}.{constants}"
        " Outcome: what `bench tune` measured for the best configuration, one layer at a time.",
    ]
    return "\n".join(lines) + "\n"


def _groups(by_batch: dict[int, list[predictions.Row]], batches: list[int]) -> Iterator[tuple[str, ...]]:
    for group in zip(*(by_batch[batch] for batch in batches), strict=True):
        yield group[0].group, str(group[0].launches), *(cell for row in group for cell in _pair(row.us, row.measured))
    sums = [(batch, *_sums(by_batch[batch])) for batch in batches]
    launches = str(sum(row.launches for row in by_batch[batches[0]]))
    yield "**all**", launches, *(cell for _, us, outcome in sums for cell in _pair(us, outcome))
    rates = [(_rate(batch, us), _rate(batch, outcome)) for batch, us, outcome in sums]
    yield "**images/s**", "", *(cell for pair in rates for cell in pair)


def _sums(rows: list[predictions.Row]) -> tuple[float, float | None]:
    outcomes = [row.measured for row in rows]
    whole = sum(us for us in outcomes if us is not None) if None not in outcomes else None
    return sum(row.us for row in rows), whole


def _pair(us: float, measured: float | None) -> tuple[str, str]:
    return f"{us:,.1f}", NOT_MEASURED if measured is None else f"{measured:,.1f}"


def _rate(batch: int, us: float | None) -> str:
    return NOT_MEASURED if us is None else f"{1e6 * batch / us:,.0f}"


def _goal(batch: int, rows: list[predictions.Row]) -> str:
    us, outcome = _sums(rows)
    reached = "within the model" if 1e6 * batch / us >= GOALS[batch] else "beyond the model"
    return (
        f"Batch {batch}: the goal is {GOALS[batch]:,} images/s, the model has {_rate(batch, us)} ({reached}), the"
        f" outcome is {_rate(batch, outcome)}."
    )
