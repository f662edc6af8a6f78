"""Static facts of a case: exact counts that need neither a clock nor a GPU, and in what they are worse than before.

A fact is counted by `bench.worker.static.count` in a child. Equal code gives equal facts, so a difference of one is a
verdict. What a count hangs on beside this repository (`HOW`) is kept with it: of another torch, say, a difference is
told and fails nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.files import read_json, reading, write_file

SCHEMA = 1

# What is counted, and its title. Of all but the digest less is better.
FACTS = {
    "launches": "kernels launched by a forward",
    "breaks": "graph breaks",
    "bytes": "bytes read and written by these kernels",
    "flops": "floating-point operations",
    "weights": "bytes of weights",
    "activations": "bytes of planned activation memory",
    "record": "digest of the accepted compiler record",
}


class How(NamedTuple):
    """A way of counting, in words, and the fields of `Facts.environment` that it hangs on."""

    words: str
    hangs_on: tuple[str, ...] = ()


HOW = {
    "aten": How("operations that compute, dispatched by one forward on a CPU; no views, no allocations", ("torch",)),
    "inductor": How(
        "calls of kernels and of libraries in the code that Inductor generates for a CPU", ("torch", "cpu")
    ),
    "launcher": How("launches of our kernels, cut as for an NVIDIA H200, and operations beside them", ("torch",)),
    "onnx": How(
        "nodes of the graph as ONNX Runtime optimised it for this CPU",
        ("torch", "onnx", "onnxscript", "onnxruntime", "cpu"),
    ),
    "dynamo": How("breaks that torch._dynamo counted while it traced", ("torch",)),
    "tensors": How("tensors that each of these operations takes and makes", ("torch",)),
    "arguments": How("tensors among the arguments of each launch, once a launch", ("torch",)),
    "flop_counter": How("of the plain model, two a multiply-add, by torch.utils.flop_counter", ("torch",)),
    "parameters": How("parameters and buffers of the prepared variant"),
    "initialisers": How("initialisers of the optimised graph", ("torch", "onnx", "onnxscript", "onnxruntime", "cpu")),
    "buffers": How("planned by resnet.fused.buffers for all activations, partial sums and logits"),
    "alive": How("the least that plain torch's operations need at once (resnet.fused.eager_memory)"),
    "accepted": How("SHA-256 of what results/kernels/accepted.json has for its layers"),
}

SLOWER, FASTER, CHANGED, FAILED, GONE = "SLOWER", "FASTER", "CHANGED", "FAILED", "GONE"
ELSEWHERE = "ENVIRONMENT"
# told, and nothing to act on
UNCOUNTED, NEW = "NOT COUNTED", "NEW"
ORDER = (FAILED, SLOWER, GONE, ELSEWHERE, UNCOUNTED, CHANGED, FASTER, NEW)


class Fact(NamedTuple):
    value: int | str
    how: str  # a key of HOW


@dataclass(frozen=True)
class Counted:
    """What one case gave. `absent`: why a fact cannot be had; `skipped`, `failed`: why none can."""

    facts: dict[str, Fact] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    skipped: str = ""
    failed: str = ""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Counted:
        facts = {name: Fact(*pair) for name, pair in data.get("facts", {}).items()}
        for name, fact in facts.items():
            if name not in FACTS or fact.how not in HOW or type(fact.value) is not (str if name == "record" else int):
                raise ValueError(f"{name}: {fact.value!r} by {fact.how!r} is no count")
        absent = {name: str(why) for name, why in data.get("absent", {}).items()}
        return cls(facts, absent, str(data.get("skipped", "")), str(data.get("failed", "")))

    def plain(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Facts:
    """`environment`: versions by name, and the processor's kind; `commit`: with a plus where the tree had changes."""

    cases: dict[str, Counted]
    environment: dict[str, str]
    commit: str
    when: str

    def plain(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "commit": self.commit,
            "when": self.when,
            "environment": self.environment,
            "how": {name: how.words for name, how in HOW.items()},
            "cases": {name: counted.plain() for name, counted in self.cases.items()},
        }

    def only(self, cases: Iterable[str]) -> Facts:
        """With these cases alone."""
        wanted = set(cases)
        kept = {name: counted for name, counted in self.cases.items() if name in wanted}
        return Facts(kept, self.environment, self.commit, self.when)

    @classmethod
    def load(cls, path: Path) -> Facts:
        """Raises StoreError for a file that is missing, damaged or too new."""
        cure = f"`bench counts -o {path}` writes one"
        with reading(path, "record of counts", cure):
            data = read_json(path, SCHEMA)
            cases = {name: Counted.of(counted) for name, counted in data["cases"].items()}
            environment = {name: str(version) for name, version in data["environment"].items()}
            return cls(cases, environment, str(data["commit"]), str(data["when"]))

    def save(self, path: Path) -> None:
        """Writes it whole or not at all, a case a line. Raises StoreError where it cannot."""
        head = self.plain() | {"cases": {}}
        cases = ",\n".join(f'  "{name}": {json.dumps(counted.plain())}' for name, counted in self.cases.items())
        text = json.dumps(head, indent=1).removesuffix("{}\n}") + f"{{\n{cases}\n }}\n}}\n"  # a case a line
        write_file(path, text)


