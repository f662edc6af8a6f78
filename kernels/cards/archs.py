"""The limits of each compute capability: shared memory, threads and blocks. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Arch:
    """The limits of a block and of an SM, from the CUDA C++ programming guide, technical specifications.

    `shared`: bytes of shared memory that a block can have; `shared_sm`: bytes of an SM, of which each block takes 1,024
    more than it requests; `threads_sm`, `blocks_sm`: threads and blocks resident on an SM.
    """

    shared: int
    shared_sm: int
    threads_sm: int
    blocks_sm: int

    def resident_blocks(self, warps: int, registers: int, shared: int) -> int:
        """Return how many blocks of `warps` warps, `registers` a thread and `shared` bytes fit an SM at once.

        An SM has 65,536 registers, allocated to warps 256 at a time.
        """
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
