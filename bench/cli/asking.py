"""The options by which commands take cases, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from typer import Argument, Option

from bench.cli.complete import Complete, complete_model, complete_plan, complete_variant
from bench.cli.options import ExcludeOption, FilterOption
from bench.machine.visible import device_visible
from bench.plans.axes import split_words
from bench.plans.choose import Selection
from bench.plans.plan import AXES
from bench.plans.settings import P99_SAMPLES
from resnet.calibration import METHOD, METHODS, PICTURES
from resnet.names import Build

CASES, MODEL, MEASURING = "Cases", "Model and device", "Measuring, in place of the plan's settings"
BITS = "8 bits, in place of the plan's settings"
PLAN_HELP = (
    "A plan's name or TOML file, a case's name, or some of its segments, as resnet18 or 'resnet50/*/fp16/b8'. Axes "
    "keep a plan's cases that have their values; a value that none of them has takes the place of the others."
)
CASE_HELP = "A case's name, or some of its segments; as resnet18/eager/fp32/b1/i224/stream."
Words = list[str] | None


def _option(kind: Any, panel: str, text: str, *names: str, **more: Any) -> Any:
    """Return the annotation of an option that is None where it is not given."""
    return Annotated[kind | None, Option(*names, help=text, rich_help_panel=panel, **more)]


def _axis(name: str, metavar: str, text: str, complete: Complete | None = None) -> Any:
    return _option(list[str], CASES, text, f"--{name}", metavar=metavar, autocompletion=complete)


# name of a parameter -> its annotation; the default of each is None
AXIS_OPTIONS: dict[str, Any] = {
    "model": _axis("model", "NAME,...", "Models, also timm:NAME, torchvision:NAME, module:function.", complete_model),
    "variant": _axis("variant", "NAME,...", "Ways of running them; '*', the default, is all.", complete_variant),
    "precision": _axis("precision", "fp16,...", "By default fp16 on a GPU and fp32 on a CPU."),
    "batch": _axis("batch", "1,8,max,...", "Images at a time; max: as many as fit."),
    "image": _axis("image", "224,...", "Pixels a side."),
    "launch": _axis("launch", "stream,graph", "With or without a CUDA graph."),
}
FILTER_OPTIONS: dict[str, Any] = {
    "filter": Annotated[Words, FilterOption(rich_help_panel=CASES)],
    "exclude": Annotated[Words, ExcludeOption(rich_help_panel=CASES)],
}
BUILD_OPTIONS: dict[str, Any] = {
    "weights": _option(str, MODEL, "A checkpoint of the model.", metavar="FILE"),
    "num_classes": _option(int, MODEL, "Its classes.", min=1, metavar="N"),
    "in_channels": _option(int, MODEL, "Channels of its pictures.", min=1, metavar="N"),
}
DEVICE_OPTION: dict[str, Any] = {"device": _option(str, MODEL, "Run on this device.", metavar="cpu|cuda:1")}
THREADS_OPTION: dict[str, Any] = {
    "threads": _option(int, MODEL, "Threads of the libraries on the CPU.", min=1, metavar="N")
}
P99_HELP = f"Take the {P99_SAMPLES} latencies that a p99 needs; minutes a case, none with flushed caches."
SETTINGS_OPTIONS: dict[str, Any] = {
    "samples": _option(int, MEASURING, "At least so many samples of a time.", min=1, metavar="N"),
    "warmup": _option(float, MEASURING, "Warm up for so long at least.", min=0, metavar="SECONDS"),
    "min_time": _option(
        float, MEASURING, "Sample each time, and count images a second, for so long at least.", min=0, metavar="SECONDS"
    ),
    "p99": _option(bool, MEASURING, P99_HELP, "--p99"),
}
RANGES_HELP = f"How the ranges of activations are chosen.  \\[default: {METHOD}]"
WIDE_HELP = "Layers that stay out of the 8 bits: layer4.2.conv3; or the N that err most in them."
EIGHT_BIT_OPTIONS: dict[str, Any] = {
    "calibrate": _option(str, BITS, RANGES_HELP, metavar="|".join(METHODS)),
    "calibration_pictures": _option(int, BITS, f"From so many pictures.  \\[default: {PICTURES}]", min=1, metavar="N"),
    "keep_wide": _option(str, BITS, WIDE_HELP, metavar="LAYER,...|N"),
    "min_agreement": _option(
        float, BITS, "Refuse 8 bits whose answers agree less with float32's.", min=0, max=1, metavar="SHARE"
    ),
}
DryRun = Annotated[
    bool, Option("--dry-run", help="Show the cases, what is skipped and why, and about how long they take; no more.")
]
SETTINGS = (*SETTINGS_OPTIONS, *THREADS_OPTION, *EIGHT_BIT_OPTIONS)

NAMING = AXIS_OPTIONS | FILTER_OPTIONS
BUILDING = BUILD_OPTIONS | DEVICE_OPTION | THREADS_OPTION | EIGHT_BIT_OPTIONS
Command = Callable[..., None]


def asks(
    *groups: dict[str, Any], default: str | None = None, metavar: str = "PLAN", text: str = PLAN_HELP
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the shared options of `groups`, behind the argument PLAN.

    They take the place of the command's parameter `selection`, a `Selection` of their words; `default` is the plan
    where none is named. While the command runs, only the device of --device is visible.
    """
    plan = Argument(metavar=metavar, help=text, show_default=False, autocompletion=complete_plan)
    options = {"plan": Annotated[str | None, plan]}
    for group in groups:
        options |= group

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**values: Any) -> None:
            words = {name: values.pop(name) for name in options}
            with device_visible(words.pop("device", None)):
                command(selection=selection_of(words, default), **values)

        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in options.items()
        ]
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            keyword = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            parameters += shared if parameter.name == "selection" else [keyword]
        del run.__wrapped__  # typer would read its signature
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def selection_of(words: dict[str, Any], default: str | None = None) -> Selection:
    """Return the words of options by name, None or empty where an option is not there, as a selection."""
    axes = {axis: split_words(words[axis]) for axis in AXES if words.get(axis)}
    plan = words.get("plan")
    build = {name: words[name] for name in BUILD_OPTIONS if words.get(name)}
    return Selection(
        default if plan is None and not axes else plan,
        axes,
        words.get("filter") or (),
        words.get("exclude") or (),
        Build(**build),
        {name: words[name] for name in SETTINGS if words.get(name) is not None},
    )
