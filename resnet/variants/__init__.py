"""The ways of running a ResNet, as a table, and the one function that prepares any of them.

Imports the standard library alone: the parent process plans from this table without torch. A variant is a row here and
a module beside this file, of the same name with `_` for `-`, whose `prepare` is called, or `prepare_quantized` for 8
bits; or a function from outside, `module:function` (`resnet.variants.outside`).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from resnet.cache import check_compile_cache
from resnet.calibration import EIGHT_BITS, Calibration
from resnet.code import Unserved, find_code
from resnet.names import canonical_outside, is_outside
from resnet.onnx.libraries import CUDA_LIBRARY, TENSORRT_LIBRARY, library_folders
from resnet.variants.outside import installed_variants
from resnet.variants.outside import prepare as prepare_outside

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnet.runner import Runner

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "int8")
LAUNCHES = ("stream", "graph")
DEVICES = ("cpu", "cuda")
Runs = Literal["modules", "compiled", "kernels", "session"]
Takes = Literal["any", "resnets"]

_NO_TF32 = "TF32 is a format of NVIDIA's tensor cores; a CPU has none"
_NO_FP16 = "torch runs fp16 convolutions on a CPU about 10 times slower than fp32; no user wants it"
_NO_MIXING = "mixed precision means a 16-bit format beside float32; fp32 alone is what `eager` runs"
_ORT_CPU_BF16 = "ONNX Runtime's CPU provider has no bf16 convolution and refuses the graph"
_ORT_CUDA_BF16 = "ONNX Runtime's CUDA convolution takes bf16 in recent versions alone (1.31), and never channels-last"
_ORT_CUDA_INT8 = "ONNX Runtime's CUDA provider has no convolution in 8 bits (onnxruntime#24807): onnxruntime-trt has"
_ORT_FP8 = "ONNX Runtime has no convolution in fp8"
_TRT_FP32 = "TensorRT builds float32 engines with TF32, and its provider has no option against it: that case is tf32"
_NO_TRT = "TensorRT runs on NVIDIA GPUs alone"
_NO_INDUCTOR_INT8 = (
    "Inductor has no 8-bit convolution for a GPU; those that torchao's PT2E reaches are oneDNN's, a CPU's"
)
_NO_TORCHAO_FP8 = (
    "torchao's fp8 convolution (0.18) is MSLK's, for Blackwell alone, and takes its ranges from each batch anew; "
    "Inductor has none"
)
_NO_OPENVINO = "OpenVINO runs on CPUs and on Intel's GPUs, not on NVIDIA's"
_NO_CUDNN_INT8 = "torch has no call of cuDNN's convolutions in 8 bits; its quantised ones of oneDNN are a CPU's"
_NO_KERNELS = "these kernels are compiled for NVIDIA GPUs; a CPU can only interpret them, which is for tests"
_NO_RIVAL = "torch calls no 8-bit convolution of cuDNN, so there is nothing to choose from: it would be `fused`"
_NO_CHOICE = "there is nothing to choose from: our kernels are compiled for NVIDIA GPUs alone"

# Reasons why no variant runs a precision on a device, unless its row has another.
EXCLUDED: Mapping[tuple[str, str], str] = {
    ("cpu", "tf32"): _NO_TF32,
    ("cpu", "fp16"): _NO_FP16,
}


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
    runs: Runs = "modules"  # of torch; or what torch.compile made of them, this project's kernels, a session
    uncounted: str = ""  # why its launches cannot be counted without a GPU
    takes: Takes = "any"  # module, or only this project's ResNets, whose steps it has by name

    @property
    def module(self) -> str:
        """The name of the variant's module, beside this file."""
        return self.name.replace("-", "_")


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
        excluded={("cuda", "int8"): _NO_INDUCTOR_INT8, ("cuda", "fp8"): _NO_TORCHAO_FP8},
        compiles_long=True,
        runs="compiled",
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

# Old names of variants, which this version still accepts: `mixed` was confused with mixed precision.
RENAMED: Mapping[str, str] = {"mixed": "per-layer"}

# The row of a variant from outside: what it does not serve is known when its code runs, in a child, which says so.
OUTSIDE = Variant(
    name="",
    why="code from outside this project, named on the command line or in a plan",
    serves={"cpu": ("fp32", "fp16", "bf16", *EIGHT_BITS), "cuda": ("fp32", "tf32", "fp16", "bf16", *EIGHT_BITS)},
)


def find_variant(name: str) -> Variant:
    """Return the variant of a name, as a case has it, or from outside. Raises KeyError for an unknown one."""
    return replace(OUTSIDE, name=name) if is_outside(name) else VARIANTS[name]


def canonical_variant(word: str) -> str:
    """Return a variant's name as a case has it: an old name's new one, an installed package's `module:function`.

    A word that names none is returned as it is. Raises ValueError for one with `:` that has not the form.
    """
    if is_outside(word):
        return canonical_outside(word)
    word = RENAMED.get(word, word)
    if word in VARIANTS:
        return word
    name, at, arguments = word.partition("@")
    code = installed_variants().get(name)
    return canonical_outside(code + at + arguments) if code else word


