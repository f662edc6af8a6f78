"""A variant from outside: a function `(module, example) -> callable`, and the Runner that it becomes.

    def prepare(module, example):          # on the command line: --variant mymodule:prepare
        return torch.compile(module, mode="max-autotune-no-cudagraphs")

`module` is a copy of the model in eval mode, cast to the case's precision and on its device; `example` is a batch
[N, C, H, W] placed like the timed ones; torch.no_grad() is on. The callable takes such a batch and returns the logits
[N, classes]. For the launch `graph` the suite captures it. Parameters called `precision` and `launch` get these words;
a function that asks for `launch` makes the graph itself. Attributes of the function, all optional:

- `memory_format`: `contiguous` or `channels_last`, of the module and its input; by default that which suits the
  precision, contiguous for fp32, else channels_last;
- `precisions`, `launches`: the words that it serves; others are skipped;
- `needs`: the packages that it imports, as names, or a mapping from them to pip requirements;
- `why`: what it is for, in a sentence.

An object with `place` and `details` is a `Runner` (`resnet.runner`) and stays as it is.

For int8 and fp8 `module` and `example` are float32, and the function has to return a `QuantizedRunner`
(`resnet.quant.steps`): a Runner that declares its `steps` and shows the codes between them, by which alone 8 bits can
be judged. A parameter called `calibration` gets the pictures and the choices (`resnet.calibration.Calibration`).
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import weakref
from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from resnet.calibration import EIGHT_BITS
from resnet.code import Code, CodeError, Unserved, load_code

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnet.calibration import Calibration
    from resnet.runner import Runner

GROUP = "resnet_bench.variants"  # the group of entry points of installed packages
DEFAULT_FUNCTION = "prepare"  # of an entry point that names a module alone
QUANTIZED = ("place", "details", "steps", "checked", "taps")  # the members of a QuantizedRunner


@cache
def installed_variants() -> Mapping[str, str]:
    """Return `module:function` for the name of each variant of an installed package, without loading any."""
    from importlib import metadata

    entries = metadata.entry_points(group=GROUP)
    return {entry.name: f"{entry.module}:{entry.attr or DEFAULT_FUNCTION}" for entry in entries}


def prepare(
    name: str, model: nn.Module, example: Tensor, precision: str, launch: str, calibration: Calibration | None
) -> Runner:
    """Load the function of a name from outside and prepare its variant, as `resnet.variants.prepare` describes.

    Raises Unserved for what its attributes exclude, CodeError for what is no variant, and what the function raises.
    """
    from resnet.runner import DTYPES, FORMATS, TorchRunner, converted, weights_bytes, with_launch

    code = load_code(name)
    memory_format = _memory_format(code, precision, list(FORMATS))
    _check_served(code, precision, launch)
    dtype = DTYPES["fp32" if precision in EIGHT_BITS else precision]
    net = converted(model, example.device, dtype, memory_format)
    placed = example.to(dtype, copy=True, memory_format=FORMATS[memory_format])
    words = _wanted(code, {"precision": precision, "launch": launch, "calibration": calibration})
    result = code.function(net, placed, **code.arguments, **words)
    details = _described(code)
    if precision in EIGHT_BITS and not all(hasattr(result, word) for word in QUANTIZED):
        raise CodeError(
            f"cannot be judged in {precision}: {code.name} returned {_type(result)}, and no QuantizedRunner, which "
            f"shows the codes between its steps (resnet/variants/outside.py says how), says {code.where}"
        )
    if hasattr(result, "place") and hasattr(result, "details"):
        return _as_runner(code, result, details)
    if not callable(result):
        raise CodeError(
            f"{code.where}: {code.name} returned {_type(result)}, and not a callable that takes a batch and returns "
            "the logits, nor a Runner"
        )
    details = {"weights_bytes": weights_bytes(net), **details}
    runner = TorchRunner(result, example, dtype, memory_format, details)
    runner.model = weakref.ref(net)
    if "launch" not in words:
        return with_launch(runner, launch)
    runner.details["graph"] = launch == "graph"
    return runner


def _described(code: Code) -> dict[str, Any]:
    """Return what a record has of the code: its file's name and digest, its version and what it is for, if it says."""
    described = {"code_file": code.file.name, "code": code.digest, "code_version": code.version}
    why = getattr(code.function, "why", "")
    return {key: value for key, value in {**described, "why": str(why)}.items() if value}


def _as_runner(code: Code, result: Any, details: dict[str, Any]) -> Runner:
    if not (callable(result) and callable(result.place) and isinstance(result.details, Mapping)):
        raise CodeError(
            f"{code.where}: the object that {code.name} returned has `place` and `details`; a Runner is called with "
            "what its `place` returned, and its `details` are a mapping"
        )
    try:
        result.details = json.loads(json.dumps({**result.details, **details}))
    except (TypeError, ValueError) as error:
        raise CodeError(f"{code.where}: the `details` of the Runner do not fit into a record: {error}") from None
    except AttributeError:
        raise CodeError(f"{code.where}: the `details` of the Runner cannot be set, and a record adds to them") from None
    runner: Runner = result
    return runner


def _check_served(code: Code, precision: str, launch: str) -> None:
    """Raise Unserved unless the function's attributes have the precision, the launch and the packages."""
    for attribute, word in (("precisions", precision), ("launches", launch)):
        served = getattr(code.function, attribute, None)
        words = [served] if isinstance(served, str) else served
        if words is not None and word not in _words(code, attribute, words):
            raise Unserved(f"{code.name} serves the {attribute} {', '.join(words)} alone, says {code.where}")
    needs = getattr(code.function, "needs", {})
    needs = [needs] if isinstance(needs, str) else needs
    requirements = needs if isinstance(needs, Mapping) else {name: name for name in _words(code, "needs", needs)}
    absent = [text for package, text in requirements.items() if not importlib.util.find_spec(package)]
    if absent:
        raise Unserved("pip install " + " ".join(f"'{requirement}'" for requirement in absent))


def _words(code: Code, attribute: str, words: Any) -> Collection[str]:
    if not isinstance(words, Collection) or not all(isinstance(word, str) for word in words):
        raise CodeError(f"{code.where}: the attribute `{attribute}` is {words!r}, and not a list of words")
    return words


def _memory_format(code: Code, precision: str, formats: list[str]) -> str:
    default = "contiguous" if precision == "fp32" else "channels_last"
    chosen = str(getattr(code.function, "memory_format", default)).removeprefix("torch.").replace("-", "_")
    chosen = chosen.removesuffix("_format")  # torch.contiguous_format
    if chosen not in formats:
        raise CodeError(f"{code.where}: the attribute `memory_format` is {chosen}, which is none of {formats}")
    return chosen


def _wanted(code: Code, words: dict[str, Any]) -> dict[str, Any]:
    """Return those of `words` that the function has parameters for. Raises CodeError for arguments that it has not."""
    try:
        signature = inspect.signature(code.function)
    except (TypeError, ValueError):  # of C code, which has none
        return {}
    wanted = {key: word for key, word in words.items() if key in signature.parameters and key not in code.arguments}
    try:
        signature.bind(None, None, **code.arguments, **wanted)
    except TypeError as error:
        raise CodeError(
            f"{code.where}: {code.name} cannot be called as a variant is, with a module and an example"
            f"{' and ' + ', '.join(code.arguments) if code.arguments else ''}: {error}"
        ) from None
    return wanted


def _type(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
