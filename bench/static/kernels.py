"""Kernels as compiled: the facts of each kernel's machine code, and the file of accepted ones.

A kernel has all its uses, `configuration/network/layer`, because many layers share one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from bench.commands import command_line
from bench.files import read_json, reading, write_file
from bench.kinds import ACCEPTED
from bench.plans.words import matches
from bench.records.typed import reader
from kernels.compiled.facts import KernelFacts

SCHEMA = 2
BATCHES = (1, 8, 32, 128, 256)
MAIN = (("resnet50", 32, "fp16"), ("resnet50v2", 32, "fp16"))
EVERYTHING = (
    *((network, batch, "fp16") for network in ("resnet18", "resnet50") for batch in BATCHES),
    *((network, 32, "fp16") for network in ("resnet18v2", "resnet50v2")),
    *(("resnet50", 32, precision) for precision in ("bf16", "tf32", "fp32")),
)
INT8 = (("resnet50", 32, "int8"), ("resnet18", 32, "int8"))
FP8 = (("resnet50", 32, "fp8"), ("resnet18", 32, "fp8"))
ONE_PICTURE = (("resnet50", 1, "int8"), ("resnet50", 1, "fp8"))

# The points to compile: (network, batch, precision) by architecture. A kernel costs 0.7 s of a core (Zen 5,
# 2026-11-23), so the least informative are left out: sm_89 and sm_120 have sm_80's tensor cores and copies, and less
# shared memory.
POINTS = {
    80: (*EVERYTHING, *INT8),  # which has no fp8
    89: (*MAIN, INT8[0], FP8[0]),
    90: (*EVERYTHING, *INT8, *FP8, *ONE_PICTURE),
    100: (*EVERYTHING, *INT8, *FP8),
    120: (*MAIN, INT8[0], FP8[0]),
}


# The facts that a record of schema 1 lacks, as not seen.
UNSEEN: dict[str, Any] = {"wait_depth": None, "operand_a": "", "overwrites": 0, "barrier": True}


# the facts that are sizes, in bytes
BYTES = ("stack", "shared", "shared_limit", "code")


class _Required(TypedDict):
    arch: int
    kernel: str
    uses: list[str]


class _Row(_Required, total=False):
    """An entry as JSON, beside its facts."""

    failed: str


_read_row, _read_facts = reader(_Row), reader(KernelFacts)


@dataclass(frozen=True, eq=False)
class Entry:
    """One kernel as compiled for one architecture: its code's `facts` (`bench.worker.static`), or why it `failed`."""

    arch: int
    kernel: str
    uses: tuple[str, ...]
    facts: KernelFacts | None = None
    failed: str = ""

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Entry:
        """Return the entry of a row. Raises ValueError for a field that is missing or of a wrong type."""
        row = _read_row(row)
        facts = None if row.get("failed") else _read_facts(row.get("facts"))
        return cls(row["arch"], row["kernel"], tuple(row["uses"]), facts, row.get("failed", ""))

    def as_json(self) -> dict[str, Any]:
        outcome = {"facts": asdict(self.facts)} if self.facts else {"failed": self.failed}
        return {"arch": self.arch, "kernel": self.kernel, "uses": list(self.uses), **outcome}

    def as_row(self) -> dict[str, Any]:
        """Return the kernel as `--csv` prints it: a number a column, sizes in bytes."""
        facts = asdict(self.facts) if self.facts else {}
        named = {f"{name}_bytes" if name in BYTES else name: value for name, value in facts.items()}
        return {"arch": self.arch, "kernel": self.kernel, "uses": self.uses, "failed": self.failed or None, **named}


