"""A plan: TOML groups of axes that expand to cases, each group with its `why`.

why = "What this plan is for."
rounds = 3                     # passes over the cases, each case a fresh process in each
rounds_limit = 10              # more, until each ratio to eager is as precise as measure.ratio; default: rounds
device = "cuda"                # the plan is refused (exit 3) on a machine without one; the default is any
weights = "mine.safetensors"   # a checkpoint, from this file's folder; the default is synthetic weights
num_classes = 10               # the default is the model's, as is that of in_channels
[measure]                      # any field of Settings; and p99 = true, as the option --p99
throughput_s = 2.0
[[group]]
name = "batch"
why = "What the cases show, and the expected result."
model = ["resnet50"]           # an axis is a list of words, or one word
variant = ["eager", "compile"]
precision = ["fp16"]
batch = [1, 32, "max"]         # max: the largest that fits, searched for and not timed
image = 224                    # the default; 32 for digits
launch = ["stream", "graph"]   # the default is stream
device = "cuda"                # cpu or cuda: skip the group elsewhere; the default is any

Cases run in order of value: groups and their batches as written, the variants of a batch side by side. A sweep with a
budget (`Sweep.budget_s`) may end before the last.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.errors import CaseError, PlanError
from bench.plans.case import MAX, MOST, Case
from bench.plans.network import checkpoint_from, network_given
from bench.plans.settings import KINDS, P99_LIMIT_S, changed_settings
from bench.plans.settings import ONCE as ONCE
from bench.plans.settings import Settings as Settings
from bench.plans.words import matches
from bench.text import did_you_mean
from kernels.cards.reading import read_text
from resnet.names import Build, usual_image

FOLDER = Path(__file__).parent
AXES = {"model": str, "variant": str, "precision": str, "batch": int, "image": int, "launch": str}
SLOWEST_FIRST = ("model", "precision", "image", "launch", "batch", "variant")  # order of a group's cases
AXIS_DEFAULTS: dict[str, Any] = {"image": [224], "launch": ["stream"]}
DEVICES = ("any", "cpu", "cuda")
SHOWN = 60  # characters of a wrong value
MOST_CASES = 100_000  # of a plan: a week's work, were each to take six seconds
KEYS = ("why", "rounds", "rounds_limit", "device", *(key.name for key in fields(Build)), "measure", "group")


@dataclass(frozen=True)
class Plan:
    """Cases in the order of the file, with the settings of their measurement."""

    name: str
    why: str
    cases: tuple[Case, ...]
    rounds: int = 1
    rounds_limit: int = 0  # up to so many for cases whose ratio to eager is less precise than `ratio`
    device: str = "any"
    settings: Settings = field(default_factory=Settings)
    reserved: dict[Case, str] = field(default_factory=dict)  # cases of groups for one device alone, with it
    timed: bool = True  # False: only the gate, whose times mean nothing
    build: Build = field(default_factory=Build)
    words: tuple[str, ...] = ()  # of a command line that name its cases, where they came from one

    def only(self, *globs: str) -> Plan:
        """Return the plan with the cases whose name matches one of `globs`, or with all without globs.

        A glob may omit the ends of the name: `compile-max`, `*/b1/*`.
        """
        return replace(self, cases=tuple(case for case in self.cases if matches(case.name, globs)))

    @cached_property
    def digest(self) -> str:
        """A short digest of the cases, settings and models: equal plans have equal digests, whatever their wording."""
        content: dict[str, Any] = {
            "cases": [case.name for case in self.cases],
            "settings": asdict(self.settings),
            "rounds": [self.rounds, self.rounds_limit],
        }
        if self.build != Build():
            content["network"] = network_given(self.build)  # of the checkpoint its digest, not its path
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def gate_only(plan: Plan) -> Plan:
    """Return the plan that `bench verify` runs: the same cases with one execution each."""
    return replace(plan, settings=replace(plan.settings, **ONCE), rounds=1, timed=False)  # type: ignore[arg-type]


def scored_only(plan: Plan, pictures: int) -> Plan:
    """Return the plan that `bench accuracy` runs: that of `gate_only`, scored on so many pictures (0: all of a folder).

    It may take an hour a case.
    """
    plan = gate_only(plan)
    limit_s = max(plan.settings.limit_s, P99_LIMIT_S)
    return replace(plan, settings=replace(plan.settings, score_pictures=pictures, limit_s=limit_s))


def plan_names() -> list[str]:
    """Return the names of the plans in this package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_plan(name: str) -> Plan:
    """Read the plan of a name (`plan_names`) or of a TOML file's path. Raises PlanError."""
    path = FOLDER / f"{name}.toml"
    if name not in plan_names():
        path = Path(name)
        if not path.exists() or path.is_dir():
            names = plan_names()
            hint = did_you_mean(name, names)
            raise PlanError(f"no plan {name!r}{hint}: a plan is one of {', '.join(names)}, or a TOML file's path")
    try:
        return parse_plan(read_text(path), path.stem, str(path))
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror or error}") from None
    except PlanError:
        raise
    except ValueError as error:
        raise PlanError(f"{path}: {error}") from None


