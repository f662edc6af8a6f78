"""`bench sensitivity`: the cost of 8 bits by layer, the layers to keep wide, and the calibration that costs least."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Annotated, Any, NoReturn

from typer import BadParameter, Option

from bench.cli.again import again
from bench.cli.asking import BITS, BUILD_OPTIONS, CASE_HELP, EIGHT_BIT_OPTIONS, NAMING, THREADS_OPTION, asks
from bench.cli.console import spinner, write_output
from bench.cli.options import Csv, Data, Input, Json, Markdown, Seed, ToFile
from bench.cli.tables import console_for, print_csv, print_json
from bench.commands import command_line
from bench.errors import FAILED, UNDECIDED, ArgumentError, BenchError, PlanError, WorkError
from bench.files import check_writable
from bench.kinds import SENSITIVITY
from bench.machine.environment import device, devices, environment
from bench.plans.case import Case
from bench.plans.choose import Selection, check_input, choose
from bench.plans.eligible import misnamed
from bench.plans.plan import Plan
from bench.plans.scored import SEARCHED, check_data, labels_in
from bench.report import sensitivity as report
from bench.runs.kernel_jobs import SensitivityJob
from bench.runs.process import ask, request
from bench.stats import pictures_to_tell
from bench.text import plural
from resnet.calibration import EIGHT_BITS, FORMATS
from resnet.variants import find_variant

LIMIT_S = 7200.0
FORMATS_OF = {"uint8": ("cpu", "int8"), "int8": ("cuda", "int8"), "e4m3": ("cuda", "fp8")}  # devices and precisions
OF_DEVICE = "Of activations.  \\[default: as the case's device has them]"
WHERE = {"cpu": "CPU", "cuda": "GPU"}
CALIBRATION = {name: EIGHT_BIT_OPTIONS[name] for name in ("calibrate", "calibration_pictures")}


@asks(NAMING, BUILD_OPTIONS, THREADS_OPTION, CALIBRATION, metavar="MODEL|CASE", text=CASE_HELP)
def sensitivity(
    selection: Selection,
    pictures: Annotated[int, Option("-n", "--pictures", min=2, help="That are judged; others calibrate.")] = 32,
    max_loss: Annotated[
        float | None,
        Option(min=0.01, max=100, metavar="PERCENT", help="The fewest layers to keep wide that surely lose no more."),
    ] = None,
    formats: Annotated[str | None, Option(metavar="|".join(FORMATS), help=OF_DEVICE, rich_help_panel=BITS)] = None,
    methods: Annotated[bool, Option("--methods", help="Compare the ways of calibrating instead.")] = False,
    most: Annotated[
        int | None, Option("--most", min=1, help="Show so many layers.  \\[default: 16; with --max-loss none]")
    ] = None,
    output: Annotated[Path | None, ToFile(help="Write every answer as JSON.")] = None,
    data: Data = "",
    input: Input = "photos",
    seed: Seed = 0,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Rank layers by their cost in 8 bits: each alone in them and alone out, on pictures that calibrated nothing.

    Simulated in float32, as the steps of `--formats` declare it: no 8-bit library is needed. Minutes for a deep model.
    A loss is of answers that are not float32's; with labels, of right ones, less those that 8 bits alone have right.
    """
    if methods and max_loss is not None:
        raise BadParameter("--methods compares calibrations, and --max-loss searches for layers: choose one")
    plan = choose(selection, simulated=True)
    case = _network(plan)
    check_input(input)
    if data:
        check_data(data, [case], plan.build)
    if output is not None:
        check_writable(output, SENSITIVITY)
    word = formats or _formats(case)
    if word not in FORMATS:
        raise ArgumentError(f"--formats {word}: one of {', '.join(FORMATS)}")
    lost = None if max_loss is None else max_loss / 100
    folder = labels_in(case.model, data and str(Path(data).expanduser().absolute()))
    job = SensitivityJob(case, plan.settings, seed, input, word, pictures, methods, lost, folder, plan.build)
    with spinner(case.model) as status:
        answer = request(job, LIMIT_S, lambda stage: status.update(f"{case.model}: {stage}"), ask)
    if answer.status != "ok":
        raise WorkError(f"{case.model}: {answer.status}: {answer.reason}")
    result = _describe(job, answer.data)
    write_output(result, output)
    rows = report.method_rows(result) if methods else report.layer_rows(result)
    if as_json:
        print_json(result | {"rows": rows})
    elif as_csv:
        print_csv(rows)
    else:
        there, precision = FORMATS_OF[word]
        eight = [case.variant for case in plan.cases if case.precision == precision]
        variants = dict.fromkeys(name for name in eight if precision in find_variant(name).serves.get(there, ()))
        _print(as_markdown, result, rows, job, most or (16 if lost is None else 0), ",".join(variants))
    if lost is not None and not result["found"]["met"]:
        _fail(result["found"], lost)


