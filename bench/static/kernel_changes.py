"""The changes of compiled kernels from the accepted record, and those that fail a commit.

A kernel is compared under each of its uses, `configuration/network/layer`, because the code behind a use is what
changes. A use that is not in the record is new: of a new layer, or of an old one that has another configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bench.static import kernels
from bench.static.kernels import Accepted, Entry

Feature = Literal["bulk_loads", "bulk_stores", "async_loads", "set_registers", "pdl"]
Cause = Literal["registers", "warps", "shared"]

# Facts whose count may change, and is worse only as zero.
LOSSES: dict[Feature, str] = {
    "bulk_loads": "bulk loads",
    "bulk_stores": "bulk stores",
    "async_loads": "cp.async copies",
    "set_registers": "setmaxnreg",
    "pdl": "waits for other launches",
}
# The facts that occupancy depends on, beside the architecture.
CAUSES: dict[Cause, str] = {"registers": "registers", "warps": "warps", "shared": "bytes shared"}

ORDER = ("regressed", "improved", "new", "vanished")
Worse = tuple[str, str, str]  # the name of a fact, its old and its new value


@dataclass(frozen=True)
class Change:
    """A change from the accepted record; `kind` is one of ORDER, `what` has a line for each fact.

    `runs` is whether the kernel can be used at all, however slow: it compiles, fits, and its code is safe.
    """

    kind: str
    arch: int
    kernel: str
    config: str
    layers: tuple[str, ...]
    what: tuple[str, ...]
    runs: bool = True


def failures(changes: Iterable[Change], same_triton: bool) -> list[Change]:
    """Return the regressions that this repository caused: with another Triton, only kernels that no longer run.

    Registers differ by up to 10 % between Triton's versions (3.6.0 and 3.7.1, sm_90, 2026-11), and with them occupancy
    and spills.
    """
    return [change for change in changes if change.kind == "regressed" and (same_triton or not change.runs)]


def refused(now: Accepted, changes: Iterable[Change], before: Accepted | None) -> bool:
    """Return whether a commit fails: for unsafe code, a failure against the record or, without one, to compile."""
    if any(kernels.unsafe(entry) or (entry.failed and not before) for entry in now.entries):
        return True
    return bool(before and failures(changes, before.triton == now.triton))


def as_json(now: Accepted, changes: Iterable[Change], before: Accepted | None, file: Path | None) -> dict[str, object]:
    """Return what `bench kernels --json` prints: all kernels and, where `file` was `before`, the changes from it."""
    data: dict[str, object] = {"triton": now.triton, "commit": now.commit}
    data["entries"] = [entry.as_json() for entry in now.entries]
    if before:
        data["accepted"] = {"file": str(file), "triton": before.triton, "commit": before.commit, "when": before.when}
        data["changes"] = [asdict(change) for change in changes]
    return data


def compare_kernels(old: Iterable[Entry], new: Iterable[Entry]) -> list[Change]:
    """Return the changes, regressions first; `old` are the entries of the record that were compiled again."""
    old, new = list(old), list(new)
    accepted = {(entry.arch, entry.kernel, use): entry for entry in old for use in entry.uses}
    by_layer: dict[tuple[int, str], list[tuple[str, Entry]]] = {}
    for entry in old:
        for use in entry.uses:
            config, layer = kernels.split_use(use)
            by_layer.setdefault((entry.arch, layer), []).append((config, entry))
    changes = []
    for entry in new:
        uses_by_old: dict[Entry | None, list[str]] = {}
        for use in entry.uses:
            uses_by_old.setdefault(accepted.get((entry.arch, entry.kernel, use)), []).append(use)
        for before, uses in uses_by_old.items():
            if before is None:
                earlier = [pair for use in uses for pair in by_layer.get((entry.arch, kernels.split_use(use)[1]), [])]
                changes += _new(entry, uses, earlier)
            else:
                changes += _changed(before, entry, uses)
    compiled = {(entry.arch, entry.kernel, use) for entry in new for use in entry.uses}
    for entry in old:
        gone = [use for use in entry.uses if (entry.arch, entry.kernel, use) not in compiled]
        changes += _changes("vanished", entry, gone, ["no longer compiled"]) if gone else []
    return sorted(changes, key=lambda change: (ORDER.index(change.kind), change.arch))


def _changed(before: Entry, entry: Entry, uses: list[str]) -> list[Change]:
    worse = list(_worse(before, entry))
    if why := kernels.unsafe(entry):  # a regression even if it is as old as the record
        worse.append(("safe", "no" if kernels.unsafe(before) else "yes", f"no: {why}"))
    better = [(what, then, now) for what, now, then in _worse(entry, before)]
    kinds = {"regressed": worse, "improved": better}
    return [
        change
        for kind, pairs in kinds.items()
        if pairs
        for change in _changes(kind, entry, uses, [f"{what}: {then} -> {now}" for what, then, now in pairs])
    ]


def _new(entry: Entry, uses: list[str], earlier: list[tuple[str, Entry]]) -> list[Change]:
    """Check a use that was not accepted against the rules for all kernels, and its layer against its tensor cores."""
    configs = sorted({config for config, _ in earlier} - {kernels.split_use(use)[0] for use in uses})
    place = [f"in place of {', '.join(configs)}"] if configs else []
    bad = kernels.faults(entry)
    generations = [kernels.tensor_generation(other.facts) for _, other in earlier if other.facts]
    if entry.facts and entry.facts.product and kernels.tensor_generation(entry.facts) < max(generations, default=0):
        best = max((other.facts for _, other in earlier if other.facts), key=kernels.tensor_generation)
        bad.append(f"tensor cores: {kernels.describe_tensor(best)} -> {kernels.describe_tensor(entry.facts)}")
    return _changes("regressed" if bad else "new", entry, uses, [*bad, *place])


def _changes(kind: str, entry: Entry, uses: Iterable[str], what: list[str]) -> list[Change]:
    """Return a change for each configuration among the uses."""
    layers: dict[str, list[str]] = {}
    for config, layer in map(kernels.split_use, uses):
        layers.setdefault(config, []).append(layer)
    runs = not entry.failed and kernels.fits(entry) and not kernels.unsafe(entry)
    return [
        Change(kind, entry.arch, entry.kernel, config, tuple(names), tuple(what), runs)
        for config, names in layers.items()
    ]


def _worse(before: Entry, after: Entry) -> Iterator[Worse]:
    """Yield the facts in which `after` is worse; with the two exchanged, those in which it is better."""
    old, new = before.facts, after.facts
    if old is None or new is None:
        if after.failed and not before.failed:
            yield "compiles", "yes", f"no: {after.failed}"
        return
    if (new.stack, new.spill_stores) > (old.stack, old.spill_stores):
        yield "spills", kernels.describe_spills(old), kernels.describe_spills(new)
    if kernels.tensor_generation(new) < kernels.tensor_generation(old):
        yield "tensor cores", kernels.describe_tensor(old), kernels.describe_tensor(new)
    old_depth, new_depth = old.wait_depth, new.wait_depth
    if old_depth is not None and new_depth is not None and new_depth < old_depth:
        yield "products in flight behind a wait", str(old_depth), str(new_depth)
    for name, title in LOSSES.items():
        replaced = name == "async_loads" and new.bulk_loads > 0
        if getattr(old, name) and not getattr(new, name) and not replaced:
            yield title, str(getattr(old, name)), "none"
    if kernels.fits(before) and not kernels.fits(after):
        yield "shared memory", kernels.describe_shared(old), kernels.describe_shared(new)
    elif new.occupancy < old.occupancy:
        counts = [(title, getattr(old, name), getattr(new, name)) for name, title in CAUSES.items()]
        causes = [f"{title} {before:,} -> {after:,}" for title, before, after in counts if before != after]
        why = f" ({', '.join(causes)})" if causes else ""
        yield "blocks on an SM", str(old.occupancy), f"{new.occupancy}{why}"