@cache
def warn_renamed(old: str) -> None:
    """Say on stderr, once a process, that the variant `old` has a new name."""
    print(f"the variant {old} is called {RENAMED[old]} now; the next version will not know {old}", file=sys.stderr)


def refusal(variant: Variant, device: str, precision: str, launch: str) -> str | None:
    """Return the reason why this combination does not exist, or None where it does.

    It reads the table alone, not whether this machine has the device, the packages or the compute capability. Raises
    ValueError for an unknown device, precision or launch.
    """
    for word, words in ((device, DEVICES), (precision, PRECISIONS), (launch, LAUNCHES)):
        if word not in words:
            raise ValueError(f"{word!r} is not one of {', '.join(words)}")
    if precision not in variant.serves.get(device, ()):
        reason = variant.excluded.get((device, precision)) or EXCLUDED.get((device, precision))
        return reason or f"{variant.name} has no {precision} form" + (" on a CPU" if device == "cpu" else "")
    return "a CUDA graph needs a CUDA device" if device == "cpu" and launch == "graph" else None


def not_taken(variant: Variant, model: str) -> str | None:
    """Return the reason why `variant` does not run the model of a name, or None where it does."""
    if variant.takes == "any" or not is_outside(model):
        return None
    others = ", ".join(row.name for row in _ROWS if row.takes == "any")
    return (
        f"{variant.name} runs this project's ResNets alone (`resnet50` and the like), whose layers it has by name; "
        f"any module runs by {others}"
    )


def missing(variant: Variant, device: str, precision: str = "") -> str | None:
    """Return the pip line for what `variant` needs on a device (in a precision) and this interpreter lacks, or None.

    Nothing is imported: packages and the libraries of ONNX Runtime's providers are looked for on disk, and so is the
    module of a variant from outside.
    """
    if is_outside(variant.name):
        return find_code(variant.name)
    needs = {**variant.needs, **(variant.quantizes if precision in EIGHT_BITS else {})}
    absent = [requirement for package, requirement in needs.items() if not importlib.util.find_spec(package)]
    if absent:
        return "pip install " + " ".join(f"'{requirement}'" for requirement in absent)
    if any(not (folder / name).exists() for folder in library_folders() for name in variant.libraries.get(device, ())):
        return "this onnxruntime is a CPU build: pip install onnxruntime-gpu"
    return None


def prepare(
    name: str,
    model: nn.Module,
    example: Tensor,
    precision: str,
    launch: str = "stream",
    calibration: Calibration | None = None,
) -> Runner:
    """Prepare the variant `name` to run `model` on inputs shaped like `example`.

    `model` is a float32 module in eval mode, which is not changed: one of this project's ResNets, or any that turns
    [N, C, H, W] into logits [N, classes], where the variant takes it. `example` is a float32 batch [N, C, H, W] on the
    device to run on. This process's torch flags are set for the precision (`runner.set_torch_flags`). Call the runner
    under torch.no_grad(). `calibration` is for 8 bits, which without it are calibrated on `example`; their Runner is a
    `resnet.quant.steps.QuantizedRunner`.

    Raises ValueError for an unknown variant and, as its subclass Unserved, for a combination that the table refuses,
    with its reason, and RuntimeError with the pip line where a package is missing. Code from outside, named
    `module:function`, is run, and raises what it raises.
    """
    if name in RENAMED:
        warn_renamed(name)
    name = canonical_variant(name)
    if not is_outside(name) and name not in VARIANTS:
        raise ValueError(f"unknown variant {name!r}; there are {', '.join([*VARIANTS, *installed_variants()])}")
    variant = find_variant(name)
    reason = refusal(variant, example.device.type, precision, launch)
    if reason:
        raise Unserved(f"{name}/{precision}/{launch} on {example.device.type}: {reason}")
    pip_line = None if is_outside(name) else missing(variant, example.device.type, precision)
    if pip_line:
        raise RuntimeError(f"{name} needs packages that are not installed: {pip_line}")
    if variant.runs != "modules" or is_outside(name):
        check_compile_cache()
    import torch

    from resnet.model import ResNet
    from resnet.runner import set_torch_flags

    if variant.takes == "resnets" and not isinstance(model, ResNet):
        raise Unserved(f"{not_taken(variant, ':')}; this is a {type(model).__name__}")
    set_torch_flags(example.device, precision)
    with torch.no_grad():
        if precision in EIGHT_BITS:
            from resnet.quant.effects import name_wide

            calibration = name_wide(model, calibration or Calibration(example.cpu()), precision, example.device.type)
        if is_outside(name):
            return prepare_outside(name, model, example, precision, launch, calibration)
        module = importlib.import_module(f"resnet.variants.{variant.module}")
        runner: Runner
        if precision in EIGHT_BITS:
            runner = module.prepare_quantized(model, example, precision, launch, calibration)
        else:
            runner = module.prepare(model, example, precision, launch)
    return runner
