"""The facts of one compiled kernel, read off its machine code: data, without torch or Triton."""

from __future__ import annotations

from dataclasses import dataclass

from kernels.compiled.hazards import hazard_reason


@dataclass(frozen=True)
class KernelFacts:
    """One compiled kernel. Registers are of a thread, shared memory of a block; counts are instructions in the code.

    `stack`: bytes of stack and local memory. `occupancy`: blocks that fit an SM at once. `tensor`: tensor-core
    instructions by name. `async_loads`: cp.async copies. `bulk_loads`, `bulk_stores`: tiles moved by the copy engine.
    `set_registers`: setmaxnreg, which shows warp specialization. `pdl`: waits for and signals to other launches.
    `code`: bytes. `wait_depth`, `operand_a`, `overwrites`, `barrier`: of its wgmma (`kernels.compiled.hazards`).
    `shared_limit`: bytes of shared memory that a block can have. `product`: whether it multiplies matrices, so that it
    could use tensor cores.
    """

    warps: int
    registers: int
    stack: int
    spill_stores: int
    shared: int
    occupancy: int
    tensor: dict[str, int]
    async_loads: int
    bulk_loads: int
    bulk_stores: int
    set_registers: int
    pdl: int
    code: int
    wait_depth: int | None
    operand_a: str
    overwrites: int
    barrier: bool
    shared_limit: int
    product: bool

    @property
    def hazard_reason(self) -> str:
        """The reason why the kernel may compute wrong numbers; empty if its code shows no hazard."""
        return hazard_reason(self.overwrites, self.barrier, self.warps)

    @property
    def spills(self) -> bool:
        """True if registers are spilled to memory."""
        return self.stack > 0 or self.spill_stores > 0

    @property
    def fits(self) -> bool:
        """True if a block can have the shared memory that it needs; if not, compilation succeeds and a launch fails."""
        return self.shared <= self.shared_limit