@dataclass(frozen=True)
class Change:
    """Something that is not as it was. `word`: one of ORDER; `fact` is empty where it is the whole case."""

    word: str
    case: str
    fact: str
    before: int | str | None
    after: int | str | None
    why: str = ""

    def __str__(self) -> str:
        said = f"{self.case}: "
        if self.fact:
            said += f"{FACTS[self.fact]}: {amount(self.before)} -> {amount(self.after)}"
        return said + (f"{' (' if self.fact else ''}{self.why}{')' if self.fact else ''}" if self.why else "")


def amount(value: int | str | None) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else value


def failures(changes: Iterable[Change], strict: bool) -> list[Change]:
    """What a commit is refused for; `strict`: what another environment did, too."""
    bad = (FAILED, SLOWER, GONE, *((ELSEWHERE, UNCOUNTED) if strict else ()))
    return [change for change in changes if change.word in bad]


def compare(old: Facts, new: Facts) -> list[Change]:
    """What differs, the worst first: `old` is what of the record was counted again (`Facts.only`)."""
    differing = {
        name: f"{name} {old.environment.get(name, 'none')} -> {new.environment.get(name, 'none')}"
        for name in sorted(old.environment.keys() | new.environment.keys())
        if old.environment.get(name) != new.environment.get(name)
    }
    found = [
        change
        for name in dict.fromkeys([*old.cases, *new.cases])
        for change in _of_case(name, old.cases.get(name), new.cases.get(name), differing)
    ]
    return sorted(found, key=lambda change: ORDER.index(change.word))


def _of_case(name: str, old: Counted | None, new: Counted | None, differing: dict[str, str]) -> Iterator[Change]:
    if new is None:
        yield Change(GONE, name, "", None, None, "no longer in the plan")
    elif new.failed:
        word = CHANGED if old and old.failed else FAILED
        if not old or old.failed != new.failed:
            yield Change(word, name, "", None, None, new.failed)
    elif new.skipped:
        if old and old.facts:
            yield Change(UNCOUNTED, name, "", None, None, new.skipped)
    elif old is None or not old.facts:
        yield Change(NEW, name, "", None, None, "not in the record")
    else:
        for fact in FACTS:
            yield from _of_fact(name, fact, old, new, differing)


def _of_fact(name: str, fact: str, old: Counted, new: Counted, differing: dict[str, str]) -> Iterator[Change]:
    before, after = old.facts.get(fact), new.facts.get(fact)
    if before is None and after is None:
        return
    if after is None:
        assert before is not None
        yield Change(GONE, name, fact, before.value, None, new.absent.get(fact, "not counted any more"))
    elif before is None:
        yield Change(NEW, name, fact, None, after.value)
    elif before.value != after.value:
        others = [differing[field] for field in HOW[after.how].hangs_on if field in differing]
        if before.how != after.how:
            word, others = CHANGED, [f"counted in another way: {HOW[after.how].words}"]
        elif others:
            word = ELSEWHERE
        elif isinstance(before.value, str) or isinstance(after.value, str):
            word, others = CHANGED, ["`bench kernels --check` says in what"]
        else:
            word = SLOWER if after.value > before.value else FASTER
        yield Change(word, name, fact, before.value, after.value, "; ".join(others))
