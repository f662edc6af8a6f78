"""Machine code as `nvdisasm -c` prints it, read into instructions: what each writes, and where it may go next.

Only what an analysis of tensor-core code asks for is here: general registers, branches, and the operands of wgmma.
Uniform registers and predicates are read past; a predicated instruction counts as one that may run and may not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_LABEL = re.compile(r"\s*(\.L\w+):")
_INSTRUCTION = re.compile(
    r"\s*/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][A-Z0-9_]*)((?:\.\w+)*)(?:\s+(.*?))?\s*;"
)
_REGISTER = re.compile(r"[-!~|]*R(\d+)\b")
_PREDICATE = re.compile(r"!?U?P(\d+|T)$")
_TARGET = re.compile(r"\.L\w+")

# wgmma by what it multiplies: halves and tf32, 8-bit floats, 8-bit integers.
PRODUCTS = ("HGMMA", "QGMMA", "IGMMA")
# A thread's share of A, 64 rows by 32 bytes of depth over a warpgroup's 128 threads, in registers of 4 bytes.
A_REGISTERS = 4

# Whose leading predicates are all that they write: the registers behind these are read.
_SETS_PREDICATES = {"ISETP", "FSETP", "DSETP", "HSETP2", "PSETP", "PLOP3", "FCHK", "QSPC", "R2P"}
# Whose first operand is a register that is read: there is no destination, and no address in brackets in its place.
_READS_FIRST = {"BAR", "BRX", "JMX", "CALL", "RET", "NANOSLEEP", "WARPSYNC", "BSYNC", "BREAK", "SETLMEMBASE", "KILL"}
_BRANCHES = {"BRA", "BRX", "JMP", "JMX", "CALL"}
_ENDS = {"BRA", "BRX", "JMP", "JMX", "EXIT", "RET", "KILL"}
_DOUBLE = {"DADD", "DMUL", "DFMA", "DMNMX"}
_MATRICES = {"HMMA": 4, "IMMA": 4, "QMMA": 4, "BMMA": 4, "DMMA": 4}  # of sums a thread, at most


@dataclass(frozen=True)
class Instruction:
    """`/*0a30*/ @P0 LDSM.16.M88.4 R24, [R3+UR4] ;` in parts. `modifiers` are the words behind the name."""

    address: int
    predicate: str
    name: str
    modifiers: tuple[str, ...]
    operands: tuple[str, ...]

    @cached_property
    def writes(self) -> range:
        """General registers that it writes, by position: the first operand, behind predicates that it also sets.

        Stores, whose first operand is an address in brackets, have none; nor has what sets predicates alone.
        """
        if self.name in _READS_FIRST:
            return range(0)
        for operand in self.operands:
            if _PREDICATE.match(operand) and self.name not in _SETS_PREDICATES:
                continue
            register = _REGISTER.match(operand)
            first = int(register[1]) if register else 0
            return range(first, first + self._width) if register else range(0)
        return range(0)

    @property
    def _width(self) -> int:
        """Registers of 4 bytes that a destination takes."""
        if self.name in PRODUCTS:
            columns = next(int(word.split("x")[1]) for word in self.modifiers if word.count("x") == 2)
            return columns // 2  # sums of 4 bytes, or half as many: what is said of a sum too many does no harm
        if self.name in _MATRICES:
            return _MATRICES[self.name]
        if self.name in ("LDSM", "LDTM"):
            return int(self.modifiers[-1]) if self.modifiers and self.modifiers[-1] in ("2", "4") else 1
        if self.name in _DOUBLE or self.name == "CS2R":
            return 1 if "32" in self.modifiers else 2
        if self.name == "IMAD" and "WIDE" in self.modifiers:
            return 2
        if self.name in ("F2F", "I2F", "F2I", "FRND") and self.modifiers:
            return 2 if any(word.endswith("64") for word in self.modifiers) else 1
        return next((size // 32 for size in (256, 128, 64) if str(size) in self.modifiers), 1)

    @cached_property
    def reads_a(self) -> range | None:
        """The registers that a wgmma reads as A; empty if A is in shared memory, None if this is no wgmma."""
        if self.name not in PRODUCTS:
            return None
        register = _REGISTER.match(self.operands[1])
        first = int(register[1]) if register else 0
        return range(first, first + A_REGISTERS) if register else range(0)

    @property
    def ends_group(self) -> bool:
        """Whether a wgmma is the last of the group that a wait counts."""
        return any(operand.startswith("gsb") for operand in self.operands)

    @property
    def waits_for(self) -> int | None:
        """Groups of wgmma that it leaves in flight, if it waits for them: `WARPGROUP.DEPBAR.LE gsb0, 0x1`."""
        return int(self.operands[1], 0) if (self.name, *self.modifiers[:1]) == ("WARPGROUP", "DEPBAR") else None


@dataclass(frozen=True)
class Code:
    """Instructions in the order of their addresses; `labels`: the places that branches go to."""

    instructions: tuple[Instruction, ...]
    labels: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes up to the end of the last instruction, of 16 bytes each."""
        return max((instruction.address + 16 for instruction in self.instructions), default=0)

    def targets(self, place: int) -> list[int]:
        """Places that a branch may go to, those of an indirect one being in its comment."""
        here = self.instructions[place]
        if here.name not in _BRANCHES:
            return []
        names = (name for operand in here.operands for name in _TARGET.findall(operand))
        return [self.labels[name] for name in names if name in self.labels]

    def after(self, place: int) -> list[int]:
        """Places that may run next."""
        here = self.instructions[place]
        jumps = self.targets(place)
        ends = here.name in _ENDS and not here.predicate
        ends = ends and not (here.name == "BRA" and len(here.operands) > 1)  # a condition: `BRA.DIV UR4, target`
        behind = [place + 1] if not ends and place + 1 < len(self.instructions) else []
        return [*behind, *jumps]

    def loops(self) -> list[frozenset[int]]:
        """The places of each loop: what leads to a branch back to a place that all ways to that branch pass."""
        ways = {place: self.after(place) for place in range(len(self.instructions))}
        before: dict[int, list[int]] = {place: [] for place in ways}
        for place, next_places in ways.items():
            for following in next_places:
                before[following].append(place)
        edges = [(place, target) for place in ways for target in self.targets(place)]
        back = [(place, target) for place, target in edges if place not in _reached(0, ways, without=target)]
        # a place that cannot be reached at all is in no loop
        live = _reached(0, ways)
        return [_reached(place, before, without=target) | {target} for place, target in back if place in live]


def _reached(start: int, ways: dict[int, list[int]], without: int | None = None) -> frozenset[int]:
    """Places that can be got to from `start`, itself among them, not passing `without`."""
    seen: set[int] = set()
    todo = [start]
    while todo:
        place = todo.pop()
        if place not in seen and place != without:
            seen.add(place)
            todo += ways[place]
    return frozenset(seen)


def parse(text: str) -> Code:
    """What `nvdisasm -c` printed of a kernel."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(instructions)
        elif found := _INSTRUCTION.match(line):
            address, predicate, name, modifiers, operands = found.groups(default="")
            words = tuple(modifiers.split(".")[1:])
            instructions.append(Instruction(int(address, 16), predicate, name, words, _operands(operands)))
    return Code(tuple(instructions), labels)


def _operands(text: str) -> tuple[str, ...]:
    return tuple(operand.strip() for operand in text.split(",")) if text else ()
