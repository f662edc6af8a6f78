"""The ways of running a ResNet, as a table, and the one function that prepares any of them.

Imports the standard library alone: the parent process plans from this table without torch. A variant is a row here and
a module beside this file, of the same name with `_` for `-`, whose `prepare` is called, or `prepare_quantized` for 8
bits; or a function from outside, `module:function` (`resnet.variants.outside`).
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

from resnet.archs import Spec
from resnet.cache import check_compile_cache
from resnet.calibration import EIGHT_BITS, NO_PROLOGUE, Calibration
from resnet.code import Unserved, find_code
from resnet.names import canonical_outside, is_outside
from resnet.onnx.libraries import library_folders
from resnet.variants.outside import installed_variants
from resnet.variants.outside import prepare as prepare_outside
from resnet.variants.table import DEVICES, EXCLUDED, LAUNCHES, OUTSIDE, PRECISIONS, RENAMED, VARIANTS, Variant

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnet.runner import Runner

__all__ = [
    "DEVICES",
    "EXCLUDED",
    "LAUNCHES",
    "PRECISIONS",
    "RENAMED",
    "VARIANTS",
    "Variant",
    "canonical_variant",
    "find_variant",
    "missing",
    "not_taken",
    "prepare",
    "refusal",
]


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


def not_taken(variant: Variant, model: str, precision: str, device: str) -> str | None:
    """Return the reason why `variant` does not run the model of a name in a precision, or None where it does."""
    takes, bits = variant.takes_in(precision), f" in {precision}" if precision in EIGHT_BITS else ""
    if not is_outside(model):
        refused = takes == "resnets but v2" and Spec.parse(model).version == "v2"
        return f"{variant.name} runs no pre-activation network (v2){bits}: {NO_PROLOGUE}" if refused else None
    if takes == "any":
        return None
    rows = [row for row in VARIANTS.values() if precision in row.serves.get(device, ())]
    others = ", ".join(row.name for row in rows if row.takes_in(precision) == "any")
    whose = f"any module runs by {others}"
    if bits:
        whose = f"others run{bits} by {others}, where their operations can be checked" if others else ""
    return (
        f"{variant.name} runs this project's ResNets alone{bits} (`resnet50` and the like), whose layers it has by "
        f"name; {whose or f'no variant runs others{bits} on this device'}"
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
    if any(not (folder / name).exists() for name in variant.libraries.get(device, ()) for folder in library_folders()):
        return "this onnxruntime is a CPU build: pip install onnxruntime-gpu"
    return None


def prepare(
    name: str,
    model: nn.Module,
    example: Tensor,
    precision: str,
    launch: str = "stream",
    calibration: Calibration | Tensor | None = None,
) -> Runner:
    """Prepare the variant `name` to run `model` on inputs shaped like `example`.

    `model` is a float32 module in eval mode, which is not changed: one of this project's ResNets, or any that turns
    [N, C, H, W] into logits [N, classes], where the variant takes it. `example` is a float32 batch [N, C, H, W] on the
    device to run on. This process's torch flags are set for the precision (`runner.set_torch_flags`). Call the runner
    under torch.no_grad(). `calibration` is for 8 bits: pictures of the example's size, with choices or without; by
    default the example itself. Their Runner is a `resnet.quant.steps.QuantizedRunner`.

    Raises ValueError for an unknown variant and, as its subclass Unserved, for a combination that the table refuses,
    with its reason, and RuntimeError with the pip line where a package is missing. Code from outside, named
    `module:function`, is run, and raises what it raises.
    """
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

    network = model.spec.name if isinstance(model, ResNet) else ":"
    if reason := not_taken(variant, network, precision, example.device.type):
        raise Unserved(reason if network != ":" else f"{reason}; this is a {type(model).__name__}")
    set_torch_flags(example.device, precision)
    with torch.no_grad():
        chosen = _calibration(model, example, precision, calibration) if precision in EIGHT_BITS else None
        if is_outside(name):
            return prepare_outside(name, model, example, precision, launch, chosen)
        module = importlib.import_module(f"resnet.variants.{variant.module}")
        runner: Runner
        if chosen:
            runner = module.prepare_quantized(model, example, precision, launch, chosen)
        else:
            runner = module.prepare(model, example, precision, launch)
    return runner


def _calibration(model: nn.Module, example: Tensor, precision: str, given: Calibration | Tensor | None) -> Calibration:
    """Return the choices of 8 bits, with names for layers to keep wide. Raises ValueError for other pictures' shape."""
    from resnet.quant.effects import name_wide

    chosen = given if isinstance(given, Calibration) else Calibration(example.cpu() if given is None else given)
    shapes = [list(pictures.shape[1:]) for pictures in (chosen.pictures, example)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"the calibration's pictures are {shapes[0]}, and the example's {shapes[1]}")
    return name_wide(model, chosen, precision, example.device.type)