@dataclass(frozen=True)
class Accepted:
    """A record of accepted kernels; `commit` is a sha, with a plus if the tree had uncommitted changes."""

    entries: list[Entry]
    triton: str
    commit: str
    when: str

    @staticmethod
    def read(path: Path) -> Accepted:
        """Read a record. Raises StoreError for a file that is missing, damaged or too new."""
        cure = f"`{command_line('kernels', '--accept', path)}` writes one"
        with reading(path, ACCEPTED, cure):
            data = read_json(path, SCHEMA)
            entries = [Entry.from_json(_filled(row, data["schema"])) for row in data["entries"]]
            return Accepted(entries, str(data["triton"]), str(data["commit"]), str(data["when"]))

    def save(self, path: Path) -> None:
        """Write the file whole or not at all, an entry a line. Raises StoreError where it cannot."""
        ordered = sorted(self.entries, key=lambda entry: (entry.arch, entry.kernel, entry.uses))
        lines = ",\n".join(json.dumps(entry.as_json(), separators=(",", ":")) for entry in ordered)
        head = json.dumps({"schema": SCHEMA, "triton": self.triton, "commit": self.commit, "when": self.when})
        write_file(path, f'{head[:-1]}, "entries": [\n{lines}\n]}}\n', kind=ACCEPTED)


def matching_entries(entries: Iterable[Entry], archs: Iterable[int], globs: list[str]) -> list[Entry]:
    """Return the entries of some architectures, with the uses of layers that match a glob."""
    wanted = set(archs)
    matching = []
    for entry in entries:
        uses = tuple(use for use in entry.uses if matches(split_use(use)[1], globs))
        if entry.arch in wanted and uses:
            matching.append(replace(entry, uses=uses))
    return matching


def split_use(use: str) -> tuple[str, str]:
    """Split `configuration/network/layer` into configuration and network/layer."""
    config, _, layer = use.partition("/")
    return config, layer


def _filled(row: dict[str, Any], schema: int) -> dict[str, Any]:
    return row | {"facts": UNSEEN | row["facts"]} if schema == 1 and "facts" in row else row


def is_fp32(entry: Entry) -> bool:
    """Return whether the kernel is for fp32, which tensor cores do not multiply."""
    return all("/fp32-" in use for use in entry.uses)


def fits(entry: Entry) -> bool:
    """Return whether a block can have the shared memory that it needs; a compiler does not check it, a launch does."""
    return entry.facts is None or entry.facts.fits


def unsafe(entry: Entry) -> str:
    """Return why the kernel's code may compute wrong numbers, or nothing."""
    return entry.facts.hazard_reason if entry.facts else ""


def faults(entry: Entry) -> list[str]:
    """Return why no commit may add the kernel: it does not compile, spills, does not fit, or may be wrong."""
    if entry.facts is None:
        return [f"does not compile: {entry.failed}"]
    lines = [f"spills: {describe_spills(entry.facts)}"] if entry.facts.spills else []
    lines += [] if entry.facts.fits else [f"shared memory: {describe_shared(entry.facts)}"]
    return lines + ([f"unsafe: {why}"] if (why := unsafe(entry)) else [])


def describe_tensor(facts: KernelFacts) -> str:
    """Return the tensor-core instructions: `8 HGMMA`, or `none`."""
    return " + ".join(f"{count} {name}" for name, count in facts.tensor.items()) or "none"


def tensor_generation(facts: KernelFacts) -> int:
    """Return the oldest generation of the tensor-core instructions: 0 none, 1 mma.sync, 2 wgmma, 3 tcgen05.

    sm_90 and sm_100 still run older instructions, and reach their full rate with the newest alone.
    """
    generations = [3 if name.startswith("UTC") else 2 if name.endswith("GMMA") else 1 for name in facts.tensor]
    return min(generations, default=0)


def describe_spills(facts: KernelFacts) -> str:
    """Return the spills: `24 bytes of stack, 6 stores`, or `none`."""
    return f"{facts.stack} bytes of stack, {facts.spill_stores} stores" if facts.spills else "none"


def describe_shared(facts: KernelFacts) -> str:
    return f"{facts.shared:,} of {facts.shared_limit:,} bytes"


def describe_copies(facts: KernelFacts) -> list[str]:
    """Return the words of `a24 b2+1`: cp.async copies, bulk loads and stores, where there are any."""
    asynchronous = [f"a{facts.async_loads}"] if facts.async_loads else []
    return asynchronous + ([f"b{facts.bulk_loads}+{facts.bulk_stores}"] if facts.bulk_loads else [])
