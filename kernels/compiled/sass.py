"""A parser of the machine code that `nvdisasm -c` prints: instructions, the registers they write, their successors.

It has what an analysis of tensor-core code needs: general registers, branches, and the operands of wgmma. Uniform
registers and predicates are skipped; a predicated instruction may or may not run.
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

# wgmma by operand type: 16-bit floats and tf32, 8-bit floats, 8-bit integers.
PRODUCTS = ("HGMMA", "QGMMA", "IGMMA")
# A thread's share of A, 64 rows by 32 bytes of depth over a warpgroup's 128 threads, in registers of 4 bytes.
A_REGISTERS = 4

# They write only their leading predicates; the registers that follow are read.
_SETS_PREDICATES = {"ISETP", "FSETP", "DSETP", "HSETP2", "PSETP", "PLOP3", "FCHK", "QSPC", "R2P"}
# Their first operand is a register that is read: they have no destination.
_READS_FIRST = {"BAR", "BRX", "JMX", "CALL", "RET", "NANOSLEEP", "WARPSYNC", "BSYNC", "BREAK", "SETLMEMBASE", "KILL"}
_BRANCHES = {"BRA", "BRX", "JMP", "JMX", "CALL"}
_TERMINATORS = {"BRA", "BRX", "JMP", "JMX", "EXIT", "RET", "KILL"}
_DOUBLE = {"DADD", "DMUL", "DFMA", "DMNMX"}
_MATRIX_SUMS = {"HMMA": 4, "IMMA": 4, "QMMA": 4, "BMMA": 4, "DMMA": 4}  # registers of sums in a thread, at most


@dataclass(frozen=True)
class Instruction:
    """The parts of `/*0a30*/ @P0 LDSM.16.M88.4 R24, [R3+UR4] ;`; `modifiers` are the words after the name."""

    address: int
    predicate: str
    name: str
    modifiers: tuple[str, ...]
    operands: tuple[str, ...]

    @cached_property
    def writes(self) -> range:
        """The general registers that it writes: the first operand, after predicates that it also sets.

        It is empty for stores, whose first operand is an address in brackets, and for what sets only predicates.
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
        """The registers of 4 bytes that a destination takes."""
        if self.name in PRODUCTS:
            columns = next(int(word.split("x")[1]) for word in self.modifiers if word.count("x") == 2)
            return columns // 2  # sums of 4 bytes, or half as many of 2: too many registers do no harm
        if self.name in _MATRIX_SUMS:
            return _MATRIX_SUMS[self.name]
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
    def a_registers(self) -> range | None:
        """The registers that a wgmma reads as A; empty if A is in shared memory, None for other instructions."""
        if self.name not in PRODUCTS:
            return None
        register = _REGISTER.match(self.operands[1])
        first = int(register[1]) if register else 0
        return range(first, first + A_REGISTERS) if register else range(0)

    @property
    def ends_group(self) -> bool:
        """True for a wgmma that is the last of the group that a wait counts."""
        return any(operand.startswith("gsb") for operand in self.operands)

    @property
    def groups_after_wait(self) -> int | None:
        """The groups of wgmma that a wait leaves in flight, `WARPGROUP.DEPBAR.LE gsb0, 0x1`; None for no wait."""
        return int(self.operands[1], 0) if (self.name, *self.modifiers[:1]) == ("WARPGROUP", "DEPBAR") else None


@dataclass(frozen=True)
class Code:
    """Instructions in the order of their addresses; `labels`: indices of the instructions that branches go to."""

    instructions: tuple[Instruction, ...]
    labels: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes up to the end of the last instruction; each has 16 bytes."""
        return max((instruction.address + 16 for instruction in self.instructions), default=0)

    def targets(self, index: int) -> list[int]:
        """Return the indices that a branch may go to; an indirect one's are in its comment."""
        branch = self.instructions[index]
        if branch.name not in _BRANCHES:
            return []
        names = (name for operand in branch.operands for name in _TARGET.findall(operand))
        return [self.labels[name] for name in names if name in self.labels]

    def successors(self, index: int) -> list[int]:
        """Return the indices of the instructions that may run next."""
        instruction = self.instructions[index]
        ends = instruction.name in _TERMINATORS and not instruction.predicate
        # with two operands a branch is conditional: `BRA.DIV UR4, target`
        ends = ends and not (instruction.name == "BRA" and len(instruction.operands) > 1)
        following = [index + 1] if not ends and index + 1 < len(self.instructions) else []
        return [*following, *self.targets(index)]

    def loops(self) -> list[frozenset[int]]:
        """Return the indices of each natural loop: a back edge goes to an instruction that dominates its branch."""
        successors = {index: self.successors(index) for index in range(len(self.instructions))}
        predecessors: dict[int, list[int]] = {index: [] for index in successors}
        for index, following in successors.items():
            for successor in following:
                predecessors[successor].append(index)
        reachable = _reachable(0, successors)
        branches = [(index, target) for index in sorted(reachable) for target in self.targets(index)]
        back = [(index, target) for index, target in branches if index not in _reachable(0, successors, without=target)]
        return [_reachable(index, predecessors, without=target) | {target} for index, target in back]


def _reachable(start: int, edges: dict[int, list[int]], without: int | None = None) -> frozenset[int]:
    """Return the indices reachable from `start`, itself included, on paths that avoid `without`."""
    visited: set[int] = set()
    pending = [start]
    while pending:
        index = pending.pop()
        if index not in visited and index != without:
            visited.add(index)
            pending += edges[index]
    return frozenset(visited)


def parse_sass(text: str) -> Code:
    """Parse what `nvdisasm -c` printed of a kernel."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(instructions)
        elif match := _INSTRUCTION.match(line):
            address, predicate, name, modifiers, operands = match.groups(default="")
            words = tuple(modifiers.split(".")[1:])
            instructions.append(Instruction(int(address, 16), predicate, name, words, _operands(operands)))
    return Code(tuple(instructions), labels)


def _operands(text: str) -> tuple[str, ...]:
    return tuple(operand.strip() for operand in text.split(",")) if text else ()
