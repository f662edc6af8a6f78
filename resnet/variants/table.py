"""The ways of running a ResNet as data: a row each, with the precisions that it serves, and the reasons why not.

Imports the standard library alone: the parent process plans from this table without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from resnet.calibration import EIGHT_BITS
from resnet.onnx.libraries import CUDA_LIBRARY, TENSORRT_LIBRARY

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "int8")
LAUNCHES = ("stream", "graph")
DEVICES = ("cpu", "cuda")
Runs = Literal["modules", "compiled", "package", "kernels", "session"]
Takes = Literal["any", "resnets", "resnets but v2"]

_NO_TF32 = "TF32 is a format of NVIDIA's tensor cores; a CPU has none"
_NO_FP16 = "torch runs fp16 convolutions on a CPU about 10 times slower than fp32; no user wants it"
_NO_MIXING = "mixed precision means a 16-bit format beside float32; fp32 alone is what `eager` runs"
_ORT_CPU_BF16 = "ONNX Runtime's CPU provider has no bf16 convolution and refuses the graph"
_ORT_CUDA_BF16 = "ONNX Runtime's CUDA convolution takes bf16 in recent versions alone (1.31), and never channels-last"
_ORT_CUDA_INT8 = "ONNX Runtime's CUDA provider has no convolution in 8 bits (onnxruntime#24807): onnxruntime-trt has"
_ORT_FP8 = "ONNX Runtime has no convolution in fp8"
_TRT_FP32 = "TensorRT builds float32 engines with TF32, and its provider has no option against it: that case is tf32"
_NO_TRT = "TensorRT runs on NVIDIA GPUs alone"
_NO_GPU_INT8 = "Inductor has no 8-bit convolution for a GPU; those that torchao's PT2E reaches are oneDNN's, a CPU's"
_NO_TORCHAO_FP8 = (
    "torchao's fp8 convolution (0.18) is MSLK's, for Blackwell alone, and takes its ranges from each batch anew; "
    "Inductor has none"
)
_NO_TAPS = "a package shows no codes between its steps, by which alone 8 bits can be judged: that is compile-max's"
NO_VNNI = "this CPU has no AVX512-VNNI: oneDNN's products of 8 bits would overflow in 16, or be emulated"
_NO_OPENVINO = "OpenVINO runs on CPUs and on Intel's GPUs, not on NVIDIA's"
_NO_CUDNN_INT8 = "torch has no call of cuDNN's convolutions in 8 bits; its quantised ones of oneDNN are a CPU's"
_NO_KERNELS = "these kernels are compiled for NVIDIA GPUs; a CPU can only interpret them, which is for tests"
_NO_RIVAL = "torch calls no 8-bit convolution of cuDNN, so there is nothing to choose from: it would be `fused`"
_NO_CHOICE = "there is nothing to choose from: our kernels are compiled for NVIDIA GPUs alone"

# Reasons why no variant runs a precision on a device, unless its row has another.
EXCLUDED: Mapping[tuple[str, str], str] = {("cpu", "tf32"): _NO_TF32, ("cpu", "fp16"): _NO_FP16}


@dataclass(frozen=True)
class Variant:
    """One way of running the model."""

    name: str
    why: str
    serves: Mapping[str, tuple[str, ...]]  # precisions by device
    needs: Mapping[str, str] = field(default_factory=dict)  # packages beside torch, with their pip requirements
    quantizes: Mapping[str, str] = field(default_factory=dict)  # packages that 8 bits need besides
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of an ONNX Runtime for GPUs, by device
    excluded: Mapping[tuple[str, str], str] = field(default_factory=dict)  # reasons by (device, precision)
    compiles_long: bool = False  # its first call may come minutes after its start
    runs: Runs = "modules"  # of torch; or what torch.compile makes of them, a file of that, our kernels, a session
    uncounted: str = ""  # why its launches cannot be counted without a GPU
    takes: Takes = "any"  # module, or only this project's ResNets, whose steps it has by name
    takes_coded: Takes | None = None  # in 8 bits, where it takes fewer
    keeps_wide: tuple[str, ...] = ()  # layers that it keeps out of the 8 bits by rule

    @property
    def module(self) -> str:
        """The name of the variant's module, beside this file."""
        return self.name.replace("-", "_")

    def takes_in(self, precision: str) -> Takes:
        """Return which modules it takes in a precision."""
        return (precision in EIGHT_BITS and self.takes_coded) or self.takes


_TORCH = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "fp16", "bf16")}
_TRITON = {"triton": "triton>=3.6"}  # which a CUDA build of torch installs
_ONNX = {"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime-gpu"}

