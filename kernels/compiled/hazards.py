"""A search for two faults that compilers leave in code with wgmma, both of which rarely give wrong numbers.

- Overwrites. wgmma is asynchronous, and reads A from shared memory or from registers. ptxas before CUDA 13.3 may reuse
  such a register before the wait that ends the reading (triton#9433, triton#11781: 61 for 64). The hardware does not
  delay the writer: such a wgmma sets no scoreboard for what it reads (sm_90, ptxas 12.8: no HGMMA with A in registers
  names a read barrier in its control bits).
- No barrier. A wait covers the products of the waiting warpgroup only. With two of them the other's products may still
  read shared memory that is written next, unless a barrier for all warps comes between (triton#11047).

The code is followed along all of its paths, loops until no new state comes around their back edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kernels.compiled.sass import Code, Instruction

# Instructions that write to shared memory: copies of both kinds, stores, atomics.
SHARED_WRITES = ("LDGSTS", "STS", "STSM", "UTMALDG", "UBLKCP", "ATOMS", "STAS")
WARPS_OF_WARPGROUP = 4
# More groups than these are in flight only where nothing waits for them; the oldest are then merged.
MAX_GROUPS = 16


@dataclass(frozen=True)
class Hazards:
    """The wgmma of a kernel's code.

    `wait_depth`: the fewest groups of wgmma that a wait in the loop leaves in flight, so 0 where each step ends in a
    full wait; in code without such a loop, that a wait between two products leaves; None without a wait. `operand_a`:
    "shared", or "registers" if any product reads A from registers, or "" without wgmma. `overwrites`: instructions that
    write a register which a product in flight reads as A. `barrier`: whether a barrier of all warps comes between each
    wait and the next write to shared memory that the products read.
    """

    wait_depth: int | None
    operand_a: str
    overwrites: int
    barrier: bool


class _State(NamedTuple):
    """The state before an instruction, on some path to it.

    `groups`: the A registers of each group in flight, the newest last; `open`: those of the group not yet ended.
    `waited`: whether no barrier has followed the last wait; `copies`: groups of cp.async ended since.
    """

    groups: tuple[frozenset[int], ...] = ()
    open: frozenset[int] = frozenset()
    waited: bool = False
    copies: int = 0


def find_hazards(code: Code) -> Hazards:
    """Return the hazards in a kernel's code."""
    products = [index for index, instruction in enumerate(code.instructions) if instruction.a_registers is not None]
    if not products:
        return Hazards(None, "", 0, True)
    from_registers = any(code.instructions[index].a_registers for index in products)
    states = _states(code)
    overwrites = {index for index, state in states if _overwrites(code.instructions[index], state)}
    unguarded = any(_unguarded(code.instructions[index], state, from_registers) for index, state in states)
    operand = "registers" if from_registers else "shared"
    return Hazards(_wait_depth(code, products), operand, len(overwrites), not unguarded)


def hazard_reason(overwrites: int, barrier: bool, warps: int) -> str:
    """Say why a kernel of `warps` warps with these facts may compute wrong numbers; empty if no hazard was seen."""
    if overwrites:
        return f"{overwrites} instructions write registers that products in flight still read (triton#9433)"
    if warps > WARPS_OF_WARPGROUP and not barrier:
        return "no barrier of all warps between a wait for products and a write to what they read (triton#11047)"
    return ""


def _states(code: Code) -> set[tuple[int, _State]]:
    """Return each instruction's index with each state that may precede it."""
    visited = {(0, _State())}
    pending = list(visited)
    while pending:
        index, state = pending.pop()
        state = _next_state(code.instructions[index], state)
        new = {(successor, state) for successor in code.successors(index)} - visited
        visited |= new
        pending += new
    return visited


def _next_state(instruction: Instruction, state: _State) -> _State:
    """Return the state after an instruction."""
    groups, open_group, waited, copies = state
    if instruction.a_registers is not None:
        open_group |= frozenset(instruction.a_registers)
        if instruction.ends_group:
            groups, open_group = (*groups, open_group), frozenset()
            if len(groups) > MAX_GROUPS:
                groups = (groups[0] | groups[1], *groups[2:])
    elif (in_flight := instruction.groups_after_wait) is not None:
        groups, waited, copies = groups[max(len(groups) - in_flight, 0) :], True, 0
    elif _is_full_barrier(instruction):
        waited, copies = False, 0
    elif instruction.name == "LDGDEPBAR" and waited:
        copies = 1
    return _State(groups, open_group, waited, copies)


def _is_full_barrier(instruction: Instruction) -> bool:
    """Tell whether it is `BAR.SYNC.DEFER_BLOCKING 0x0`; with a number of threads it would be for some warps only."""
    return instruction.name == "BAR" and "SYNC" in instruction.modifiers and len(instruction.operands) == 1


def _overwrites(instruction: Instruction, state: _State) -> bool:
    """Tell whether it writes a register that a product in flight reads; a group not yet ended is in flight too."""
    written = instruction.writes
    return bool(written) and any(not group.isdisjoint(written) for group in (*state.groups, state.open))


def _unguarded(instruction: Instruction, state: _State, from_registers: bool) -> bool:
    """Tell whether it writes to shared memory that another warpgroup's products may still read.

    With A in registers the first copy is of x, which goes to registers: the products read B, which is copied next.
    """
    if not state.waited or instruction.name not in SHARED_WRITES:
        return False
    return not (from_registers and instruction.name == "LDGSTS" and state.copies == 0)


def _wait_depth(code: Code, products: list[int]) -> int | None:
    """Return `Hazards.wait_depth` of code with these products."""
    loops = [loop for loop in code.loops() if not loop.isdisjoint(products)]
    inner = [loop for loop in loops if not any(other < loop for other in loops)]
    indices = frozenset().union(*inner) or range(products[0], products[-1])
    depths = [code.instructions[index].groups_after_wait for index in indices]
    return min((depth for depth in depths if depth is not None), default=None)
