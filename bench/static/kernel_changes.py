"""How kernels as compiled now differ from those that somebody said are good, and what of it a commit is refused for.

A kernel is compared under each of its uses, `configuration/network/layer`, as the code behind a use is what changes.
A use that is not in the record is new: a layer that is new, or an old one for which another configuration is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bench.static.kernels import Accepted, Entry, fits, kind, parts, shared, spill, tensor, unsafe

Counted = Literal["bulk_loads", "bulk_stores", "async_loads", "set_registers", "pdl"]
Cause = Literal["registers", "warps", "shared"]

# Facts of which some are good and none is a loss.
LOSSES: dict[Counted, str] = {
    "bulk_loads": "bulk loads",
    "bulk_stores": "bulk stores",
    "async_loads": "cp.async copies",
    "set_registers": "setmaxnreg",
    "pdl": "waits for other launches",
}
# What occupancy hangs on, beside the architecture.
CAUSES: dict[Cause, str] = {"registers": "registers", "warps": "warps", "shared": "bytes shared"}

ORDER = ("regressed", "improved", "new", "vanished")
Worse = tuple[str, str, str]  # what, its old figure, its new one


@dataclass(frozen=True)
class Change:
    """Something that is not as accepted. `kind`: regressed, improved, new or vanished; `what`: a line for each fact.

    `runs`: whether the kernel can be used at all, however slow: it compiles, fits, and its code is safe.
    """

    kind: str
    arch: int
    kernel: str
    config: str
    layers: tuple[str, ...]
    what: tuple[str, ...]
    runs: bool = True


def failures(changes: Iterable[Change], same_triton: bool) -> list[Change]:
    """The regressions that are the code's doing: of another Triton's, only what can no longer be used.

    Registers differ by up to 10 % between its versions (3.6.0 and 3.7.1, sm_90, 2026-11), and with them occupancy and
    spills.
    """
    return [change for change in changes if change.kind == "regressed" and (same_triton or not change.runs)]


def refused(now: Accepted, changes: Iterable[Change], before: Accepted | None) -> bool:
    """Whether it is bad: unsafe code; a failure against a record; where there is none, what does not compile."""
    if any(unsafe(entry) or (entry.failed and not before) for entry in now.entries):
        return True
    return bool(before and failures(changes, before.triton == now.triton))


def as_data(now: Accepted, changes: Iterable[Change], before: Accepted | None, file: Path | None) -> dict[str, object]:
    """What `bench kernels --json` prints: all kernels; where `file` was `before`, what differs from it."""
    data: dict[str, object] = {"triton": now.triton, "commit": now.commit}
    data["entries"] = [entry.row() for entry in now.entries]
    if before:
        data["accepted"] = {"file": str(file), "triton": before.triton, "commit": before.commit, "when": before.when}
        data["changes"] = [asdict(change) for change in changes]
    return data


def compare(old: Iterable[Entry], new: Iterable[Entry]) -> list[Change]:
    """What differs, regressions first; `old` is what of the record was compiled again (`chosen`)."""
    old, new = list(old), list(new)
    accepted = {(entry.arch, entry.kernel, use): entry for entry in old for use in entry.uses}
    of_layer: dict[tuple[int, str], list[tuple[str, Entry]]] = {}
    for entry in old:
        for use in entry.uses:
            config, layer = parts(use)
            of_layer.setdefault((entry.arch, layer), []).append((config, entry))
    changes = []
    for entry in new:
        by_old: dict[Entry | None, list[str]] = {}
        for use in entry.uses:
            by_old.setdefault(accepted.get((entry.arch, entry.kernel, use)), []).append(use)
        for before, uses in by_old.items():
            if before is None:
                earlier = [pair for use in uses for pair in of_layer.get((entry.arch, parts(use)[1]), [])]
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
    if why := unsafe(entry):  # however long it has been so
        worse.append(("safe", "no" if unsafe(before) else "yes", f"no: {why}"))
    better = [(what, then, now) for what, now, then in _worse(entry, before)]
    kinds = {"regressed": worse, "improved": better}
    return [
        change
        for kind, pairs in kinds.items()
        if pairs
        for change in _changes(kind, entry, uses, [f"{what}: {then} -> {now}" for what, then, now in pairs])
    ]


def _new(entry: Entry, uses: list[str], earlier: list[tuple[str, Entry]]) -> list[Change]:
    """A use that was not accepted is held to what holds for all, and its layer to its tensor cores."""
    configs = sorted({config for config, _ in earlier} - {parts(use)[0] for use in uses})
    place = [f"in place of {', '.join(configs)}"] if configs else []
    if entry.facts is None:
        bad = [f"does not compile: {entry.failed}"]
    else:
        kinds = [kind(other.facts) for _, other in earlier if other.facts]
        bad = [f"spills: {spill(entry.facts)}"] if entry.facts.spills else []
        bad += [] if entry.facts.fits else [f"shared memory: {shared(entry.facts)}"]
        bad += [f"unsafe: {why}"] if (why := unsafe(entry)) else []
        if entry.facts.product and kind(entry.facts) < max(kinds, default=0):
            had = max((other.facts for _, other in earlier if other.facts), key=kind)
            bad.append(f"tensor cores: {tensor(had)} -> {tensor(entry.facts)}")
    return _changes("regressed" if bad else "new", entry, uses, [*bad, *place])


def _changes(kind: str, entry: Entry, uses: Iterable[str], what: list[str]) -> list[Change]:
    """One for each configuration among the uses."""
    layers: dict[str, list[str]] = {}
    for config, layer in map(parts, uses):
        layers.setdefault(config, []).append(layer)
    runs = not entry.failed and fits(entry) and not unsafe(entry)
    return [
        Change(kind, entry.arch, entry.kernel, config, tuple(names), tuple(what), runs)
        for config, names in layers.items()
    ]


def _worse(before: Entry, after: Entry) -> Iterator[Worse]:
    """In what `after` is worse; with the two exchanged, in what it is better."""
    old, new = before.facts, after.facts
    if old is None or new is None:
        if after.failed and not before.failed:
            yield "compiles", "yes", f"no: {after.failed}"
        return
    if (new.stack, new.spill_stores) > (old.stack, old.spill_stores):
        yield "spills", spill(old), spill(new)
    if kind(new) < kind(old):
        yield "tensor cores", tensor(old), tensor(new)
    had, has = old.wait_depth, new.wait_depth
    if had is not None and has is not None and has < had:
        yield "products in flight behind a wait", str(had), str(has)
    for name, title in LOSSES.items():
        replaced = name == "async_loads" and new.bulk_loads > 0
        if getattr(old, name) and not getattr(new, name) and not replaced:
            yield title, str(getattr(old, name)), "none"
    if fits(before) and not fits(after):
        yield "shared memory", shared(old), shared(new)
    elif new.occupancy < old.occupancy:
        counts = [(title, getattr(old, name), getattr(new, name)) for name, title in CAUSES.items()]
        causes = [f"{title} {count:,} -> {new_count:,}" for title, count, new_count in counts if count != new_count]
        why = f" ({', '.join(causes)})" if causes else ""
        yield "blocks on an SM", str(old.occupancy), f"{new.occupancy}{why}"