_ROWS = (
    Variant(
        name="eager",
        why="plain PyTorch with the weights cast to the precision: the baseline of all others",
        serves=_TORCH,
    ),
    Variant(
        name="channels-last-amp",
        why="float32 weights under torch.autocast in channels-last memory: the two lines most users would add",
        serves={"cpu": ("bf16",), "cuda": ("fp16", "bf16")},
        excluded={(device, precision): _NO_MIXING for device in DEVICES for precision in ("fp32", "tf32")}
        | {("cpu", "tf32"): _NO_TF32},
    ),
    Variant(
        name="compile",
        why="torch.compile as it comes: what one line buys",
        serves=_TORCH,
        compiles_long=True,
        runs="compiled",
    ),
    Variant(
        name="compile-max",
        why="the most that torch.compile can do: frozen weights, channels-last, autotuned kernels",
        serves={**_TORCH, "cpu": (*_TORCH["cpu"], "int8")},
        quantizes={"torchao": "torchao"},
        excluded={("cuda", "int8"): _NO_GPU_INT8, ("cuda", "fp8"): _NO_TORCHAO_FP8},
        compiles_long=True,
        runs="compiled",
        takes_coded="resnets",
    ),
    Variant(
        name="compile-aot",
        why="compile-max's code, compiled once and loaded from a file (AOTInductor): what a server loads",
        serves=_TORCH,
        excluded={("cpu", "int8"): _NO_TAPS, ("cuda", "int8"): _NO_GPU_INT8, ("cuda", "fp8"): _NO_TORCHAO_FP8},
        compiles_long=True,
        runs="package",
        uncounted="its package is compiled code, which nobody reads; it launches what compile-max does: count that",
    ),
    Variant(
        name="library-fused",
        why="batch norm folded, the vendor library's fused convolutions: the fair competitor of this project's kernels",
        serves={**_TORCH, "cpu": (*_TORCH["cpu"], "int8")},
        excluded={("cuda", "int8"): _NO_CUDNN_INT8},
        takes="resnets",
    ),
    Variant(
        name="fused",
        why="this project's Triton kernels for every layer: one kernel a convolution, the layers around it fused in",
        serves={"cuda": (*_TORCH["cuda"], *EIGHT_BITS)},
        needs=_TRITON,
        excluded={("cpu", precision): _NO_KERNELS for precision in PRECISIONS},
        runs="kernels",
        takes="resnets",
        takes_coded="resnets but v2",
        keeps_wide=("conv1", "fc"),
    ),
    Variant(
        name="per-layer",
        why="layer by layer the faster of this project's kernels and the vendor library's, as measured on this GPU",
        serves={"cuda": _TORCH["cuda"]},
        needs=_TRITON,
        excluded={("cpu", precision): _NO_CHOICE for precision in PRECISIONS}
        | {("cuda", precision): _NO_RIVAL for precision in EIGHT_BITS},
        runs="kernels",
        takes="resnets",
        uncounted="chooses its kernels by timing them on the GPU",
    ),
    Variant(
        name="onnxruntime",
        why="ONNX Runtime on its CUDA provider, on a CPU on its CPU provider: the usual way out of PyTorch",
        serves={"cpu": ("fp32", "fp16", "int8"), "cuda": ("fp32", "tf32", "fp16")},
        needs=_ONNX,
        libraries={"cuda": (CUDA_LIBRARY,)},
        excluded={
            ("cpu", "bf16"): _ORT_CPU_BF16,
            ("cuda", "bf16"): _ORT_CUDA_BF16,
            ("cuda", "int8"): _ORT_CUDA_INT8,
            **{(device, "fp8"): _ORT_FP8 for device in DEVICES},
        },
        runs="session",
    ),
    Variant(
        name="openvino",
        why="OpenVINO, Intel's runtime for its CPUs and any other x86: what many who serve on CPUs use",
        serves={"cpu": ("fp32", "bf16", "int8")},
        needs={"onnx": "onnx", "onnxscript": "onnxscript", "openvino": "openvino"},
        quantizes={"onnxruntime": "onnxruntime-gpu"},
        excluded={("cuda", precision): _NO_OPENVINO for precision in PRECISIONS},
        runs="session",
    ),
    Variant(
        name="onnxruntime-trt",
        why="ONNX Runtime on TensorRT: the deepest fusion to be had without writing a kernel",
        serves={"cuda": ("tf32", "fp16", "bf16", "int8")},
        # onnxruntime-gpu links libnvinfer.so.10; TensorRT 11 ships libnvinfer.so.11
        needs={**_ONNX, "tensorrt": "tensorrt-cu13<11"},
        compiles_long=True,
        libraries={"cuda": (CUDA_LIBRARY, TENSORRT_LIBRARY)},
        excluded={("cuda", "fp32"): _TRT_FP32} | {("cpu", precision): _NO_TRT for precision in PRECISIONS},
        runs="session",
        uncounted="TensorRT builds its engine on the GPU",
    ),
)

VARIANTS: Mapping[str, Variant] = {row.name: row for row in _ROWS}

# Names of variants in old records and commits: `mixed` was confused with mixed precision.
RENAMED: Mapping[str, str] = {"mixed": "per-layer"}

# The row of a variant from outside: its code says what it does not serve, when a child runs it.
OUTSIDE = Variant(
    name="",
    why="code from outside this project, named on the command line or in a plan",
    serves={"cpu": ("fp32", "fp16", "bf16", *EIGHT_BITS), "cuda": ("fp32", "tf32", "fp16", "bf16", *EIGHT_BITS)},
)
