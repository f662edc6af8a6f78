"""Records measured again: the words that name their cases and conditions on a command line.

Records have digests in place of a user's paths. So a plan's file, a checkpoint or a folder of pictures may be missing
from the words, or a setting that only a plan can have, and then a sentence that says so stands for the command.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.commands import command_line
from bench.errors import PlanError
from bench.machine.environment import device, gpu
from bench.machine.facts import Environment
from bench.plans.case import MAX, Case
from bench.plans.choose import ADHOC
from bench.plans.eligible import why_not
from bench.plans.plan import AXES, Plan, load_plan, plan_names
from bench.plans.scored import labels_in
from bench.plans.settings import EIGHT_BIT_WORDS, P99_SAMPLES, Settings, changed_settings
from bench.records.record import Record, read_each
from bench.records.same import FREE, GROUP, SweepConditions, differences
from bench.records.store import FILE
from resnet.calibration import EIGHT_BITS
from resnet.data.digits import FORMS

NO_COMMAND = "`"  # the beginning of a sentence that stands for a command
FRESH = "fresh"  # state of the compile caches under --cold alone
# option -> setting, of commands that time, and of those that do not
UNTIMED = {name: name for name in ("threads", *EIGHT_BIT_WORDS)}
TIMED = {"warmup": "warmup_s", "min_time": "latency_s", "samples": "samples", **UNTIMED}


def command_again(words: Sequence[object], record: Record, cases: Sequence[Case], *more: object) -> str:
    """Return the command `words` for some cases in the conditions of `record`, with `more` words behind.

    Where something that it needs is in no record, return a sentence in its place, which names that.
    """
    plan, missing = _plan_of(record)
    going_on = bool({"--resume", "--retry"} & {*more})
    settings, other = _settings(record, plan.settings if plan else Settings(), () if going_on else cases)
    if plan is None and record.settings and not other and not going_on:
        plan, missing = Plan(ADHOC, "", ()), []  # options say all that its file does
    options, without = _conditions(record)
    if record.score.get("labelled") and labels_in(record.case.model, "a folder") and "--data" not in more:
        without.append("the folder of its labelled pictures (--data)")
    if record.cold.get("caches") == FRESH and [*words] == ["run"]:
        options.append("--cold")
    return _command(words, _naming(cases, plan), [*settings, *options, *more], missing + without, other if plan else ())


def command_to_score(record: Record, cases: Sequence[Case], labels: bool, pictures: int = 0) -> str:
    """Return the `bench accuracy` of some cases in the conditions of `record`, on so many pictures (0: the usual).

    With `labels` they are those of DIR, of which a network of digits needs none.
    """
    plan = _plan_of(record)[0] or Plan(ADHOC, "", ())  # settings are in the record, and times of no interest
    options, missing = _conditions(record)
    more = ["--data", "DIR"] if labels and labels_in(record.case.model, "DIR") else []
    more += ["--pictures", str(pictures)] if pictures and not more else []
    options = [*untimed_options(record, plan, cases), *options, *more]
    return _command(["accuracy"], _naming(cases, plan), options, missing)


def command_for_case(command: str, record: Record) -> str:
    """Return the command for the record's case alone, in its conditions, or a sentence as `command_again` does."""
    options, missing = _conditions(record)
    return _command([command], [record.case.name], [*untimed_options(record, None, [record.case]), *options], missing)


def command_at_commits(
    before: str, after: str, case: str, plan: str, seed: int, source: str, weights: str = "synthetic", choices: str = ""
) -> str:
    """Return the command that measures a case of a plan at two commits, in turns; or a sentence, as `command_again`.

    `weights` are where they come from, as in a record's network; `choices` those of the frame's column.
    """
    options, missing = _pictures(seed, source)
    options += [word for choice in filter(None, choices.split(", ")) for word in f"--{choice}".split(" ")]
    missing += _checkpoint(weights)
    known = plan in plan_names() and case in [one.name for one in load_plan(plan).cases]
    return _command(["ab", before, after], [plan, "-f", case] if known else [case], options, missing)


def _command(
    words: Sequence[object],
    naming: Sequence[str],
    rest: Sequence[object],
    missing: Sequence[str],
    settings: Sequence[str] = (),
) -> str:
    needed = [f"{' and '.join(missing)}, which no record has"] if missing else []
    needed += [f"its settings {', '.join(settings)}, which no option gives"] if settings else []
    if not needed:
        return command_line(*words, *naming, *rest)
    behind = shlex.join(map(str, [*naming, *rest]))
    return f"{NO_COMMAND}{command_line(*words)}` with {', '.join(needed)}, and {behind}"


def elsewhere(record: Record, env: Environment) -> str:
    """Return the words that a run like a record's is for its own machine, and why not for this one; else nothing."""
    now = SweepConditions(device(env), env, {}, record.seed, record.input)
    differing = differences([record], now, GROUP)
    reason = f"here is another {', another '.join(differing)}" if differing else why_not(record.case, env)
    return f"On the machine of these records ({reason}): " if reason else ""


