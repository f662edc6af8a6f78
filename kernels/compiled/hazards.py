"""Two faults that compilers leave in code with wgmma, looked for in the code itself. Both give wrong numbers, rarely.

- Overwrites. wgmma runs on while the warps go on, and reads A from shared memory or from registers of theirs. ptxas
  before CUDA 13.3 may give such a register to another value before the wait that ends the reading (triton#9433,
  triton#11781: 61 for 64). Nothing in the hardware holds the writer back: such a wgmma sets no scoreboard for what it
  reads (sm_90, ptxas 12.8: no HGMMA with A in registers names a read barrier in its control bits).
- No barrier. A wait is for the products of one's own warpgroup. With two of them the other's may still read shared
  memory that is written next, unless a barrier for all warps stands between (triton#11047).

The code is walked along all of its paths, loops as often as something new comes round their back edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kernels.compiled.sass import Code, Instruction

# What writes to shared memory: copies of both kinds, stores, atomics.
SHARED_WRITES = ("LDGSTS", "STS", "STSM", "UTMALDG", "UBLKCP", "ATOMS", "STAS")
WARPGROUP = 4  # warps
# More groups than these are in flight only where nothing waits for them; the oldest then count as one.
MOST_GROUPS = 16


@dataclass(frozen=True)
class Hazards:
    """What was found in a kernel's code.

    `wait_depth`: the fewest groups of wgmma that a wait in the loop leaves in flight, so 0 where each step ends in a
    full wait; of code without such a loop, that a wait between two products does; None if there is none. `operand_a`:
    "shared", or "registers" where any product reads A from these, or "" without wgmma. `overwrites`: instructions that
    write a register which a product in flight reads as A. `barrier`: whether a barrier of all warps stands between each
    wait and the next write to shared memory that the products read.
    """

    wait_depth: int | None
    operand_a: str
    overwrites: int
    barrier: bool


class _State(NamedTuple):
    """What is true before an instruction runs, on some path that leads there.

    `groups`: the A registers of each group in flight, the newest last; `open`: of the group that is not ended yet.
    `waited`: whether no barrier has followed the last wait; `copies`: groups of cp.async ended since.
    """

    groups: tuple[frozenset[int], ...] = ()
    open: frozenset[int] = frozenset()
    waited: bool = False
    copies: int = 0


def hazards(code: Code) -> Hazards:
    products = [place for place, one in enumerate(code.instructions) if one.reads_a is not None]
    if not products:
        return Hazards(None, "", 0, True)
    from_registers = any(code.instructions[place].reads_a for place in products)
    states = _states(code)
    overwrites = {place for place, state in states if _overwrites(code.instructions[place], state)}
    unguarded = any(_unguarded(code.instructions[place], state, from_registers) for place, state in states)
    operand = "registers" if from_registers else "shared"
    return Hazards(_wait_depth(code, products), operand, len(overwrites), not unguarded)


def unsafe(overwrites: int, barrier: bool, warps: int) -> str:
    """Why a kernel of so many warps with these in its code may compute wrong numbers, or nothing."""
    if overwrites:
        return f"{overwrites} instructions write registers that products in flight still read (triton#9433)"
    if warps > WARPGROUP and not barrier:
        return "no barrier of all warps between a wait for products and a write to what they read (triton#11047)"
    return ""


def _states(code: Code) -> set[tuple[int, _State]]:
    """Each instruction with each state that it may be met in."""
    seen = {(0, _State())}
    todo = list(seen)
    while todo:
        place, state = todo.pop()
        state = _behind(code.instructions[place], state)
        new = {(place, state) for place in code.after(place)} - seen
        seen |= new
        todo += new
    return seen


def _behind(one: Instruction, state: _State) -> _State:
    """The state after an instruction."""
    groups, unended, waited, copies = state
    if one.reads_a is not None:
        unended |= frozenset(one.reads_a)
        if one.ends_group:
            groups, unended = (*groups, unended), frozenset()
            if len(groups) > MOST_GROUPS:
                groups = (groups[0] | groups[1], *groups[2:])
    elif (left := one.waits_for) is not None:
        groups, waited, copies = groups[max(len(groups) - left, 0) :], True, 0
    elif _for_all_warps(one):
        waited, copies = False, 0
    elif one.name == "LDGDEPBAR" and waited:
        copies += copies < 1
    return _State(groups, unended, waited, copies)


def _for_all_warps(one: Instruction) -> bool:
    """`BAR.SYNC.DEFER_BLOCKING 0x0`: with a number of threads behind it, it is for some of them."""
    return one.name == "BAR" and "SYNC" in one.modifiers and len(one.operands) == 1


def _overwrites(one: Instruction, state: _State) -> bool:
    """Whether it writes what a product in flight reads. A group that is not ended yet is in flight too."""
    written = one.writes
    return bool(written) and any(not group.isdisjoint(written) for group in (*state.groups, state.open))


def _unguarded(one: Instruction, state: _State, from_registers: bool) -> bool:
    """Whether it writes to shared memory that another warpgroup's products may still read.

    With A in registers what is copied first is x, on its way to registers: the products read B, which is copied next.
    """
    if not state.waited or one.name not in SHARED_WRITES:
        return False
    return not (from_registers and one.name == "LDGSTS" and state.copies == 0)


def _wait_depth(code: Code, products: list[int]) -> int | None:
    loops = [loop for loop in code.loops() if not loop.isdisjoint(products)]
    inner = [loop for loop in loops if not any(other < loop for other in loops)]
    places = frozenset().union(*inner) or range(products[0], products[-1])
    return min((left for place in places if (left := code.instructions[place].waits_for) is not None), default=None)
