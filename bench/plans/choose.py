"""The cases that a command is to run, and the reasons why it cannot run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.commands import command_line
from bench.errors import UNABLE, ArgumentError, BenchError, PlanError
from bench.machine import environment as environments
from bench.machine.facts import Environment
from bench.plans.axes import Words, cases_of, nearest_word, parse_run, unfit_segment, with_axes
from bench.plans.case import FORM, Case
from bench.plans.eligible import misnamed, why_none, why_not
from bench.plans.network import checkpoint_from
from bench.plans.plan import Plan, load_plan, plan_names
from bench.plans.settings import EIGHT_BIT_WORDS, Settings, changed_settings
from bench.plans.words import narrow
from bench.text import did_you_mean
from resnet.calibration import EIGHT_BITS, parse_wide
from resnet.cost import operations
from resnet.data.picture_files import judge_files
from resnet.names import Build, is_outside
from resnet.variants import find_variant

ADHOC = "adhoc"  # the name of a plan that is no file


@dataclass(frozen=True)
class Selection:
    """The cases that a user asks for, in the user's words, and how they are built and measured.

    `plan` is a plan, its name or its file, a case's name, or a run of whole segments of one, with globs; None leaves
    the cases to `axes`, the words of some axes. `only` and `exclude` are globs that narrow the cases. `settings` are
    fields of `Settings` in place of the plan's, and a field of `build` that is not empty in place of the plan's.
    """

    plan: str | Path | Plan | None = None
    axes: Words = field(default_factory=dict)
    only: Sequence[str] = ()
    exclude: Sequence[str] = ()
    build: Build = field(default_factory=Build)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def narrows(self) -> bool:
        """True where words beside the plan choose among its cases."""
        return bool(self.axes or self.only or self.exclude)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of a command line that name these cases."""
        plan = self.plan.words or (self.plan.name,) if isinstance(self.plan, Plan) else (self.plan,)
        axes = [word for axis, values in self.axes.items() for word in (f"--{axis}", ",".join(map(str, values)))]
        globs = [word for glob in self.only for word in ("-f", glob)]
        globs += [word for glob in self.exclude for word in ("--exclude", glob)]
        return tuple(str(word) for word in (*plan, *axes, *globs) if word is not None)

    @property
    def given(self) -> bool:
        """True where any case is named."""
        return self.plan is not None or bool(self.axes)


def choose(selection: Selection, device: str = "", simulated: bool = False) -> Plan:
    """Return the plan of the cases selected. Raises BenchError where the words name none.

    A precision that no word names is that of `device`, by default this machine's. Choices of 8 bits are refused where
    no case is in them, unless they are `simulated`.
    """
    plan = _adhoc(selection.axes, device) if selection.plan is None else _named(selection.plan, selection.axes, device)
    words = [f"--{name.replace('_', '-')}" for name in EIGHT_BIT_WORDS if selection.settings.get(name)]
    if words and not simulated and not any(case.precision in EIGHT_BITS for case in plan.cases):
        raise ArgumentError(f"{' and '.join(words)}: of 8 bits, which no case is in; --precision int8 is, say")
    names = narrow((case.name for case in plan.cases), selection.only, selection.exclude, plan.name)
    by_name = {case.name: case for case in plan.cases}
    plan = replace(plan, cases=tuple(by_name[name] for name in names))
    settings, build = _settings(plan.settings, selection.settings), resolve_build(selection.build, plan.build)
    check_wide(parse_wide(settings.keep_wide), plan.cases)
    return replace(plan, settings=settings, build=build, words=selection.words)


def choose_case(selection: Selection) -> tuple[Case, Plan]:
    """Return the one case selected, and the plan that has it alone. Raises ArgumentError for several."""
    if not selection.given:
        raise ArgumentError(f"name a case: {FORM}")
    plan = choose(selection)
    if len(plan.cases) > 1:
        shown = "".join(f"\n  {case.name}" for case in plan.cases[:8])
        more = f"\n  and {len(plan.cases) - 8} more" if len(plan.cases) > 8 else ""
        raise ArgumentError(f"this takes one case, and {len(plan.cases)} match; name one:{shown}{more}")
    return plan.cases[0], plan


def case_beside(case: Case, word: str) -> Case:
    """Return the case of a name, or `case` with what a run of segments says in its place: `library-fused`.

    Raises ArgumentError for what names no one case.
    """
    run = parse_run(word)
    if run is None:
        raise ArgumentError(f"{word!r} is neither a case, {FORM}, nor some segments of one")
    (beside, *others) = with_axes([case], run)
    if others:
        raise ArgumentError(f"{word} names {len(others) + 1} cases; name one")
    return beside


def _named(plan: str | Path | Plan, axes: Words, device: str) -> Plan:
    if isinstance(plan, Plan):
        return _with_axes(plan, axes)
    word = str(plan)
    if word in plan_names() or word.endswith(".toml") or Path(word).is_file():
        return _with_axes(load_plan(word), axes)
    if (run := parse_run(word)) is not None:
        return _adhoc({**run, **axes}, device)
    if reason := unfit_segment(word):
        raise PlanError(f"{word!r} names no case{reason}; a case is {FORM}")
    raise PlanError(
        f"no plan {word!r}{nearest_word(word, plan_names())}: a plan is one of {', '.join(plan_names())}, "
        f"or a TOML file's path; cases are named by {FORM}, or by some of its segments, with * and ?"
    )