def first_record(folder: Path, cases: Collection[str]) -> Record | None:
    """Return the first good record of one of the cases in a results folder; None where there is none."""
    with suppress(OSError):
        for _, record in read_each(folder / FILE):
            if isinstance(record, Record) and record.status == "ok" and record.case.name in cases:
                return record
    return None


def _plan_of(record: Record) -> tuple[Plan | None, list[str]]:
    """Return the record's plan, or what is missing; one without cases has those that axes name."""
    name = record.plan.get("name", "")
    if name == ADHOC:
        return Plan(ADHOC, "", ()), []
    with suppress(PlanError):
        return load_plan(_word(name)), []
    return None, [f"the file of its plan {name}"]


def _word(name: str) -> str:
    """Return the word that names a plan here: a file's is its name in the current folder."""
    return name if name in plan_names() else f"{name}.toml"


def _naming(cases: Sequence[Case], plan: Plan | None) -> list[str]:
    """Return the words that name some cases: a plan, narrowed to them, or axes where the plan has not all of them."""
    names = [word for case in cases for word in ("-f", case.name)]
    if plan is None:
        return names
    if plan.name == ADHOC and len(cases) == 1:
        return [cases[0].name]
    words = [] if plan.name == ADHOC else [_word(plan.name)]
    every = set(plan.cases)
    if not set(cases) <= every:
        combinations = 1
        for axis in AXES:
            values = dict.fromkeys(getattr(case, axis) for case in cases)
            combinations *= len(values)
            words += [
                f"--{axis}",
                ",".join("max" if axis == "batch" and value == MAX else str(value) for value in values),
            ]
        if plan.name == ADHOC and combinations == len(set(cases)):
            return words
        if plan.name == ADHOC:  # all that the axes leave open is what the cases differ in
            segments = [case.name.split("/") for case in cases]
            open_ones = [place for place, values in enumerate(zip(*segments, strict=True)) if len({*values}) > 1]
            first, last = open_ones[0], open_ones[-1] + 1
            return words + [word for parts in segments for word in ("-f", "/".join(parts[first:last]))]
    return words if every == set(cases) else words + names


def _settings(record: Record, planned: Settings, cases: Sequence[Case]) -> tuple[list[str], list[str]]:
    """Return the options that give the record's settings in place of a plan's, and the settings that none gives."""
    measured = _settings_for(record, cases)
    at_p99 = asdict(changed_settings(planned, {"p99": True}))
    p99 = planned.samples < P99_SAMPLES and all(
        measured.get(name) == at_p99[name] for name in ("samples", "flush_batch")
    )
    words: dict[str, Any] = {"p99": True} if p99 else {}
    planned = changed_settings(planned, words)
    words |= _changed(measured, planned, TIMED)
    try:
        given = asdict(changed_settings(planned, words))
    except ValueError:  # no plan may have these
        given, words = asdict(planned), {}
    other = [name for name, value in given.items() if measured.get(name, value) != value and name not in FREE]
    words.pop("p99", None)
    return ["--p99"] * p99 + _as_options(words), other


def _changed(measured: Mapping[str, Any], planned: Settings, options: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the options whose settings were measured with others than planned."""
    usual = {option: getattr(planned, setting) for option, setting in options.items()}
    values = {option: measured.get(setting, usual[option]) for option, setting in options.items()}
    return {option: value for option, value in values.items() if value != usual[option]}


def untimed_options(record: Record, plan: Plan | None = None, cases: Sequence[Case] = ()) -> list[str]:
    """Return the options for the record's threads and choices of 8 bits that a plan (none: usual) lacks."""
    return _as_options(_changed(_settings_for(record, cases), plan.settings if plan else Settings(), UNTIMED))


def _settings_for(record: Record, cases: Sequence[Case]) -> dict[str, Any]:
    """Return the record's settings, without the choices of 8 bits where none of some cases (none: all) is in them."""
    unused = EIGHT_BIT_WORDS if cases and not any(case.precision in EIGHT_BITS for case in cases) else ()
    return {name: value for name, value in record.settings.items() if name not in unused}


def _as_options(values: Mapping[str, Any]) -> list[str]:
    pairs = ((f"--{name.replace('_', '-')}", value) for name, value in values.items())
    return [word for name, value in pairs for word in (name, value if isinstance(value, str) else f"{value:g}")]


def _conditions(record: Record) -> tuple[list[str], list[str]]:
    """Return the options that give the record's network and pictures, and what they lack."""
    options, missing = _pictures(record.seed, record.input.get("source", "photos"))
    missing += _checkpoint(record.network.get("weights", ""))
    if record.device == "cpu" and "name" in gpu():
        options += ["--device", "cpu"]
    given: Mapping[str, Any] = record.network.get("given", {})
    words = [(f"--{key.replace('_', '-')}", str(given[key])) for key in ("num_classes", "in_channels") if key in given]
    return [word for pair in words for word in pair] + options, missing


def _checkpoint(weights: str) -> list[str]:
    return ["its checkpoint (--weights)"] if weights == "file" else []


def _pictures(seed: int, source: str) -> tuple[list[str], list[str]]:
    options = ["--seed", str(seed)] if seed else []
    if source == "noise":
        options += ["--input", "noise"]
    return options, [] if source in ("photos", "noise", *FORMS, "") else ["the folder of its pictures (--input)"]
