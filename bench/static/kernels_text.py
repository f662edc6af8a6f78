"""Compiled kernels for a reader: sentences, a table of all, the changes from the accepted record."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from bench.lines import Line
from bench.static import kernels
from bench.static.kernel_changes import ORDER, Change
from bench.static.kernels import Accepted, Entry, is_fp32
from bench.text import WORDS, grid, plural

LISTED = 20  # changes of a kind, beside regressions
# kernels that many configurations share
SHARED = ("conv_reduce", "head_means")
LEGEND = (
    "A row is a configuration with the worst of its kernels. uses: layers that it serves; regs: registers of a "
    "thread; spill: bytes; KiB: shared memory of a block; blk: blocks on an SM at once; tensor: tensor-core "
    "instructions; copies: a cp.async, b bulk loads + stores, w setmaxnreg; code: KiB. -k1 and -g8 are left out. "
    f"--json has every kernel. {WORDS}"
)


def summary(now: Accepted) -> list[str]:
    """Return sentences on how many kernels were compiled, and which faults they have."""
    entries = now.entries
    failed = [entry for entry in entries if entry.failed]
    archs = sorted({entry.arch for entry in entries})
    uses = sum(len(entry.uses) for entry in entries)
    lines = [
        f"{len(entries) - len(failed)} of {len(entries)} {plural(len(entries), 'kernel')} compiled, "
        f"for {', '.join(f'sm_{a}' for a in archs)} "
        f"and {uses} uses by layers, with triton {now.triton}."
    ]
    spilled = [facts for entry in entries if (facts := entry.facts) and facts.spills]
    large = [entry for entry in entries if not kernels.fits(entry)]
    products = [(one.arch, facts) for one in entries if (facts := one.facts) and facts.product and not is_fp32(one)]
    without_tensor = [facts for _, facts in products if not facts.tensor]
    older = [facts for arch, facts in products if arch in (90, 100) and kernels.tensor_generation(facts) == 1]
    hazardous = [entry for entry in entries if kernels.unsafe(entry)]
    wide = [facts for entry in entries if (facts := entry.facts) and facts.operand_a and facts.warps > 4]
    guarded = sum(facts.barrier for facts in wide)
    lines.append(
        f"{len(spilled) or 'None'} of them spill, {len(large) or 'none'} ask for more shared memory than there is, "
        f"{len(without_tensor) or 'none'} multiply without tensor cores (beside fp32, which has none)."
    )
    lines.append(
        f"{len(hazardous) or 'None'} may compute wrong numbers, by the code; of {len(wide)} with wgmma and 8 warps, "
        f"{guarded} have the barrier that these need."
    )
    if older:
        lines.append(f"{len(older)} of sm_90 and sm_100 multiply by the older mma.sync.")
    return lines


def kernel_lines(now: Accepted, seconds: float, table: bool) -> Iterator[Line]:
    """Yield the summary, the kernels with a fault and, with `table`, a table of all."""
    first, *others = summary(now)
    yield Line(f"[bold]{escape(first)}[/] {escape(' '.join(others))} It took {seconds:.0f} s.")
    for entry in now.entries:
        if bad := kernels.faults(entry):
            words = f"sm_{entry.arch} {entry.kernel} {escape(entry.uses[0])}: {escape(', '.join(bad))}"
            yield Line(f"[red]{words}[/]", whole=True)
    if table:
        yield Line()
        yield Line(_grid(now.entries))
        yield Line(LEGEND, "dim")


def _grid(entries: list[Entry]) -> Table:
    titles = ("kernel", "uses", "regs", "spill", "KiB", "blk", "tensor", "copies", "code")
    table = grid(*titles, text=1, wrapped=("kernel",))
    section = 0
    for arch, *cells in _rows(entries):
        if arch != section:
            table.add_section()
            table.add_row(f"[bold]sm_{arch}[/]")
            section = arch
        table.add_row(*cells)
    return table


def _rows(entries: list[Entry]) -> Iterator[tuple[int, *tuple[str, ...]]]:
    """Yield the architecture and the cells of a row for each configuration."""
    groups: dict[tuple[int, str], list[Entry]] = {}
    for entry in entries:
        config = [] if entry.kernel in SHARED else [kernels.split_use(entry.uses[0])[0]]
        kernel = [] if config and entry.kernel.startswith("conv") else [entry.kernel]  # ptr or tma names the kernel
        name = " ".join([*kernel, *config, *(["fp32"] if config and is_fp32(entry) else [])])
        if entry.facts:
            groups.setdefault((entry.arch, name), []).append(entry)
    for (arch, name), group in sorted(groups.items()):
        facts = [entry.facts for entry in group if entry.facts]
        least = min(facts, key=lambda fact: sum(fact.tensor.values()))
        copies = kernels.describe_copies(least) + ([f"w{least.set_registers}"] if least.set_registers else [])
        yield (
            arch,
            name.replace("-k1-", "-").replace("-g8", ""),
            str(sum(len(entry.uses) for entry in group)),
            str(max(fact.registers for fact in facts)),
            str(max(fact.stack for fact in facts) or 4 * max(fact.spill_stores for fact in facts) or "-"),
            f"{max(fact.shared for fact in facts) / 1024:.0f}",
            str(min(fact.occupancy for fact in facts)),
            " ".join(f"{count} {kind}" for kind, count in least.tensor.items()) or "-",
            " ".join(copies) or "-",
            f"{max(fact.code for fact in facts) / 1024:.0f}",
        )


def change_lines(changes: list[Change], before: Accepted, now: Accepted) -> Iterator[Line]:
    """Yield a sentence with the counts, all regressions and the first LISTED changes of every other kind."""
    yield Line()
    by_kind = {name: [change for change in changes if change.kind == name] for name in ORDER}
    counts = ", ".join(f"{len(some)} {name}" for name, some in by_kind.items())
    yield Line(f"[bold]Against {before.commit}, accepted on {before.when}; this is {now.commit}: {counts}.[/]")
    if before.triton != now.triton:
        yield Line(
            f"[yellow]Triton changed: {before.triton} -> {now.triton}.[/] What is worse may be the compiler's doing: "
            "it is shown, and fails only where a kernel can no longer be used. --accept writes a record for it."
        )
    for name, some in by_kind.items():
        style = {"regressed": "red", "improved": "green"}.get(name, "dim")
        for change in some if name == "regressed" else some[:LISTED]:
            yield Line(_change(change), style, whole=True)
        if name != "regressed" and len(some) > LISTED:
            yield Line(f"{name}: {len(some) - LISTED} more; --json has them", style)


def _change(change: Change) -> str:
    first, others = change.layers[0], len(change.layers) - 1
    more = f" and {others} more" if others else ""
    head = f"{change.kind}: sm_{change.arch} {change.kernel} {change.config}"
    return "\n  ".join(map(escape, [head, f"for {first}{more}", *change.what]))
