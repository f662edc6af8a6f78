"""What a configuration of a convolution can compute, what it needs, and what may come out wrong."""

from __future__ import annotations

from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.registers import reads_shared, spills
from kernels.space.tiling import steps


def impossible(layer: Layer, config: Config) -> str | None:
    """Why the kernels cannot compute this layer so, or None. Memory limits are `shared_bytes`'s to say."""
    if config.split_k > sum(steps(layer, config)):
        return f"split_k: {config.split_k} programs, but {sum(steps(layer, config))} steps of depth {config.block_k}"
    if config.impl == "ptr":
        return None
    if layer.prologue:
        return "impl: a bulk copy goes past the registers, where a prologue is computed"
    if layer.dtype == "fp32":
        return "impl: 'tma' is for the tensor cores"
    if layer.columns.flat:
        return f"impl: {layer.c_in} channels are too few for a bulk copy"
    align = 16 // BYTES[layer.dtype]
    for name, value in (("c_in", layer.c_in), ("c_out", layer.c_out), ("c_in2", layer.c_in2)):
        if value % align:
            return f"impl: a bulk copy's strides are multiples of 16 bytes, {name}={value} is not"
    if layer.stride > 2 or (layer.stride == 2 and (layer.h % 2 or layer.w % 2)):
        return "impl: a strided bulk copy sees the image as 2x2 blocks, so the stride is 1, or 2 on even sizes"
    if layer.stride == 2 and layer.c_in % config.block_k:
        return f"block_k: {config.block_k} would run from one pixel's {layer.c_in} channels into the next pixel's"
    if layer.second and (layer.second[0] % layer.second[3] or layer.second[1] % layer.second[3]):
        return "impl: the second operand's stride does not divide its size"
    return None


def unfit(layer: Layer, config: Config, arch: int) -> str | None:
    """Why the kernels cannot compute this layer so, or None. What may come out wrong is no way to compute it either."""
    return impossible(layer, config) or unsafe(layer, config, arch)


def wgmma(layer: Layer, config: Config, arch: int) -> bool:
    """Whether it multiplies by wgmma, which runs on by itself: sm_90's, for 64 rows and more."""
    return arch == 90 and layer.dtype != "fp32" and config.block_m >= 64


def from_registers(layer: Layer, config: Config, arch: int) -> bool:
    """Whether wgmma reads x from registers, in a loop.

    So it is where x is computed (`prologue`), and where a box of more than a row is a reshape, which Triton 3.6 and 3.7
    do not see through. `bench kernels` records what the compiler made of it.
    """
    if not wgmma(layer, config, arch) or max(steps(layer, config)) == 1:
        return False
    return layer.prologue or (config.box is not None and config.box[2] != config.block_m)


def unsafe(layer: Layer, config: Config, arch: int) -> str | None:
    """Why what is compiled of it may compute wrong numbers, as far as that is known without compiling, or None."""
    if from_registers(layer, config, arch) and not config.serial:
        return "serial: products that read x from registers may find the next step's there (triton#9433)"
    return None


def shared_bytes(layer: Layer, config: Config, arch: int) -> int:
    """A block's shared memory, an upper estimate; what was emitted is what counts.

    What multiplies from registers needs one buffer less. A loop of one step has no pipeline, and values loaded one by
    one (`flat`) are copied asynchronously only if they have 4 bytes.
    """
    size = BYTES[layer.dtype]
    a, b = config.block_m * config.block_k * size, config.block_n * config.block_k * size
    tile = config.block_m * config.block_n * size
    looped = max(steps(layer, config)) > 1
    if config.impl == "tma":
        # the output, or partial sums, leaves through shared memory, the residual comes by it; then barriers, alignment
        pipeline = (config.stages if looped else 1) * (a + b) + 1024
        split = 4 * config.block_m * config.block_n
        return pipeline + (split if config.split_k > 1 else 2 * tile if layer.residual else tile)
    buffers = max(config.stages if reads_shared(layer, arch) else config.stages - 1, 1) if looped else 1
    narrow = layer.columns.flat and size < 4
    pipeline = (a if arch < 100 else 2 * a) + buffers * b if narrow else buffers * (a + b)
    prologue = a + 2048 if layer.prologue else 0
    return max(pipeline + prologue, tile + 2048) + 128  # or a tile padded against bank conflicts, on its way out


def doubtful(layer: Layer, config: Config, arch: int) -> bool:
    """Whether nobody should run such a kernel unchecked: it may spill, or the compiler may get it wrong."""
    return spills(layer, config, arch) or may_be_wrong(layer, config, arch)


def may_be_wrong(layer: Layer, config: Config, arch: int) -> bool:
    """Whether what it computes is for the tuner to check.

    Inductor's convolution with this loop gave wrong numbers with 8 warps on windows of more than one pixel, on every
    Triton so far (pytorch#173068, triton#1254; the case there is one of fp32). What could make them wrong with wgmma is
    a barrier that is missing (triton#11047): all defaults have it, and `bench kernels` fails where one does not. Behind
    a first operand of one step that check cannot tell new memory from what the products read. Of other products no
    cause is known, nor whether bulk copies are ready in time.
    """
    if config.impl != "ptr" or config.warps <= 4:
        return config.impl != "ptr"
    if wgmma(layer, config, arch):
        first, second = steps(layer, config)
        return first == 1 < second
    return layer.kernel != (1, 1)
