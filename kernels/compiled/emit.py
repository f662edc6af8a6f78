"""What the compiler makes of a kernel, read off its machine code: no GPU needed.

`emit(compilation, arch)` compiles for sm_<arch> and counts with the tools that come inside Triton's wheel. A regression
of a kernel often shows here first: spilled registers, tensor-core instructions gone, copies no longer asynchronous.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.cards.archs import ARCHS
from kernels.compiled.hazards import hazards, unsafe
from kernels.compiled.sass import parse
from kernels.launch import Compilation

# Tensor-core instructions by architecture: mma.sync (HMMA, IMMA, QMMA), wgmma (HGMMA, IGMMA, QGMMA), tcgen05 (UTC*MMA).
TENSOR = re.compile(r"(HMMA|IMMA|QMMA|OMMA|HGMMA|IGMMA|QGMMA|UTC[A-Z]*MMA)$")
BULK_LOADS = ("UTMALDG",)
BULK_STORES = ("UTMASTG",)


@dataclass(frozen=True)
class Emitted:
    """One compiled kernel. Registers are a thread's, shared memory a block's; counts are instructions in the code.

    `stack`: bytes of it and of local memory. `occupancy`: blocks that fit an SM at once. `tensor`: tensor-core
    instructions by name. `async_loads`: cp.async copies. `bulk_loads`, `bulk_stores`: tiles moved by the copy engine.
    `set_registers`: setmaxnreg, the sign of warp specialization. `pdl`: waits for and signals to other launches.
    `wait_depth`, `operand_a`, `overwrites`, `barrier`: what `kernels.compiled.hazards` says of its wgmma.
    """

    arch: int
    name: str
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

    @property
    def unsafe(self) -> str:
        """Why it may compute wrong numbers, read off its code, or nothing."""
        return unsafe(self.overwrites, self.barrier, self.warps)

    @property
    def spills(self) -> bool:
        return self.stack > 0 or self.spill_stores > 0

    @property
    def fits(self) -> bool:
        """Whether a block's shared memory is within the architecture's limit: launching tells, compiling does not."""
        return self.shared <= ARCHS[self.arch].shared


@cache
def tool(name: str) -> str:
    """A program from Triton's wheel."""
    path = Path(triton.__path__[0]) / "backends" / "nvidia" / "bin" / name
    if not path.exists():
        raise FileNotFoundError(f"{path}: this Triton has no {name} inside")
    return str(path)


def compiled(compilation: Compilation, arch: int) -> triton.compiler.CompiledKernel:
    """Triton's own result: `asm` has every stage, `metadata` the shared memory."""
    source = ASTSource(
        compilation.kernel, dict(compilation.signature), dict(compilation.constants), dict(compilation.attributes)
    )
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=dict(compilation.options))


def folder(kernel: triton.compiler.CompiledKernel) -> Path:
    """Where Triton keeps a compiled kernel: named by all that it is made of."""
    return Path(next(path for name, path in kernel.metadata_group.items() if name.endswith(".json"))).parent


def emit(compilation: Compilation, arch: int) -> Emitted:
    kernel = compiled(compilation, arch)
    cubin = kernel.asm["cubin"]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _run("cuobjdump", "--dump-resource-usage", file.name)
        code = parse(_run("nvdisasm", "-c", file.name))
    found = {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    operations = Counter(instruction.name for instruction in code.instructions)
    warps, shared = kernel.metadata.num_warps, kernel.metadata.shared
    # warp-specialised kernels have more warps than were asked for
    warps = getattr(kernel.metadata, "total_num_warps", None) or warps
    return Emitted(
        arch=arch,
        name=kernel.metadata.name,
        warps=warps,
        registers=found["REG"],
        stack=found["STACK"] + found["LOCAL"],
        spill_stores=operations["STL"],
        shared=shared,
        occupancy=ARCHS[arch].resident_blocks(warps, found["REG"], shared),
        tensor={name: count for name, count in sorted(operations.items()) if TENSOR.match(name)},
        async_loads=operations["LDGSTS"],
        bulk_loads=sum(operations[name] for name in BULK_LOADS),
        bulk_stores=sum(operations[name] for name in BULK_STORES),
        set_registers=kernel.asm["ptx"].count("setmaxnreg"),
        pdl=kernel.asm["ptx"].count("griddepcontrol"),
        code=code.size,
        **asdict(hazards(code)),
    )


def _run(name: str, *arguments: str) -> str:
    done = subprocess.run([tool(name), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip()}")
    return done.stdout