def _with_axes(plan: Plan, axes: Words) -> Plan:
    if not axes:
        return plan
    origins = with_axes(plan.cases, axes)
    devices = {case: {plan.reserved.get(origin, "any") for origin in origins[case]} for case in origins}
    reserved = {case: names.pop() for case, names in devices.items() if len(names) == 1 and "any" not in names}
    return replace(plan, cases=tuple(origins), reserved=reserved)


def _adhoc(axes: Words, device: str) -> Plan:
    if not axes:
        raise ArgumentError(
            f"say which cases: a plan ({', '.join(plan_names())}, or a TOML file), a case's name, or axes such as "
            f"--model resnet18 --variant eager,compile --batch 1,8; `{command_line('list')}` shows what there is"
        )
    cases = tuple(cases_of(axes, device or environments.device(environments.devices())))
    return Plan(ADHOC, "Cases named by the command.", cases)


def _settings(settings: Settings, words: Mapping[str, Any]) -> Settings:
    try:
        return changed_settings(settings, words)
    except ValueError as error:
        raise ArgumentError(str(error)) from None


def check_wide(wide: Sequence[str], cases: Sequence[Case]) -> None:
    """Raise ArgumentError for layers to keep wide that a network of the cases lacks or keeps so, or that are all."""
    count = int(wide[0]) if len(wide) == 1 and wide[0].isdecimal() else None
    coded = [case for case in cases if case.precision in EIGHT_BITS] if wide else []
    for model in dict.fromkeys(case.model for case in coded):
        if is_outside(model) and count is None:
            continue
        if is_outside(model):
            raise ArgumentError(f"--keep-wide {count}: only this project's ResNets are ranked; name {model}'s layers")
        variants = dict.fromkeys(case.variant for case in coded if case.model == model)
        ruled = set.intersection(*(set(find_variant(name).keeps_wide) for name in variants))
        layers = [one.name for one in operations(model, 1, 32, "int8") if one.kind in ("conv", "linear")]
        if count is None and (unknown := [name for name in wide if name not in layers]):
            inside = [name for name in layers if name.startswith(f"{unknown[0].rstrip('.*')}.")]
            near = f" (its layers: {','.join(inside)})" if inside else did_you_mean(unknown[0], layers)
            raise ArgumentError(f"--keep-wide: {model} has no layer {unknown[0]!r}{near}; one is layer1.0.conv1, say")
        by_rule = f"; {', '.join(variants)} keeps {' and '.join(sorted(ruled))} wide by rule" if ruled else ""
        most = len(layers) - len(ruled) - 1
        if ruled.issuperset(wide):
            raise ArgumentError(f"--keep-wide {','.join(wide)} changes nothing{by_rule}")
        if (len(set(wide) - ruled) if count is None else count) > most:
            raise ArgumentError(
                f"--keep-wide: {model} has {len(layers)} layers, and one at least is to be in 8 bits: name {most} at "
                f"most{by_rule}; for all take a precision of 16 bits"
            )


def resolve_build(words: Build, plan: Build | None = None) -> Build:
    """Return what `words` say, with a checkpoint's full path, over what a plan says. Raises PlanError."""
    changes = {name: value for name, value in vars(words).items() if value}
    if words.weights:
        changes["weights"] = checkpoint_from(Path.cwd(), words.weights)
    return replace(plan or Build(), **changes)


def check_input(word: str) -> None:
    """Raise PlanError for a word of `--input` that names no pictures, or a folder with a file that is none."""
    if word not in ("photos", "noise"):
        try:
            judge_files(word)
        except ValueError as error:
            raise PlanError(f"--input {word}: {error}") from None


def check_plan(plan: Plan, env: Environment) -> None:
    """Raise BenchError where the machine that `env` describes can run no case of a plan."""
    if plan.device == "cuda" and (reason := environments.no_cuda(env)):
        raise BenchError(f"the plan {plan.name} needs a CUDA device: {reason}", UNABLE)
    reasons = list(why_none(plan.cases, env, plan.reserved).values())
    if (plan.name == ADHOC or all(reasons)) and (reason := misnamed(plan.cases)):
        raise PlanError(reason)  # it is not the machine's fault
    if all(reasons):
        cause = f": {reasons[0]}" if len(set(reasons)) == 1 else f"; `{command_line('list', *plan.words)}` says why"
        raise BenchError(f"this machine can run no case of {plan.name}{cause}", UNABLE)


def check_case(case: Case, env: Environment) -> None:
    """Raise BenchError where the machine that `env` describes cannot run a case, or it names what is not there."""
    if reason := misnamed([case]):
        raise PlanError(reason)
    if reason := why_not(case, env):
        raise BenchError(f"this machine cannot run {case.name}: {reason}", UNABLE)
