"""A plan run into a folder, for the commands `bench run` and `bench verify`, and for programs as `bench.run`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands import command_line
from bench.errors import ArgumentError, StoreError
from bench.machine import environment as environments
from bench.machine.visible import device_visible
from bench.paths import new_run_folder
from bench.plans.axes import split_words
from bench.plans.choose import Selection, check_input, check_plan, choose
from bench.plans.plan import Plan
from bench.plans.scored import check_data
from bench.plans.settings import PLAIN, settings_from
from bench.plans.words import as_list
from bench.records.baseline import baseline_of
from bench.records.frame import load
from bench.records.store import Store
from bench.runs.sweep import Sweep
from resnet.data.digits import FORMS
from resnet.names import Build

if TYPE_CHECKING:
    from pandas import DataFrame

Values = str | int | Iterable[str | int]  # of an axis
# Cases at once where the gate alone runs. A CPU's kernels use all cores already; a GPU's process is mostly imports, on
# one core, and the gate's batches are small.
AT_ONCE = {"cpu": 1, "cuda": 4}
DATA_LIMIT_S = 24 * 3600.0  # of a case that is scored on a folder, which may have 50,000 pictures
# more rounds hardly help, as the interval narrows with their square root
ROUNDS_LIMIT = 20


def with_rounds(plan: Plan, rounds: int | None, until: float | None = None, limit: int | None = None) -> Plan:
    """Return the plan with `rounds` rounds, then more until each ratio is within `until` percent, at most `limit`.

    None leaves the plan's number. Raises ArgumentError for arguments that do not go together.
    """
    if limit and not until and not plan.rounds_limit:
        raise ArgumentError("--rounds-limit goes with --until")
    plan = replace(plan, rounds=rounds or plan.rounds, rounds_limit=limit or plan.rounds_limit)
    if until is None:
        return plan
    if not any(baseline_of(case, plan.cases) not in (None, case) for case in plan.cases):
        show = command_line("list", *plan.words)
        raise ArgumentError(f"--until needs a case and its eager baseline; `{show}` shows the cases")
    settings = replace(plan.settings, ratio=until / 100)
    return replace(plan, settings=settings, rounds_limit=plan.rounds_limit or ROUNDS_LIMIT)


def recorded_sweep(folder: Path) -> tuple[Plan, int, str]:
    """Return the plan, seed and source of pictures of the records in a folder: their cases, settings and rounds.

    A checkpoint and a folder of pictures are in no record. Raises StoreError where there is no record.
    """
    records = Store(folder).read()
    if not records:
        raise StoreError(f"{folder} has no record to go on from")
    last = records[-1]
    given = last.network.get("given", {})
    plan = Plan(
        last.plan.get("name", ""),
        f"The cases in {folder}.",
        tuple(dict.fromkeys(record.case for record in records)),
        max(record.round for record in records) + 1,
        settings=settings_from(last.settings),
        build=Build("", given.get("num_classes", 0), given.get("in_channels", 0)),
    )
    kinds = (kind for record in records if (kind := record.input.get("source")) not in (None, *FORMS))
    source = next(kinds, "photos") or "photos"  # in place of which networks of digits read these
    return plan, last.seed, source


def sweep_of(
    plan: Plan,
    folder: str | Path,
    *,
    resume: bool = False,
    retry: bool = False,
    cold: bool = False,
    budget_s: float | None = None,
    jobs: int | None = None,
    source: str = "photos",
    seed: int = 0,
    data: str = "",
) -> Sweep:
    """Return the sweep of a plan into a folder, one fresh process per case and round; it writes nothing until it runs.

    `source` is photos, noise or a folder of pictures; `data` a folder of labelled ones to score cases on. `jobs` cases
    run at once where the plan is not timed; by default AT_ONCE for this machine's device. Raises BenchError where this
    machine can run no case of the plan, PlanError for an invalid source or folder.
    """
    facts = environments.environment()
    check_plan(plan, facts)
    check_input(source)
    if data:
        check_data(data, plan.cases, plan.build, plan.settings.score_pictures)
        data = str(Path(data).expanduser().absolute())
        plan = replace(plan, settings=replace(plan.settings, limit_s=max(plan.settings.limit_s, DATA_LIMIT_S)))
    at_once = 1 if plan.timed else jobs or AT_ONCE[environments.device(facts)]
    options: dict[str, Any] = {"budget_s": budget_s or float("inf"), "jobs": at_once, "data": data}
    return Sweep(plan, Store(folder), facts, seed, source, resume, retry, cold, **options)


def run(
    plan: str | Path | Plan | None = None,
    output: str | Path | None = None,
    *,
    model: Values = (),
    variant: Values = (),
    precision: Values = (),
    batch: Values = (),
    image: Values = (),
    launch: Values = (),
    cases: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    weights: str | Path = "",
    num_classes: int = 0,
    in_channels: int = 0,
    device: str | None = None,
    rounds: int | None = None,
    resume: bool = False,
    source: str = "photos",
    seed: int = 0,
    data: str | Path = "",
    **settings: Any,
) -> DataFrame:
    """Run cases and load their records: a row per case and round, as `bench.load` returns them; failures are rows too.

    `plan` is a curated plan's name, a TOML file's path, a Plan, a case's name, or some of its segments. The axes, from
    `model` to `launch`, make a plan where none is given, else choose among its cases or take the place of its values,
    as on the command line: `bench.run(model="resnet18", variant=["eager", "compile"], batch=[1, 8])`. `cases` and
    `exclude` are globs of whole segments that narrow the cases. `weights`, `num_classes` and `in_channels` are what
    models are built with; `device` is cpu, cuda or cuda:1; `settings` are samples, warmup, min_time, threads, p99, or
    of 8 bits calibrate, calibration_pictures, keep_wide, min_agreement, and score_pictures. `data` is a folder of
    labelled pictures, on which cases are scored.

    `output` is the folder of the records, a new one under results/local where none is given (`frame.attrs["folder"]`
    says which); `rounds` are passes over the cases. With `resume` only what is missing in `output` runs. Raises as
    `sweep_of`, PlanError for an invalid plan, StoreError for a folder that cannot be written or whose records may not
    be joined, ArgumentError for an invalid number or word.
    """
    unknown = settings.keys() - {*PLAIN, "warmup", "min_time", "p99"}
    if unknown:
        raise TypeError(f"run() got an unexpected keyword argument {min(unknown)!r}")
    if not isinstance(seed, int) or seed < 0:
        raise ArgumentError(f"a seed is a whole number from 0 on, not {seed!r}")
    if rounds is not None and (not isinstance(rounds, int) or rounds < 1):
        raise ArgumentError(f"rounds are a whole number from 1 on, not {rounds!r}")
    named = {"model": model, "variant": variant, "precision": precision, "batch": batch, "image": image}
    axes = {axis: split_words(as_list(words)) for axis, words in (named | {"launch": launch}).items()}
    if "keep_wide" in settings:
        settings["keep_wide"] = ",".join(split_words(as_list(settings["keep_wide"])))
    build = Build(str(weights), num_classes, in_channels)
    axes = {axis: words for axis, words in axes.items() if words}
    selection = Selection(plan, axes, as_list(cases), as_list(exclude), build, settings)
    with device_visible(device):
        chosen = with_rounds(choose(selection), rounds)
        folder = Path(output) if output is not None else new_run_folder(chosen.name)
        for _ in sweep_of(chosen, folder, resume=resume, source=source, seed=seed, data=str(data)).run():
            pass
    frame = load(folder)
    frame.attrs["folder"] = str(folder)
    return frame
