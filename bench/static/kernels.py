"""What the compiler emitted when somebody last said that it is good, and how what it emits now differs from that.

A kernel is compared under each of its uses, `configuration/network/layer`, as the code behind a use is what changes.
A use that is not in the record is new: a layer that is new, or an old one for which another configuration is chosen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bench.files import read_json, reading, write
from kernels.compiled import hazards

SCHEMA = 2
# What a record of schema 1 does not say: nobody had looked.
UNSEEN: dict[str, Any] = {"wait_depth": None, "operand_a": "", "overwrites": 0, "barrier": True}

BATCHES = (1, 8, 32, 128, 256)
MAIN = (("resnet50", 32, "fp16"), ("resnet50v2", 32, "fp16"))
EVERYTHING = (
    *((network, batch, "fp16") for network in ("resnet18", "resnet50") for batch in BATCHES),
    *((network, 32, "fp16") for network in ("resnet18v2", "resnet50v2")),
    *(("resnet50", 32, precision) for precision in ("bf16", "tf32", "fp32")),
)

# What is compiled: (network, batch, precision) by architecture. A kernel costs 0.7 s of a core (Zen 5, 2026-11-23), so
# what is left out is what tells least: sm_89 and sm_120 have sm_80's tensor cores and copies, with less shared memory.
POINTS = {80: EVERYTHING, 89: MAIN, 90: EVERYTHING, 100: EVERYTHING, 120: MAIN}

# Facts of which some are good and none is a loss.
LOSSES = {
    "bulk_loads": "bulk loads",
    "bulk_stores": "bulk stores",
    "async_loads": "cp.async copies",
    "set_registers": "setmaxnreg",
    "pdl": "waits for other launches",
}
# What occupancy hangs on, beside the architecture.
CAUSES = {"registers": "registers", "warps": "warps", "shared": "bytes shared"}
FACTS = {*UNSEEN, *LOSSES, *CAUSES, "stack", "spill_stores", "tensor", "product", "shared_limit", "occupancy", "code"}

Worse = tuple[str, str, str]  # what, its old figure, its new one


@dataclass(frozen=True, eq=False)
class Entry:
    """One kernel as compiled for one architecture: its code's `facts` (`bench.worker.static`), or why it `failed`."""

    arch: int
    kernel: str
    uses: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    failed: str = ""

    @classmethod
    def of(cls, row: dict[str, Any]) -> Entry:
        return cls(**row | {"uses": tuple(row["uses"])})

    def row(self) -> dict[str, Any]:
        told = {"failed": self.failed} if self.failed else {"facts": self.facts}
        return {"arch": self.arch, "kernel": self.kernel, "uses": list(self.uses), **told}


@dataclass(frozen=True)
class Accepted:
    """`commit`: a sha, with a plus if the tree had changes that were not committed."""

    entries: list[Entry]
    triton: str
    commit: str
    when: str

    @staticmethod
    def load(path: Path) -> Accepted:
        """Raises StoreError for a file that is missing, damaged or too new."""
        cure = f"`bench kernels --accept {path}` writes one"
        with reading(path, "record of accepted kernels", cure):
            data = read_json(path, SCHEMA)
            entries = [Entry.of(_filled(row, data["schema"])) for row in data["entries"]]
            for entry in entries:
                if not entry.failed and (missing := FACTS - entry.facts.keys()):
                    raise ValueError(f"an entry without {', '.join(sorted(missing))}")
                list(_worse(entry, entry))  # so that what is compared is of its kind
            return Accepted(entries, str(data["triton"]), str(data["commit"]), str(data["when"]))

    def save(self, path: Path) -> None:
        """Writes it whole or not at all, an entry a line. Raises StoreError where it cannot."""
        ordered = sorted(self.entries, key=lambda entry: (entry.arch, entry.kernel, entry.uses))
        lines = ",\n".join(json.dumps(entry.row(), separators=(",", ":")) for entry in ordered)
        head = json.dumps({"schema": SCHEMA, "triton": self.triton, "commit": self.commit, "when": self.when})
        write(path, f'{head[:-1]}, "entries": [\n{lines}\n]}}\n')


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


def compare(old: Iterable[Entry], new: Iterable[Entry]) -> list[Change]:
    """What differs, regressions first; `old` is what of the record was compiled again (`chosen`)."""
    old, new = list(old), list(new)
    known = {(entry.arch, entry.kernel, use): entry for entry in old for use in entry.uses}
    of_layer: dict[tuple[int, str], list[tuple[str, Entry]]] = {}
    for entry in old:
        for use in entry.uses:
            config, layer = parts(use)
            of_layer.setdefault((entry.arch, layer), []).append((config, entry))
    found = []
    seen = set()
    for entry in new:
        by_old: dict[Entry | None, list[str]] = {}
        for use in entry.uses:
            key = entry.arch, entry.kernel, use
            seen.add(key)
            by_old.setdefault(known.get(key), []).append(use)
        for before, uses in by_old.items():
            if before is None:
                earlier = [pair for use in uses for pair in of_layer.get((entry.arch, parts(use)[1]), [])]
                found += _new(entry, uses, earlier)
            else:
                found += _changed(before, entry, uses)
    for entry in old:
        gone = [use for use in entry.uses if (entry.arch, entry.kernel, use) not in seen]
        found += _changes("vanished", entry, gone, ["no longer compiled"]) if gone else []
    order = ("regressed", "improved", "new", "vanished")
    return sorted(found, key=lambda change: (order.index(change.kind), change.arch))


