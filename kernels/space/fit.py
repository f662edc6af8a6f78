"""The limits of a convolution's configurations: what each can compute, the memory it needs, and its hazards."""

from __future__ import annotations

from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.registers import multiplies_from_shared
from kernels.space.tiling import depth_steps

# Architectures whose mma.sync keeps 14 bits of sums of e4m3 (sm_89: thu-ml/SageAttention#287), or may (sm_120). That
# of sm_90 does too, for which Triton has an option; tcgen05 keeps 25 bits (deepseek-ai/DeepGEMM#176).
SHORT_SUMS = (89, 120)


def incompatibility_reason(layer: Layer, config: Config) -> str | None:
    """Say why the kernels cannot compute this layer with this configuration, or return None; memory is not checked."""
    if config.split_k > sum(depth_steps(layer, config)):
        return (
            f"split_k: {config.split_k} programs, but {sum(depth_steps(layer, config))} steps of depth {config.block_k}"
        )
    if BYTES[layer.dtype] == 1 and (config.block_k < 32 or layer.prologue):
        return "block_k, prologue: products of 8-bit codes are 32 deep at least, and read them as they are stored"
    if config.impl == "ptr":
        return None
    if layer.prologue or layer.reads:
        return "impl: a bulk copy goes past the registers, where a prologue is computed or codes are converted"
    if layer.dtype == "fp32":
        return "impl: 'tma' is for the tensor cores"
    if layer.columns.flat:
        return f"impl: {layer.c_in} channels are too few for a bulk copy"
    align = 16 // BYTES[layer.dtype]
    for name, value in (("c_in", layer.c_in), ("c_out", layer.c_out), ("c_in2", layer.c_in2)):
        if value % align:
            return f"impl: a bulk copy's strides are multiples of 16 bytes, {name}={value} is not"
    if layer.stride > 2 or (layer.stride == 2 and (layer.h % 2 or layer.w % 2)):
        return "impl: a strided bulk copy reads the image as 2x2 blocks, so the stride is 1, or 2 on even sizes"
    if layer.stride == 2 and layer.c_in % config.block_k:
        return f"block_k: {config.block_k} would run from one pixel's {layer.c_in} channels into the next pixel's"
    if layer.second and (layer.second[0] % layer.second[3] or layer.second[1] % layer.second[3]):
        return "impl: the second operand's stride does not divide its size"
    return None


def rejection_reason(layer: Layer, config: Config, arch: int) -> str | None:
    """Say why this layer may not be computed with this configuration, or return None: impossible, or unsafe."""
    return incompatibility_reason(layer, config) or hazard_reason(layer, config, arch)


def uses_wgmma(layer: Layer, config: Config, arch: int) -> bool:
    """Tell whether a kernel multiplies by wgmma, sm_90's asynchronous instruction for 64 rows and more."""
    return arch == 90 and layer.dtype != "fp32" and config.block_m >= 64


def wgmma_reads_registers(layer: Layer, config: Config, arch: int) -> bool:
    """Tell whether several wgmma, one after the other, read x from registers.

    It does where x is computed (`prologue`, or codes that a wider product `reads`), and for a box of several rows,
    whose reshape Triton 3.6 and 3.7 put through registers. `bench kernels` records what the compiler emitted.
    """
    if not uses_wgmma(layer, config, arch) or sum(depth_steps(layer, config)) == 1:
        return False
    return layer.prologue or bool(layer.reads) or (config.box is not None and config.box[2] != config.block_m)


def needs_serial(layer: Layer, config: Config, arch: int) -> bool:
    """Tell whether each step must end its products, for their registers or for short sums (`tile.add_product`)."""
    return wgmma_reads_registers(layer, config, arch) or (layer.dtype == "fp8" and arch in SHORT_SUMS)


def hazard_reason(layer: Layer, config: Config, arch: int) -> str | None:
    """Say why a compiled kernel may compute wrong numbers, as far as the configuration shows, or return None."""
    if config.serial or not needs_serial(layer, config, arch):
        return None
    if layer.dtype == "fp8" and arch in SHORT_SUMS:
        return "serial: the tensor cores keep 14 bits of sums of e4m3, which each step must add to float32"
    return "serial: products that read x from registers may find the next step's there (triton#9433)"


def shared_bytes(layer: Layer, config: Config, arch: int) -> int:
    """Return an upper estimate of a block's shared memory; the compiler's number is decisive.

    Kernels that multiply from registers need one buffer less. A loop of one step has no pipeline, and values loaded one
    by one (`flat`) are copied asynchronously only if they have 4 bytes.
    """
    size = BYTES[layer.dtype]
    a, b = config.block_m * config.block_k * size, config.block_n * config.block_k * size
    tile = config.block_m * config.block_n * max(size, BYTES[layer.out_dtype])
    loops = max(depth_steps(layer, config)) > 1
    if config.impl == "tma":
        # beside the pipeline: the output or partial sums, the residual, barriers, alignment
        pipeline = (config.stages if loops else 1) * (a + b) + 1024
        partial_sums = 4 * config.block_m * config.block_n
        return pipeline + (partial_sums if config.split_k > 1 else 2 * tile if layer.residual else tile)
    buffers = max(config.stages if multiplies_from_shared(layer, arch) else config.stages - 1, 1) if loops else 1
    narrow = layer.columns.flat and size < 4
    pipeline = (a if arch < 100 else 2 * a) + buffers * b if narrow else buffers * (a + b)
    prologue = a + 2048 if layer.prologue else 0
    return max(pipeline + prologue, tile + 2048) + 128  # the epilogue's tile is padded against bank conflicts


def may_be_wrong(layer: Layer, config: Config, arch: int) -> bool:
    """Tell whether a kernel's numbers must be checked by the tuner.

    Inductor's convolution with this loop gave wrong numbers with 8 warps on windows of more than one pixel, on every
    Triton so far (pytorch#173068, triton#1254; the case there is in fp32). With wgmma a missing barrier is a possible
    cause (triton#11047): all defaults have the barrier, and `bench kernels` fails if one has not. After a first operand
    of one step that check cannot distinguish new memory from what the products read. For other products no cause is
    established, nor whether bulk copies complete in time.
    """
    if config.impl != "ptr" or config.warps <= 4:
        return config.impl != "ptr"
    if uses_wgmma(layer, config, arch):
        first, second = depth_steps(layer, config)
        return first == 1 < second
    return layer.kernel != (1, 1)
