"""What `bench kernels` prints: the answer in sentences, a table of kernels, what differs from the accepted record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.markup import escape
from rich.table import Table

from bench.cli.console import out
from bench.static.kernels import Accepted, Change, Entry, exact, fits, kind, parts, shared, spill, spills, unsafe

LISTED = 20  # changes of a kind that is no failure
# kernels that many configurations share
SHARED = ("conv_reduce", "head_means")


def summary(now: Accepted) -> list[str]:
    """The answer in sentences: how many, and what is bad about any."""
    entries = now.entries
    failed = [entry for entry in entries if entry.failed]
    archs = sorted({entry.arch for entry in entries})
    uses = sum(len(entry.uses) for entry in entries)
    lines = [
        f"{len(entries) - len(failed)} of {len(entries)} kernels compiled, for {', '.join(f'sm_{a}' for a in archs)} "
        f"and {uses} uses by layers, with triton {now.triton}."
    ]
    spilled = [entry for entry in entries if spills(entry)]
    large = [entry for entry in entries if not fits(entry)]
    products = [entry for entry in entries if entry.facts and entry.facts["product"] and not exact(entry)]
    plain = [entry for entry in products if not entry.facts["tensor"]]
    older = [entry for entry in products if entry.arch in (90, 100) and kind(entry.facts) == 1]
    found = [entry for entry in entries if unsafe(entry)]
    wide = [entry for entry in entries if entry.facts and entry.facts["operand_a"] and entry.facts["warps"] > 4]
    guarded = sum(entry.facts["barrier"] for entry in wide)
    lines.append(
        f"{len(spilled) or 'None'} of them spill, {len(large) or 'none'} ask for more shared memory than there is, "
        f"{len(plain) or 'none'} multiply without tensor cores (beside fp32, which has none)."
    )
    lines.append(
        f"{len(found) or 'None'} may compute wrong numbers, by the code; of {len(wide)} with wgmma and 8 warps, "
        f"{guarded} have the barrier that these need."
    )
    if older:
        lines.append(f"{len(older)} of sm_90 and sm_100 multiply by the older mma.sync.")
    return lines


def show(now: Accepted, seconds: float, table: bool) -> None:
    first, *others = summary(now)
    out.print(f"[bold]{escape(first)}[/] {escape(' '.join(others))} It took {seconds:.0f} s.")
    for entry in now.entries:
        bad = [] if not entry.failed else [f"does not compile: {entry.failed}"]
        bad += [f"spills {spill(entry.facts)}"] if spills(entry) else []
        bad += [] if fits(entry) else [f"shared memory {shared(entry.facts)}"]
        bad += [f"unsafe: {why}"] if (why := unsafe(entry)) else []
        if bad:
            out.print(
                f"[red]sm_{entry.arch} {entry.kernel} {escape(entry.uses[0])}: {escape(', '.join(bad))}[/]",
                soft_wrap=True,
            )
    if not table:
        return
    out.print()
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("kernel", "uses", "regs", "spill", "KiB", "blk", "tensor", "copies", "code"):
        grid.add_column(title, justify="left" if title == "kernel" else "right", no_wrap=title != "kernel")
    arch = 0
    for cells in _rows(now.entries):
        if cells[0] != arch:
            grid.add_section()
            grid.add_row(f"[bold]sm_{cells[0]}[/]")
            arch = cells[0]
        grid.add_row(*cells[1:])
    out.print(grid)
    out.print(
        "A row is a configuration with the worst of its kernels. uses: layers that it serves; regs: registers of a "
        "thread; spill: bytes; KiB: shared memory of a block; blk: blocks on an SM at once; tensor: tensor-core "
        "instructions; copies: a cp.async, b bulk loads + stores, w setmaxnreg; code: KiB. -k1 and -g8 are left out. "
        "--json has every kernel.",
        style="dim",
    )


def _rows(entries: list[Entry]) -> Iterator[tuple[Any, ...]]:
    """Architecture and cells, a row for each configuration."""
    groups: dict[tuple[int, str], list[Entry]] = {}
    for entry in entries:
        own = [] if entry.kernel in SHARED else [parts(entry.uses[0])[0]]
        kernel = [] if own and entry.kernel.startswith("conv") else [entry.kernel]  # ptr or tma says which
        name = " ".join([*kernel, *own, *(["fp32"] if own and exact(entry) else [])])
        if entry.facts:
            groups.setdefault((entry.arch, name), []).append(entry)
    for (arch, name), found in sorted(groups.items()):
        facts = [entry.facts for entry in found]
        most = {
            key: max(fact[key] for fact in facts) for key in ("registers", "stack", "spill_stores", "shared", "code")
        }
        least = min(facts, key=lambda fact: sum(fact["tensor"].values()))
        copies = [f"a{least['async_loads']}"] if least["async_loads"] else []
        copies += [f"b{least['bulk_loads']}+{least['bulk_stores']}"] if least["bulk_loads"] else []
        copies += [f"w{least['set_registers']}"] if least["set_registers"] else []
        yield (
            arch,
            name.replace("-k1-", "-").replace("-g8", ""),
            str(sum(len(entry.uses) for entry in found)),
            str(most["registers"]),
            str(most["stack"] or 4 * most["spill_stores"] or "-"),
            f"{most['shared'] / 1024:.0f}",
            str(min(fact["occupancy"] for fact in facts)),
            " ".join(f"{count} {kind}" for kind, count in least["tensor"].items()) or "-",
            " ".join(copies) or "-",
            f"{most['code'] / 1024:.0f}",
        )


def show_changes(changes: list[Change], before: Accepted, now: Accepted) -> None:
    """Regressions in full, the rest shortened, and the sentence that counts."""
    out.print()
    found = {
        name: [change for change in changes if change.kind == name]
        for name in ("regressed", "improved", "new", "vanished")
    }
    told = ", ".join(f"{len(some)} {name}" for name, some in found.items())
    since = f"Against {before.commit}, accepted on {before.when}; this is {now.commit}: {told}."
    out.print(f"[bold]{since}[/]")
    if before.triton != now.triton:
        out.print(
            f"[yellow]Triton changed: {before.triton} -> {now.triton}.[/] What is worse may be the compiler's doing: "
            "it is shown, and fails only where a kernel can no longer be used. --accept writes a record for it."
        )
    for name, some in found.items():
        style = {"regressed": "red", "improved": "green"}.get(name, "dim")
        for change in some if name == "regressed" else some[:LISTED]:
            first, others = change.layers[0], len(change.layers) - 1
            more = f" and {others} more" if others else ""
            lines = [f"{name}: sm_{change.arch} {change.kernel} {change.config}", f"for {first}{more}", *change.what]
            out.print("\n  ".join(map(escape, lines)), style=style, soft_wrap=True)
        if name != "regressed" and len(some) > LISTED:
            out.print(f"{name}: {len(some) - LISTED} more; --json has them", style=style)
