"""The options by which commands take cases, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from typer import Argument, Option

from bench.cli.complete import Complete, complete_model, complete_plan, complete_variant
from bench.cli.console import ExcludeOption, FilterOption
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


def _axis(name: str, metavar: str, text: str, complete: Complete | None = None) -> Any:
    return Option(f"--{name}", metavar=metavar, help=text, rich_help_panel=CASES, autocompletion=complete)


# name of a parameter -> its annotation; the default of each is None
AXIS_OPTIONS: dict[str, Any] = {
    "model": Annotated[
        Words, _axis("model", "NAME,...", "Models, also timm:NAME, torchvision:NAME, module:function.", complete_model)
    ],
    "variant": Annotated[
        Words, _axis("variant", "NAME,...", "Ways of running them; '*', the default, is all.", complete_variant)
    ],
    "precision": Annotated[Words, _axis("precision", "fp16,...", "By default fp16 on a GPU and fp32 on a CPU.")],
    "batch": Annotated[Words, _axis("batch", "1,8,max,...", "Images at a time; max: as many as fit.")],
    "image": Annotated[Words, _axis("image", "224,...", "Pixels a side.")],
    "launch": Annotated[Words, _axis("launch", "stream,graph", "With or without a CUDA graph.")],
}
FILTER_OPTIONS: dict[str, Any] = {
    "filter": Annotated[Words, FilterOption(rich_help_panel=CASES)],
    "exclude": Annotated[Words, ExcludeOption(rich_help_panel=CASES)],
}
BUILD_OPTIONS: dict[str, Any] = {
    "weights": Annotated[str | None, Option(metavar="FILE", help="A checkpoint of the model.", rich_help_panel=MODEL)],
    "num_classes": Annotated[int | None, Option(min=1, metavar="N", help="Its classes.", rich_help_panel=MODEL)],
    "in_channels": Annotated[
        int | None, Option(min=1, metavar="N", help="Channels of its pictures.", rich_help_panel=MODEL)
    ],
}
DEVICE_OPTION: dict[str, Any] = {
    "device": Annotated[str | None, Option(metavar="cpu|cuda:1", help="Run on this device.", rich_help_panel=MODEL)],
}
THREADS_OPTION: dict[str, Any] = {
    "threads": Annotated[
        int | None, Option(min=1, metavar="N", help="Threads of the libraries on the CPU.", rich_help_panel=MODEL)
    ],
}
SETTINGS_OPTIONS: dict[str, Any] = {
    "samples": Annotated[
        int | None, Option(min=1, metavar="N", help="At least so many samples of a time.", rich_help_panel=MEASURING)
    ],
    "warmup": Annotated[
        float | None, Option(min=0, metavar="SECONDS", help="Warm up for so long at least.", rich_help_panel=MEASURING)
    ],
    "min_time": Annotated[
        float | None,
        Option(
            min=0, metavar="SECONDS", rich_help_panel=MEASURING,
            help="Sample each time, and count images a second, for so long at least.",
        ),
    ],
    "p99": Annotated[
        bool | None,
        Option(
            "--p99", rich_help_panel=MEASURING,
            help=f"Take the {P99_SAMPLES} latencies that a p99 needs; minutes a case, none with flushed caches.",
        ),
    ],
}  # fmt: skip
EIGHT_BIT_OPTIONS: dict[str, Any] = {
    "calibrate": Annotated[
        str | None,
        Option(
            metavar="|".join(METHODS), rich_help_panel=BITS,
            help=f"How the ranges of activations are chosen.  \\[default: {METHOD}]",
        ),
    ],
    "calibration_pictures": Annotated[
        int | None,
        Option(min=1, metavar="N", help=f"From so many pictures.  \\[default: {PICTURES}]", rich_help_panel=BITS),
    ],
    "keep_wide": Annotated[
        str | None,
        Option(
            metavar="LAYER,...|N", rich_help_panel=BITS,
            help="Layers that stay out of the 8 bits: layer4.2.conv3; or the N that err most in them.",
        ),
    ],
    "min_agreement": Annotated[
        float | None,
        Option(
            min=0, max=1, metavar="SHARE", rich_help_panel=BITS,
            help="Refuse 8 bits whose answers agree less with float32's.",
        ),
    ],
}  # fmt: skip
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
    options = {
        "plan": Annotated[
            str | None, Argument(metavar=metavar, help=text, show_default=False, autocompletion=complete_plan)
        ]
    }
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
