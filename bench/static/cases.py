"""Static facts of a case: exact counts that need neither a clock nor a GPU, and their changes from a record.

`bench.worker.static.count` counts facts in a child. Equal code gives equal facts, so a difference of one is a verdict.
Each count is kept with its method (`METHODS`) and what else it depends on: under another torch, say, a difference is
reported and fails nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.commands import command_line
from bench.files import read_json, reading, write_file
from bench.kinds import COUNTS

SCHEMA = 1

# The facts and their titles. Less is better of all but the digest.
FACTS = {
    "launches": "kernels launched by a forward",
    "breaks": "graph breaks",
    "bytes": "bytes read and written by these kernels",
    "flops": "floating-point operations",
    "weights": "bytes of weights",
    "activations": "bytes of planned activation memory",
    "record": "digest of the accepted compiler record",
}


class Method(NamedTuple):
    """A method of counting, in words, and the fields of `Facts.environment` that it depends on."""

    words: str
    depends_on: tuple[str, ...] = ()


METHODS = {
    "aten": Method("operations that compute, dispatched by one forward on a CPU; no views, no allocations", ("torch",)),
    "inductor": Method(
        "calls of kernels and of libraries in the code that Inductor generates for a CPU", ("torch", "cpu")
    ),
    "launcher": Method("launches of our kernels, cut as for an NVIDIA H200, and operations beside them", ("torch",)),
    "onnx": Method(
        "nodes of the graph as ONNX Runtime optimised it for this CPU",
        ("torch", "onnx", "onnxscript", "onnxruntime", "cpu"),
    ),
    "dynamo": Method("breaks that torch._dynamo counted while it traced", ("torch",)),
    "tensors": Method("tensors that each of these operations takes and makes", ("torch",)),
    "arguments": Method("tensors among the arguments of each launch, once a launch", ("torch",)),
    "flop_counter": Method("of the plain model, two a multiply-add, by torch.utils.flop_counter", ("torch",)),
    "parameters": Method("parameters and buffers of the prepared variant"),
    "initialisers": Method(
        "initialisers of the optimised graph", ("torch", "onnx", "onnxscript", "onnxruntime", "cpu")
    ),
    "buffers": Method("planned by resnet.fused.buffers for all activations, partial sums and logits"),
    "alive": Method("the least that plain torch's operations need at once (resnet.fused.eager_memory)"),
    "accepted": Method("SHA-256 of what results/kernels/accepted.json has for its layers"),
}

SLOWER, FASTER, CHANGED, FAILED, GONE = "SLOWER", "FASTER", "CHANGED", "FAILED", "GONE"
ENVIRONMENT = "ENVIRONMENT"
NOT_COUNTED, NEW = "NOT COUNTED", "NEW"  # reported, and nothing to act on
ORDER = (FAILED, SLOWER, GONE, ENVIRONMENT, NOT_COUNTED, CHANGED, FASTER, NEW)


class Fact(NamedTuple):
    """A count, or a digest, and how it was counted."""

    value: int | str
    method: str  # a key of METHODS


@dataclass(frozen=True)
class Counted:
    """The facts of one case; `absent` has the reasons why a fact is missing, `skipped` and `failed` why all are."""

    facts: dict[str, Fact] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    skipped: str = ""
    failed: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Counted:
        """Return the facts of a JSON object. Raises ValueError for an unknown fact or method."""
        facts = {name: Fact(*pair) for name, pair in data.get("facts", {}).items()}
        for name, fact in facts.items():
            if (
                name not in FACTS
                or fact.method not in METHODS
                or type(fact.value) is not (str if name == "record" else int)
            ):
                raise ValueError(f"{name}: {fact.value!r} by {fact.method!r} is no count")
        absent = {name: str(why) for name, why in data.get("absent", {}).items()}
        return cls(facts, absent, str(data.get("skipped", "")), str(data.get("failed", "")))

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Facts:
    """The facts of all cases of a plan.

    `environment` has versions by name, and the processor's kind; `commit` ends in a plus where the tree had changes.
    """

    cases: dict[str, Counted]
    environment: dict[str, str]
    commit: str
    when: str

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "commit": self.commit,
            "when": self.when,
            "environment": self.environment,
            "how": {name: method.words for name, method in METHODS.items()},
            "cases": {name: counted.as_json() for name, counted in self.cases.items()},
        }

    def only(self, cases: Iterable[str]) -> Facts:
        wanted = set(cases)
        return replace(self, cases={name: counted for name, counted in self.cases.items() if name in wanted})

    @classmethod
    def read(cls, path: Path) -> Facts:
        """Read a file of facts. Raises StoreError for one that is missing, damaged or too new."""
        cure = f"`{command_line('counts', '-o', path)}` writes one"
        with reading(path, COUNTS, cure):
            data = read_json(path, SCHEMA)
            cases = {name: Counted.from_json(counted) for name, counted in data["cases"].items()}
            environment = {name: str(version) for name, version in data["environment"].items()}
            return cls(cases, environment, str(data["commit"]), str(data["when"]))

    def save(self, path: Path) -> None:
        """Write the file whole or not at all, a case a line. Raises StoreError where it cannot."""
        head = self.as_json() | {"cases": {}}
        cases = ",\n".join(f'  "{name}": {json.dumps(counted.as_json())}' for name, counted in self.cases.items())
        text = json.dumps(head, indent=1).removesuffix("{}\n}") + f"{{\n{cases}\n }}\n}}\n"
        write_file(path, text, kind=COUNTS)


@dataclass(frozen=True)
class Change:
    """A change of a fact, or of a whole case where `fact` is empty; `word` is one of ORDER."""

    word: str
    case: str
    fact: str
    before: int | str | None
    after: int | str | None
    why: str = ""

    def __str__(self) -> str:
        text = f"{self.case}: "
        if self.fact:
            text += f"{FACTS[self.fact]}: {amount(self.before)} -> {amount(self.after)}"
        return text + (f"{' (' if self.fact else ''}{self.why}{')' if self.fact else ''}" if self.why else "")


def amount(value: int | str | None) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else value


def failures(changes: Iterable[Change], strict: bool) -> list[Change]:
    """Return the changes that fail a commit; with `strict`, those of another environment, too."""
    failing = (FAILED, SLOWER, GONE, *((ENVIRONMENT, NOT_COUNTED) if strict else ()))
    return [change for change in changes if change.word in failing]


def compare_facts(old: Facts, new: Facts) -> list[Change]:
    """Return the changes, the worst first; `old` has the cases of the record that were counted again (`Facts.only`)."""
    differing = {
        name: f"{name} {old.environment.get(name, 'none')} -> {new.environment.get(name, 'none')}"
        for name in sorted(old.environment.keys() | new.environment.keys())
        if old.environment.get(name) != new.environment.get(name)
    }
    changes = [
        change
        for name in dict.fromkeys([*old.cases, *new.cases])
        for change in _case_changes(name, old.cases.get(name), new.cases.get(name), differing)
    ]
    return sorted(changes, key=lambda change: ORDER.index(change.word))


def _case_changes(name: str, old: Counted | None, new: Counted | None, differing: dict[str, str]) -> Iterator[Change]:
    if new is None:
        yield Change(GONE, name, "", None, None, "no longer in the plan")
    elif new.failed:
        word = CHANGED if old and old.failed else FAILED
        if not old or old.failed != new.failed:
            yield Change(word, name, "", None, None, new.failed)
    elif new.skipped:
        if old and old.facts:
            yield Change(NOT_COUNTED, name, "", None, None, new.skipped)
    elif old is None or not old.facts:
        yield Change(NEW, name, "", None, None, "not in the record")
    else:
        for fact in FACTS:
            yield from _fact_changes(name, fact, old, new, differing)


def _fact_changes(name: str, fact: str, old: Counted, new: Counted, differing: dict[str, str]) -> Iterator[Change]:
    before, after = old.facts.get(fact), new.facts.get(fact)
    if before is None and after is None:
        return
    if after is None:
        assert before is not None
        yield Change(GONE, name, fact, before.value, None, new.absent.get(fact, "not counted any more"))
    elif before is None:
        yield Change(NEW, name, fact, None, after.value)
    elif before.value != after.value:
        reasons = [differing[field] for field in METHODS[after.method].depends_on if field in differing]
        if before.method != after.method:
            word, reasons = CHANGED, [f"counted in another way: {METHODS[after.method].words}"]
        elif reasons:
            word = ENVIRONMENT
        elif isinstance(before.value, str) or isinstance(after.value, str):
            word, reasons = CHANGED, [f"`{command_line('kernels', '--check')}` says in what"]
        else:
            word = SLOWER if after.value > before.value else FASTER
        yield Change(word, name, fact, before.value, after.value, "; ".join(reasons))