def parse_plan(text: str, name: str, where: str) -> Plan:
    """Return the plan of a TOML text; `where` names the text in errors. Raises PlanError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise PlanError(f"{where}:{line[1] if line else 'end'}: {error}") from None
    except ValueError:
        raise PlanError(f"{where}: a number in it has thousands of digits") from None
    except RecursionError:
        raise PlanError(f"{where}: it is nested too deep") from None
    return _Parser(text, where).plan(name, data)


class _Parser:
    """Checks the data of a TOML text and makes a plan of it; errors name the line in the text."""

    def __init__(self, text: str, where: str) -> None:
        self.lines = text.splitlines()
        self.where = where

    def plan(self, name: str, data: dict[str, Any]) -> Plan:
        self.check_keys(data, KEYS, 0)
        rounds = self.value(data, "rounds", int, 0, 1)
        if rounds < 1:
            raise self.error(f"rounds = {rounds}: at least 1", 0, "rounds")
        limit = self.value(data, "rounds_limit", int, 0, 0)
        if "rounds_limit" in data and limit < rounds:
            raise self.error(f"rounds_limit = {limit}: at least rounds, which is {rounds}", 0, "rounds_limit")
        device = self.device(data, 0)
        groups = data.get("group")
        if not groups or not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
            raise self.error("a plan needs at least one [[group]]", 0, "group")
        self.most_left = MOST_CASES
        settings = self.settings(data.get("measure", {}))
        devices: dict[Case, set[str]] = {}
        for number, group in enumerate(groups, 1):
            for case in self.group(group, number):
                devices.setdefault(case, set()).add(self.device(group, number, device))
        reserved = {case: names.pop() for case, names in devices.items() if len(names) == 1 and "any" not in names}
        return Plan(
            name, self.value(data, "why", str, 0, ""), tuple(devices), rounds, limit, device, settings, reserved,
            build=self.build(data),
        )  # fmt: skip

    def build(self, data: dict[str, Any]) -> Build:
        values = {key.name: self.value(data, key.name, type(key.default), 0, key.default) for key in fields(Build)}
        for key in ("num_classes", "in_channels"):
            if key in data and values[key] < 1:
                raise self.error(f"{key} = {values[key]}: at least 1", 0, key)
        if values["weights"]:
            try:
                values["weights"] = checkpoint_from(Path(self.where).parent, values["weights"])
            except PlanError as error:
                raise self.error(str(error), 0, "weights") from None
        return Build(**values)

    def device(self, data: dict[str, Any], number: int, default: str = "any") -> str:
        device: str = self.value(data, "device", str, number, default)
        if device not in DEVICES:
            raise self.error(f"unknown device {device!r}; allowed: {', '.join(DEVICES)}", number, "device")
        return device

    def settings(self, data: Any) -> Settings:
        types = {item.name: type(item.default) for item in fields(Settings)}
        if not isinstance(data, dict):
            raise self.error("[measure] is a table", 0, "measure")
        self.check_keys(data, (*types, "p99"), 0)
        values = {key: self.value(data, key, kind, 0, None) for key, kind in types.items() if key in data}
        p99 = self.value(data, "p99", bool, 0, False)
        try:
            return changed_settings(Settings(**values), {"p99": p99})
        except ValueError as error:
            raise self.error(str(error), 0, str(error).split()[0]) from None

    def group(self, data: dict[str, Any], number: int) -> list[Case]:
        self.check_keys(data, ("name", "why", "device", *AXES), number)
        if not self.value(data, "why", str, number, "").strip():
            raise self.error("the group has no `why`: say what its cases are for", number)
        axes = {axis: self.axis(data, axis, kind, number) for axis, kind in AXES.items()}
        self.most_left -= (count := math.prod(map(len, axes.values())))
        if self.most_left < 0:
            raise self.error(f"the group has {count:,} cases, and a plan has {MOST_CASES:,} at most", number)
        points = itertools.product(*(axes[axis] for axis in SLOWEST_FIRST))
        cases = [self.case(dict(zip(SLOWEST_FIRST, point, strict=True)), number) for point in points]
        return cases if "image" in data else [replace(case, image=usual_image(case.model)) for case in cases]

    def axis(self, data: dict[str, Any], axis: str, kind: type, number: int) -> list[Any]:
        if axis not in data and axis not in AXIS_DEFAULTS:
            raise self.error(f"the group has no {axis}", number)
        values = data.get(axis, AXIS_DEFAULTS.get(axis))
        values = values if isinstance(values, list) else [values]
        if not values:
            raise self.error(f"{axis} is an empty list", number, axis)
        allowed = "words" if kind is str else 'whole numbers and "max"' if axis == "batch" else "whole numbers"
        for value in values:
            if type(value) is not kind and not (axis == "batch" and value == "max"):
                raise self.error(f"{axis} holds {_brief(value)}; it takes {allowed}", number, axis)
        if axis == "batch" and 0 in values:  # which would be MAX
            raise self.error("batch 0 is not a positive number of images", number, axis)
        return [MAX if axis == "batch" and value == "max" else value for value in values]

    def case(self, point: dict[str, Any], number: int) -> Case:
        try:
            return Case(**point)
        except CaseError as error:
            # the axis whose value the message quotes gives the line
            wrong = next((axis for axis, value in point.items() if f"{axis} {value!r}" in str(error)), None)
            wrong = wrong or next((axis for axis in point if axis in str(error)), None)
            raise self.error(str(error), number, wrong) from None

    def check_keys(self, data: dict[str, Any], allowed: tuple[str, ...], group: int) -> None:
        for key in data:
            if key not in allowed:
                hint = did_you_mean(key, allowed)
                raise self.error(f"unknown key {_brief(key)}{hint}; allowed: {', '.join(allowed)}", group, key)

    def value(self, data: dict[str, Any], key: str, kind: type, group: int, default: Any) -> Any:
        value = data.get(key, default)
        if kind is float and type(value) is int and abs(value) <= MOST:
            value = float(value)
        if type(value) is not kind:
            raise self.error(f"{key} = {_brief(value)} is not {KINDS[kind]}", group, key)
        if isinstance(value, int | float) and not abs(value) <= MOST:
            raise self.error(f"{key} = {_brief(value)}: {MOST:,} at most", group, key)
        return value

    def error(self, message: str, group: int, key: str | None = None) -> PlanError:
        return PlanError(f"{self.where}:{self.line(group, key)}: {message}")

    def line(self, group: int, key: str | None) -> int:
        """Return the line of `key` in [[group]] number `group` (0: before and outside the groups)."""
        groups, first = 0, 1
        for number, line in enumerate(self.lines, 1):
            if re.match(r"\s*\[\[\s*group\s*\]\]", line):
                groups += 1
                first = number if groups == group else first
            inside = groups == group or group == 0
            if inside and key and re.match(rf"\s*\[?\[?\s*[\"']?{re.escape(key)}\b", line):
                return number
        return first


def _brief(value: Any) -> str:
    """Return a value of a plan as an error shows it, cut where it is long."""
    if isinstance(value, int) and abs(value) > 10**SHOWN:
        return f"a number of more than {SHOWN} digits"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
