"""What a compute capability gives a kernel: shared memory, threads and blocks. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Arch:
    """What a compute capability gives a block and an SM (CUDA C++ programming guide, technical specifications).

    `shared`: the most bytes of a block; `shared_sm`: of an SM, of which each block takes 1024 more than it asks for.
    """

    shared: int
    shared_sm: int
    threads_sm: int
    blocks_sm: int

    def blocks(self, warps: int, registers: int, shared: int) -> int:
        """Blocks of one kernel on an SM at once. Registers are given out 256 at a time to each warp, 65,536 in all."""
        per_warp = 256 * ceil(32 * max(registers, 1) / 256)
        by_registers = 65536 // (warps * per_warp)
        by_shared = self.shared_sm // (shared + 1024)
        return min(by_registers, by_shared, self.threads_sm // (32 * warps), self.blocks_sm)


ARCHS = {
    80: Arch(166_912, 167_936, 2048, 32),
    86: Arch(101_376, 102_400, 1536, 16),
    89: Arch(101_376, 102_400, 1536, 24),
    90: Arch(232_448, 233_472, 2048, 32),
    100: Arch(232_448, 233_472, 2048, 32),
    103: Arch(232_448, 233_472, 2048, 32),
    120: Arch(101_376, 102_400, 1536, 24),
}