def _network(plan: Plan) -> Case:
    """Return a case of the one network of a plan: its variant and batch do not matter."""
    networks = {(case.model, case.image) for case in plan.cases}
    if len(networks) != 1:
        named = ", ".join(sorted(f"{model} at {image}" for model, image in networks)[:4])
        raise ArgumentError(f"this takes one model at one image size, and {len(networks)} match: {named}")
    eight = [case for case in plan.cases if case.precision in EIGHT_BITS]
    case = (eight or plan.cases)[0]
    if reason := misnamed([case]):
        raise PlanError(reason)
    return case


def _formats(case: Case) -> str:
    """Return the formats of a case's activations: fp8's, or int8's of the device that its variant, or it, runs on."""
    if case.precision == "fp8":
        return "e4m3"
    serves = find_variant(case.variant).serves
    serving = [name for name in serves if "int8" in serves[name]] if case.precision == "int8" else []
    here = device(devices())
    return "int8" if (here if here in serving or not serving else serving[0]) == "cuda" else "uint8"


def _describe(job: SensitivityJob, answer: Any) -> dict[str, Any]:
    """Return the contents of a file: the question, its conditions, and the answer."""
    method, now = "each" if job.methods else job.settings.calibrate, datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"schema": report.SCHEMA, "model": job.case.model, "image": job.case.image, "formats": job.formats}
    facts |= {"calibrate": method, "calibration_pictures": job.settings.calibration_pictures}
    facts |= {"pictures": len(answer["groups"]), "seed": job.seed, "date": now}
    facts |= {name: answer[name] for name in ("weights", "input", "runtime", "layers", "found")}
    return facts | {"environment": environment()} | report.compress(answer)


def _print(
    as_markdown: bool, data: dict[str, Any], rows: list[dict[str, Any]], job: SensitivityJob, most: int, variants: str
) -> None:
    out = console_for(as_markdown)
    how = "" if job.methods else f", calibrated by {data['calibrate']}"
    out.print(f"{data['model']} at {data['image']} pixels, {data['formats']} activations{how}", style="bold")
    others = data["calibration_pictures"]
    out.print(f"{data['pictures']} pictures judged, {others} {plural(others, 'other')} calibrated", markup=False)
    if job.data and not job.build.weights:
        out.print("Its weights are synthetic, so that answers are right by chance: no label counts.", markup=False)
    if job.methods:
        report.print_methods(out, data)
        answer, is_sure = report.describe_methods(data)
        out.print(answer, markup=False)
        if not is_sure:
            out.print(f"More pictures may tell: {again(pictures=4 * job.pictures)}", markup=False, soft_wrap=True)
        out.print(report.METHOD_LEGEND, style="dim", markup=False)
        return
    if most:
        report.print_layers(out, data, rows, most)
    elif not data["found"]["met"]:
        out.print(report.describe_layers(data, rows)[0], markup=False)
    if job.most_lost is not None:
        out.print(report.describe_search(data, job.most_lost), markup=False)
        if data["found"]["met"]:
            there, here = FORMATS_OF[data["formats"]][0], device(devices())
            if there != here:
                own = "|".join(name for name, (where, _) in FORMATS_OF.items() if where == here)
                out.print(
                    f"For a {WHERE[there]}, with {data['formats']} activations; a {WHERE[here]}, as here, has {own}:"
                )
            out.print(_command(data, job, variants), markup=False, soft_wrap=True)


def _command(data: dict[str, Any], job: SensitivityJob, variants: str) -> str:
    """Return the command that runs a model in 8 bits with the layers that a search has, on the same pictures."""
    options: dict[str, object] = {
        "model": data["model"],
        "variant": variants,
        "precision": FORMATS_OF[data["formats"]][1],
    }
    options |= {"image": data["image"], "calibrate": data["calibrate"]}
    options |= {"calibration_pictures": data["calibration_pictures"], "keep_wide": ",".join(data["found"]["wide"])}
    options |= {"threads": job.settings.threads, **vars(job.build), "data": job.data, "seed": job.seed}
    options |= {"input": "" if job.source == "photos" else job.source}
    return command_line(
        "run", *(word for name, value in options.items() if value for word in (f"--{name.replace('_', '-')}", value))
    )


def _fail(search: dict[str, Any], limit: float) -> NoReturn:
    """Raise the BenchError of a search that met no limit: surely, or as far as its pictures can tell."""
    most, pictures = f"{100 * limit:g} %", search["pictures"]
    if search["met"] is False:
        reason = f"no number of layers kept wide loses {most} at most: even {len(search['wide'])} of them lose more"
        cure = "as activations between layers stay in 8 bits; calibrate otherwise (--methods), or take bf16"
        raise BenchError(f"{reason}, {cure}", FAILED)
    both = zip(search["chosen"], search["checked"], strict=True)
    lost, gained = (None if None in ways else sum(ways) / 2 for ways in both)
    needed = pictures_to_tell(lost or 0, gained, pictures, limit)
    would = "nor would 300 times as many: the loss is about that, so ask for another"
    if needed:
        would = f"some {needed:,} might: {again(pictures=ceil(needed / SEARCHED))}"
    raise BenchError(f"{pictures} pictures cannot tell if {most} at most is lost; {would}", UNDECIDED)