def chosen(entries: Iterable[Entry], archs: Iterable[int], globs: list[str]) -> list[Entry]:
    """The entries of some architectures, with the uses of layers that match."""
    wanted = set(archs)
    found = []
    for entry in entries:
        uses = tuple(use for use in entry.uses if matches(parts(use)[1], globs))
        if entry.arch in wanted and uses:
            found.append(Entry(entry.arch, entry.kernel, uses, entry.facts, entry.failed))
    return found


def matches(layer: str, globs: list[str]) -> bool:
    """Whether `network/layer` is asked for; a glob may leave out the ends, as those of cases may."""
    return not globs or any(fnmatchcase(layer, f"*{glob}*") for glob in globs)


def parts(use: str) -> tuple[str, str]:
    """`configuration/network/layer` as configuration and network/layer."""
    config, _, layer = use.partition("/")
    return config, layer


def _filled(row: dict[str, Any], schema: int) -> dict[str, Any]:
    """A row with what its schema lacks."""
    return row | {"facts": UNSEEN | row["facts"]} if schema == 1 and "facts" in row else row


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
    if entry.failed:
        bad = [f"does not compile: {entry.failed}"]
    else:
        kinds = [kind(other.facts) for _, other in earlier if other.facts]
        bad = [f"spills: {spill(entry.facts)}"] if spills(entry) else []
        bad += [] if fits(entry) else [f"shared memory: {shared(entry.facts)}"]
        bad += [f"unsafe: {why}"] if (why := unsafe(entry)) else []
        if entry.facts["product"] and kind(entry.facts) < max(kinds, default=0):
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
        Change(kind, entry.arch, entry.kernel, config, tuple(found), tuple(what), runs)
        for config, found in layers.items()
    ]


def _worse(before: Entry, after: Entry) -> Iterator[Worse]:
    """In what `after` is worse; with the two exchanged, in what it is better."""
    if after.failed or before.failed:
        if after.failed and not before.failed:
            yield "compiles", "yes", f"no: {after.failed}"
        return
    old, new = before.facts, after.facts
    if (new["stack"], new["spill_stores"]) > (old["stack"], old["spill_stores"]):
        yield "spills", spill(old), spill(new)
    if kind(new) < kind(old):
        yield "tensor cores", tensor(old), tensor(new)
    depths = old["wait_depth"], new["wait_depth"]
    if None not in depths and depths[1] < depths[0]:
        yield "products in flight behind a wait", str(depths[0]), str(depths[1])
    for name, title in LOSSES.items():
        replaced = name == "async_loads" and new["bulk_loads"] > 0
        if old[name] and not new[name] and not replaced:
            yield title, str(old[name]), "none"
    if fits(before) and not fits(after):
        yield "shared memory", shared(old), shared(new)
    elif new["occupancy"] < old["occupancy"]:
        causes = [f"{title} {old[name]:,} -> {new[name]:,}" for name, title in CAUSES.items() if old[name] != new[name]]
        why = f" ({', '.join(causes)})" if causes else ""
        yield "blocks on an SM", str(old["occupancy"]), f"{new['occupancy']}{why}"


def exact(entry: Entry) -> bool:
    """Whether it is of fp32, which tensor cores do not multiply."""
    return all("/fp32-" in use for use in entry.uses)


def spills(entry: Entry) -> bool:
    return bool(entry.facts) and (entry.facts["stack"] > 0 or entry.facts["spill_stores"] > 0)


def fits(entry: Entry) -> bool:
    """Whether a block can have the shared memory that it asks for; a launch tells, a compiler does not."""
    return not entry.facts or entry.facts["shared"] <= entry.facts["shared_limit"]


def unsafe(entry: Entry) -> str:
    """Why its code may compute wrong numbers, or nothing."""
    facts = entry.facts
    return hazards.unsafe(facts["overwrites"], facts["barrier"], facts["warps"]) if facts else ""


def tensor(facts: dict[str, Any]) -> str:
    """`8 HGMMA`, or `none`."""
    return " + ".join(f"{count} {name}" for name, count in facts["tensor"].items()) or "none"


def kind(facts: dict[str, Any]) -> int:
    """The least of the instructions: 0 none, 1 mma.sync, 2 wgmma, 3 tcgen05.

    sm_90 and sm_100 reach their rates by their own instruction alone, and still run the older.
    """
    kinds = [3 if name.startswith("UTC") else 2 if name.endswith("GMMA") else 1 for name in facts["tensor"]]
    return min(kinds, default=0)


def spill(facts: dict[str, Any]) -> str:
    """`24 bytes of stack, 6 stores`, or `none`."""
    some = facts["stack"] or facts["spill_stores"]
    return f"{facts['stack']} bytes of stack, {facts['spill_stores']} stores" if some else "none"


def shared(facts: dict[str, Any]) -> str:
    return f"{facts['shared']:,} of {facts['shared_limit']:,} bytes"
