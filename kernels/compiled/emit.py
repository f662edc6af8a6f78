"""Compilation of kernels for an architecture, and the facts of their machine code: no GPU needed.

`emit(compilation, arch)` compiles for sm_<arch> and reads the code with the tools in Triton's wheel. A regression of a
kernel often shows here first: spilled registers, missing tensor-core instructions, copies no longer asynchronous.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import asdict
from functools import cache
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels.cards.archs import ARCHS
from kernels.compiled.facts import KernelFacts
from kernels.compiled.hazards import find_hazards
from kernels.compiled.sass import parse_sass
from kernels.launch import Compilation

# Tensor-core instructions by architecture: mma.sync (HMMA, IMMA, QMMA), wgmma (HGMMA, IGMMA, QGMMA), tcgen05 (UTC*MMA).
TENSOR = re.compile(r"(HMMA|IMMA|QMMA|OMMA|HGMMA|IGMMA|QGMMA|UTC[A-Z]*MMA)$")


@cache
def nvidia_tool(name: str) -> str:
    """Return the path of a program in Triton's wheel. Raises FileNotFoundError."""
    path = Path(triton.__path__[0]) / "backends" / "nvidia" / "bin" / name
    if not path.exists():
        raise FileNotFoundError(f"{path}: this Triton has no {name} inside")
    return str(path)


def compile_for(compilation: Compilation, arch: int) -> triton.compiler.CompiledKernel:
    """Compile for sm_<arch> and return Triton's kernel: `asm` has every stage, `metadata` the shared memory."""
    source = ASTSource(
        compilation.kernel, dict(compilation.signature), dict(compilation.constants), dict(compilation.attributes)
    )
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=dict(compilation.options))


def cache_folder(kernel: triton.compiler.CompiledKernel) -> Path:
    """Return a compiled kernel's folder in Triton's cache."""
    return Path(next(path for name, path in kernel.metadata_group.items() if name.endswith(".json"))).parent


def emit(compilation: Compilation, arch: int) -> KernelFacts:
    """Compile a kernel for sm_<arch> and return the facts of its machine code. Raises RuntimeError if a tool fails."""
    kernel = compile_for(compilation, arch)
    cubin = kernel.asm["cubin"]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _tool_output("cuobjdump", "--dump-resource-usage", file.name)
        code = parse_sass(_tool_output("nvdisasm", "-c", file.name))
    resources = {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage)}
    operations = Counter(instruction.name for instruction in code.instructions)
    shared = kernel.metadata.shared
    # warp-specialised kernels have more warps than num_warps
    warps = getattr(kernel.metadata, "total_num_warps", None) or kernel.metadata.num_warps
    return KernelFacts(
        warps=warps,
        registers=resources["REG"],
        stack=resources["STACK"] + resources["LOCAL"],
        spill_stores=operations["STL"],
        shared=shared,
        occupancy=ARCHS[arch].resident_blocks(warps, resources["REG"], shared),
        tensor={name: count for name, count in sorted(operations.items()) if TENSOR.match(name)},
        async_loads=operations["LDGSTS"],
        bulk_loads=operations["UTMALDG"],
        bulk_stores=operations["UTMASTG"],
        set_registers=kernel.asm["ptx"].count("setmaxnreg"),
        pdl=kernel.asm["ptx"].count("griddepcontrol"),
        code=code.size,
        **asdict(find_hazards(code)),
        shared_limit=ARCHS[arch].shared,
        product="tt.dot" in kernel.asm["ttir"],
    )


def _tool_output(name: str, *arguments: str) -> str:
    quiet = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}  # it may print among the answer
    process = subprocess.run([nvidia_tool(name), *arguments], capture_output=True, text=True, check=False, env=quiet)
    if process.returncode:
        raise RuntimeError(f"{name}: {process.stderr.strip()}")
    return process.stdout
